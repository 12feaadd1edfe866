//! Many callers, few devices: rows from any thread, run in batches on whichever backend is done
//! with them first.
//!
//! ```
//! # fn main() -> Result<(), fusewire::Error> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist.safetensors");
//! # let pixels = [0.0_f32; 784];
//! use fusewire::{backend, BackendKind, Model, Pipeline, PipelineConfig, Plan, PlanOptions};
//!
//! let model = Model::load(path)?;
//! let device = backend::open(BackendKind::Cpu)?;
//! let plan = Plan::new(&model, device.limits(), &PlanOptions::default())?;
//! let pipeline = Pipeline::start(device.load(plan)?, PipelineConfig::default())?;
//! let class = pipeline.submit(&pixels)?.wait()?.class();
//! # assert!(class < 10);
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a row
//!
//! 1. [`Pipeline::submit`] checks it, claims a row of the *ring* and copies it there, where
//!    devices read it; [`Pipeline::reserve`] lets the caller write it there himself. Nothing
//!    blocks: a full ring is `Full`.
//! 2. A *worker* with a free context takes what waits as one *batch*, at once; rows gather while
//!    all contexts are busy. Where several backends serve, it is the one to be done first.
//! 3. Once the device is done, the worker answers every row of the batch, and wakes who waits.
//! 4. The [`Ticket`] turns into a [`Reply`], which reads the scores where they lie. The row is free
//!    again when the reply is dropped.
//!
//! # What can be relied on
//!
//! * Every row that was taken is answered once, and only from its own values:
//!   `admitted = completed + expired + cancelled + failed + shut_down + pending`, see [`Metrics`].
//! * A device that fails, hangs or is lost is out for good, and its rows run again on another; with
//!   none left they fail, and say why. Nobody waits for ever. A device that is slow is not lost,
//!   and none is because its process stood still.
//! * A pipeline belongs to the process that started it: a child of `fork` gets typed errors.
//! * Rows submitted by one thread with one priority begin in the order they were submitted. Replies
//!   come in whatever order devices finish.
//! * Callers that wait for room get it in the order they came, and one that does not come for it
//!   bars the others for a few watchdog ticks at most.
//! * Nothing is allocated for a request after it has been warm once, but for the list of
//!   [`Pipeline::submit_rows`] and the copies of [`Pipeline::feed`].

mod backends;
mod bell;
mod bounded;
mod calibrate;
mod changes;
mod clock;
mod config;
mod core;
mod cost;
mod dispatch;
mod engine;
mod error;
mod explain;
mod feed;
mod flight;
mod gauges;
mod generation;
mod guard;
mod handle;
mod health;
mod histogram;
mod line;
mod loading;
mod metrics;
mod open;
mod policy;
mod records;
mod ring;
mod route;
mod seats;
mod shard;
mod space;
mod store;
mod submit;
#[cfg(test)]
mod tests;
mod threads;
mod ticket;
mod waiter;
mod watchdog;
mod word;
mod worker;

pub use changes::ShutdownReport;
pub use config::{NotFinite, PipelineConfig, Priority, SubmitOptions, Waiting};
pub use error::{ClassifyError, PipelineError, ReplyError, SubmitError};
pub use explain::{BackendEstimate, Choice, Explanation};
pub use feed::{Feed, FeedStream};
pub use guard::{RowGuard, Value};
pub use handle::Pipeline;
pub use health::{BackendHealth, Health, LostBackend};
pub use histogram::{HistogramSnapshot, HistogramSummary};
pub use metrics::{BackendMetrics, Metrics};
pub use open::PipelineOptions;
pub use records::Times;
pub use ticket::{Prediction, Reply, Ticket};
