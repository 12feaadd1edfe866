//! Load: requests that are due at times of their own, and what became of them.

mod arrivals;
mod durations;
mod pace;
mod schedule;
mod search;

pub use arrivals::{Arrivals, Due};
pub use durations::{Durations, Percentiles, Rate};
pub(in crate::bench) use pace::Pacer;
pub(in crate::bench) use schedule::{Kept, Schedule, Service};
pub(in crate::bench) use search::Search;
