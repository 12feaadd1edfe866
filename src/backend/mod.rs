//! Devices: where plans run.
//!
//! Three nouns, each behind an object-safe sealed trait: a [`Device`] loads plans, an
//! [`Executable`] is a plan loaded and immutable, an [`ExecutionContext`] is one batch in flight.
//! A caller pays one virtual call per batch, never per row or per layer.
//!
//! What is validated where: the methods here check rows and lengths once, at the seam, and return a
//! typed [`BackendError`]; kernels below them assume what the [`Plan`] and these checks promise.

mod absent;
pub mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fake;
mod finding;
mod host;
#[cfg(any(test, feature = "testing", feature = "cli"))]
#[doc(hidden)]
pub mod null;
mod open;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod overlap;
pub(crate) mod process;
#[cfg(any(test, feature = "cuda", feature = "testing", feature = "wgpu"))]
mod refusal;
mod rows;
pub(crate) mod stopwatch;
#[cfg(feature = "wgpu")]
mod wgpu;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(not(feature = "cuda"))]
use absent::cuda;
#[cfg(not(feature = "wgpu"))]
use absent::wgpu;
pub use error::BackendError;
pub use finding::{Finding, OpenOptions};
pub use host::HostMemory;
pub(crate) use open::{Gpu, Opening, gpus, is_same_card, open_noting};
pub use open::{open, open_with, survey};
pub use rows::Rows;
pub(crate) use rows::{Gathered, width_got};

use crate::plan::{Limits, Peak, Plan};

pub(crate) mod sealed {
    /// Keeps the traits implementable here only, so that they can grow.
    pub trait Sealed {}
}

/// A family of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BackendKind {
    /// The best there is: CUDA, else a wgpu adapter that is no software renderer, else the CPU.
    #[default]
    Auto,
    /// NVIDIA devices through the driver API.
    Cuda,
    /// Vulkan, Metal, DX12 and GL devices through wgpu.
    Wgpu,
    /// The processor, through SIMD kernels; always there.
    Cpu,
}

impl BackendKind {
    /// The kind's name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            BackendKind::Auto => "auto",
            BackendKind::Cuda => "cuda",
            BackendKind::Wgpu => "wgpu",
            BackendKind::Cpu => "cpu",
        }
    }
}

/// What a device is, for people and reports.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// The family; never [`BackendKind::Auto`].
    pub backend: BackendKind,
    /// The device's name, such as `NVIDIA H200` or `AMD EPYC`.
    pub name: String,
    /// What runs on it: the SIMD level, or graphics API and driver.
    pub detail: String,
    /// Whether the device is a processor that renders like a GPU: fit for tests, not for speed.
    pub software: bool,
    /// Where a card is on the bus, as its maker's tools write it (`0000:1b:00.0`), where that is
    /// known.
    pub pci: Option<String>,
}

/// A device that loads plans.
pub trait Device: sealed::Sealed + Send + Sync + Debug {
    /// What the device is.
    fn info(&self) -> &DeviceInfo;

    /// What planning has to know about the device.
    fn limits(&self) -> &Limits;

    /// The device's ceilings for batches that move `working_set_bytes` each, measured now for some
    /// milliseconds, where it can tell: what is small stays in a cache between batches.
    fn peak(&self, working_set_bytes: u64) -> Option<Peak>;

    /// Whether a batch is computed by the call that hands it over, on the caller's thread: there is
    /// no driver that could hang, and a batch that takes long is at work for all of that time.
    fn computes_in_call(&self) -> bool {
        false
    }

    /// Uploads the plan's parameters and prepares its kernels.
    ///
    /// # Errors
    /// [`BackendError`]: the plan was made for other limits, memory ran out, a kernel did not
    /// compile, or the device is lost.
    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError>;

    /// Memory of so many bytes, all zero, that rows wait in until they are submitted, visible to
    /// the device where it has such memory: see [`ExecutionContext::submit_pieces`] for how long
    /// rows in it are read.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    fn alloc_host(&self, bytes: usize) -> Result<HostMemory, BackendError> {
        HostMemory::new(bytes).ok_or_else(|| BackendError::OutOfMemory {
            device: self.info().name.clone(),
            message: format!("no room for {bytes} bytes of waiting rows"),
        })
    }
}

