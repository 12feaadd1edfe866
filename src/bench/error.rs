//! Why an experiment has no figures.

use crate::Error;
use crate::pipeline::{PipelineError, ReplyError, SubmitError};

/// Why there are no figures.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// An answer that is not that of its row: figures of such a pipeline are worth nothing.
    #[error("{device}: request {request}: expected the scores {expected}, got {got}")]
    WrongAnswer {
        /// The device that gave it.
        device: String,
        /// Which request of its producer it was.
        request: u64,
        /// The scores that the row has.
        expected: String,
        /// The scores it got.
        got: String,
    },
    /// Scores further from the oracle's than the precision allows, before anything was timed.
    #[error("{device}: scores are {share:.1e} off the oracle's; {tolerance:.1e} is allowed")]
    Disagrees {
        /// The device.
        device: String,
        /// The largest error, as a share of its row's largest score.
        share: f64,
        /// What it may be.
        tolerance: f64,
    },
    /// Rows were lost or counted twice: what was admitted is not what was answered.
    #[error("pipeline: {admitted} rows admitted, {answered} answered once everything was")]
    Unbalanced {
        /// Rows taken.
        admitted: u64,
        /// Rows answered.
        answered: u64,
    },
    /// No device took part.
    #[error("no device to measure: {reason}")]
    NoDevice {
        /// Why not the first of them.
        reason: String,
    },
    /// Results could not be written to where they are to stay.
    #[error("results in {path}: {reason}")]
    Sink {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Something below the experiment failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl BenchError {
    /// A wrong answer of a device to one of its requests.
    pub(super) fn wrong(device: String, request: u64, expected: &[f32], got: &[f32]) -> BenchError {
        let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
        BenchError::WrongAnswer { device, request, expected, got }
    }
}

impl From<PipelineError> for BenchError {
    fn from(error: PipelineError) -> BenchError {
        BenchError::Failed(error.into())
    }
}

impl From<SubmitError> for BenchError {
    fn from(error: SubmitError) -> BenchError {
        BenchError::Failed(error.into())
    }
}

impl From<ReplyError> for BenchError {
    fn from(error: ReplyError) -> BenchError {
        BenchError::Failed(error.into())
    }
}
