//! Many callers, few devices: what a running service counts, what its devices cost, and which of
//! them takes the next batch.

#![allow(dead_code, reason = "the workers that write these figures are another piece of work")]

mod calibrate;
mod cost;
mod explain;
mod gauges;
mod health;
mod histogram;
mod metrics;
mod route;

pub use explain::{BackendEstimate, Choice, Explanation};
pub use health::{BackendHealth, Health, LostBackend};
pub use histogram::{HistogramSnapshot, HistogramSummary};
pub use metrics::{BackendMetrics, Metrics};