/// A plan loaded on a device: immutable, shared, runnable from any thread.
pub trait Executable: sealed::Sealed + Send + Sync + Debug {
    /// The plan that was loaded.
    fn plan(&self) -> &Plan;

    /// The device it was loaded on.
    fn device(&self) -> &dyn Device;

    /// The kernels that run each stage, and where they are from; a line for each stage. Nothing
    /// where a backend has one way alone to run a plan, which its device's detail names.
    fn kernels(&self) -> Vec<String> {
        Vec::new()
    }

    /// Runs `rows`, `[n, inputs]` row-major, on the caller's thread and writes their scores to
    /// `scores`, `[n, classes]` row-major. Any `n`, also 0; batches past [`Plan::rows_max`] are
    /// split. After the first calls nothing is allocated on the CPU backend.
    ///
    /// # Errors
    /// [`BackendError`]: rows of another type than planned, a length that is no whole number of
    /// rows, scores of another length, or a failure of the device. After an error the content of
    /// `scores` is unspecified.
    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError>;

    /// A place for one batch in flight, with everything it needs allocated.
    ///
    /// # Errors
    /// [`BackendError`]: memory ran out, or the device is lost.
    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError>;
}

/// One batch in flight: owns its staging memory, its device buffers and its fence.
pub trait ExecutionContext: sealed::Sealed + Send + Debug {
    /// Takes a batch handed over as one or more pieces, each at least one row that lies in one
    /// place, together `1 ..=` [`Plan::rows_max`] rows, and starts its computation. Scores come in
    /// the order of the pieces, with the bits they would have had the rows lain in one piece.
    ///
    /// The rows are not read once the call has returned, however it did: their memory is free
    /// again. The one exception are rows in a block of the same device's
    /// [`alloc_host`](Device::alloc_host), which the device may read where they lie until the batch
    /// has completed or the context was dropped. The block outlives that on its own; whoever writes
    /// over such rows sooner spoils the scores of this batch and nothing else.
    ///
    /// # Errors
    /// [`BackendError::Busy`] while a batch is in flight; [`BackendError::BatchSize`] for an empty
    /// piece too; else as [`Executable::run`].
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError>;

    /// Takes a batch that lies in one place: [`submit_pieces`](ExecutionContext::submit_pieces)
    /// with a single piece.
    ///
    /// # Errors
    /// As [`submit_pieces`](ExecutionContext::submit_pieces).
    fn submit(&mut self, rows: Rows<'_>) -> Result<(), BackendError> {
        self.submit_pieces(&[rows])
    }

    /// Whether the batch has completed; never blocks.
    ///
    /// # Errors
    /// [`BackendError::Idle`] where nothing was submitted; else a failure of the device.
    fn is_complete(&mut self) -> Result<bool, BackendError>;

    /// Waits for the batch until `deadline`.
    ///
    /// # Errors
    /// [`BackendError::Timeout`] past the deadline, with the batch still in flight;
    /// [`BackendError::Idle`] where nothing was submitted; else a failure of the device.
    fn wait(&mut self, deadline: Instant) -> Result<(), BackendError>;

    /// The scores of the last completed batch, `[rows, classes]` row-major; empty before the first
    /// and while one is in flight.
    fn scores(&self) -> &[f32];

    /// How long the device computed the last completed batch, transfers left out, by its own clock;
    /// `None` where it has none or was opened without [`OpenOptions::timestamps`].
    fn compute_time(&self) -> Option<Duration> {
        None
    }
}

/// The class of one row: the index of its largest score, the lowest on ties; a NaN counts as larger
/// than any number, so that a spoilt row is the same class on every backend (numpy's rule).
pub fn arg_max(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if scores[best].is_nan() {
            break;
        }
        if *score > scores[best] || score.is_nan() {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arg_max_follows_numpy() {
        assert_eq!(arg_max(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(arg_max(&[1.0, f32::NAN, f32::INFINITY, f32::NAN]), 1);
        assert_eq!(arg_max(&[f32::NEG_INFINITY, f32::NEG_INFINITY]), 0);
        assert_eq!(arg_max(&[f32::NAN]), 0);
    }
}
