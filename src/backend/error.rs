//! Why a device could not do what it was asked.

use super::BackendKind;
use crate::plan::{InputType, Precision};

/// Why a device is not there, refused rows, or failed. One line: what, expected and got, advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The backend has no usable device on this machine.
    #[error("no {} device: {looked_for}; {advice}", backend.name())]
    Unavailable {
        /// The backend asked for.
        backend: BackendKind,
        /// What was looked for, and what was found instead.
        looked_for: String,
        /// How to get one.
        advice: String,
    },
    /// Rows of another type than the plan takes.
    #[error(
        "rows: expected {}, got {}; plan for that type or convert the rows",
        expected.name(),
        got.name()
    )]
    WrongInput {
        /// The type planned for.
        expected: InputType,
        /// The type handed over.
        got: InputType,
    },
    /// A number of values that is no whole number of rows, or not one row where one was asked for.
    #[error("rows: expected a multiple of {}", super::width_got(*inputs, *values))]
    WrongRowLength {
        /// Values in a row.
        inputs: usize,
        /// Values handed over.
        values: usize,
    },
    /// One of several rows that has another width than planned.
    #[error("row {row}: expected {inputs} values, got {values}")]
    WrongRow {
        /// Which of the rows handed over.
        row: usize,
        /// Values in a row.
        inputs: usize,
        /// Its values.
        values: usize,
    },
    /// A score buffer of the wrong length.
    #[error("scores: expected room for {expected} values, got {got}")]
    WrongScoresLength {
        /// Rows times classes.
        expected: usize,
        /// The buffer's length.
        got: usize,
    },
    /// A submitted batch that is empty or larger than planned.
    #[error("batch: expected 1 to {rows_max} rows, got {rows}; plan with a larger rows_max")]
    BatchSize {
        /// The most rows a batch may hold.
        rows_max: usize,
        /// The rows handed over.
        rows: usize,
    },
    /// A second batch was submitted to a context whose first is in flight.
    #[error("context: a batch is in flight; wait for it, or use a second context")]
    Busy,
    /// A context was asked about a batch it was never given.
    #[error("context: no batch was submitted")]
    Idle,
    /// The plan was made for another device's limits.
    #[error("plan: made for other limits than this device's; plan again with Device::limits")]
    WrongPlan,
    /// A precision that the device has no kernels for.
    #[error("{device}: no kernels for {} weights; use --backend cpu, or f32", precision.name())]
    NoKernels {
        /// The device's name.
        device: String,
        /// The precision planned for.
        precision: Precision,
    },
    /// Memory ran out while loading or creating a context.
    #[error("{device}: out of memory: {message}")]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// The driver's own words.
        message: String,
    },
    /// A kernel was refused by the device's compiler.
    #[error("{device}: kernel {kernel} did not compile: {message}")]
    Compile {
        /// The device's name.
        device: String,
        /// The kernel's name.
        kernel: String,
        /// The compiler's own words.
        message: String,
    },
    /// The batch is still in flight at the deadline.
    #[error("{device}: the batch did not complete in time")]
    Timeout {
        /// The device's name.
        device: String,
    },
    /// The device is gone for good; open it again or use another.
    #[error("{device}: device lost: {message}")]
    Lost {
        /// The device's name.
        device: String,
        /// The driver's own words.
        message: String,
    },
    /// The device was opened before this process was forked from the one that opened it, and is
    /// still that one's.
    #[error("{device}: it is the parent's of this process; open devices after the fork")]
    Forked {
        /// The device's name.
        device: String,
    },
    /// The device failed in some other way.
    #[error("{device}: {message}")]
    Device {
        /// The device's name.
        device: String,
        /// The driver's own words.
        message: String,
    },
}
