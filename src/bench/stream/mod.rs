//! The papers' pipeline: a source of rows, an operator that scores them, a sink that keeps what
//! came of them.
//!
//! The operator is embedded: a [`Pipeline`](crate::Pipeline) in the source's own process. One
//! thread is the source and takes the answers, as many workers as the job is parallel score, and
//! one more thread writes results to a file. Every answer is held against the oracle's.

mod closed;
mod job;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod workload;

pub(in crate::bench) use closed::{Answered, Closed, Way};
pub(in crate::bench) use job::{Job, Outcome};
pub(in crate::bench) use source::Stages;
pub use workload::Workload;
