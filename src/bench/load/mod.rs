//! Load: requests that are due at times of their own, and what became of them.

mod durations;
mod schedule;

pub use durations::{Durations, Percentiles, Rate};
pub(in crate::bench) use schedule::{Kept, Schedule, Service};
