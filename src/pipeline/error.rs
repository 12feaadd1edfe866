//! Why the pipeline could not be started, would not take rows, or has no answer.

use super::super::backend::BackendError;
use super::super::plan::{InputType, PlanError, Precision};

/// Why a pipeline could not be started or changed. What ran before goes on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// An option makes no sense.
    #[error("{option}: expected {expected}, got {got}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// A model that takes other rows, or gives other scores, than the one that runs.
    #[error(
        "model: expected {expected_inputs} inputs and {expected_classes} classes, got {inputs} and \
         {classes}; start another pipeline for it"
    )]
    Shape {
        /// Values in a row now.
        expected_inputs: usize,
        /// Scores of a row now.
        expected_classes: usize,
        /// Values in a row of the new model.
        inputs: usize,
        /// Scores of a row of the new model.
        classes: usize,
    },
    /// A backend that runs another model than the pipeline.
    #[error("model: expected the one that runs, {expected}, got {got}; load that one first")]
    WrongModel {
        /// The beginning of the running model's content hash.
        expected: String,
        /// The beginning of the other's.
        got: String,
    },
    /// A backend whose plan rounds weights to another precision than the pipeline's.
    #[error(
        "precision: expected {}, which the pipeline runs, got {}; plan for that one, or start \
         another pipeline",
        expected.name(),
        got.name()
    )]
    WrongPrecision {
        /// The precision that runs.
        expected: Precision,
        /// The other plan's.
        got: Precision,
    },
    /// The model cannot be planned for one of the devices.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A device cannot load the model, or failed while it was warmed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// As many workers run, or as many backends were attached, as there may be.
    #[error("pipeline: it has {count} backends or workers already, which is all there may be")]
    TooMany {
        /// The backends or workers there are.
        count: usize,
    },
    /// The operating system gave no thread.
    #[error("pipeline: no thread: {message}")]
    Thread {
        /// The system's own words.
        message: String,
    },
    /// The pipeline was shut down.
    #[error("pipeline: it was shut down; start another one")]
    ShutDown,
    /// The pipeline was started before this process was forked from its parent.
    #[error("pipeline: it is the parent's of this process; start one after the fork")]
    Forked,
}

/// Why rows were not taken. Nothing was: they are still the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Every row of the ring is taken. Try later, or with `submit_blocking` or `submit_async`.
    #[error("pipeline: full; try again later, or start it with a larger capacity")]
    Full,
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
    /// Not the values of one row, or of a whole number of rows.
    #[error("row: expected {}", super::super::backend::width_got(*inputs, *values))]
    WrongWidth {
        /// Values in a row.
        inputs: usize,
        /// Values handed over.
        values: usize,
    },
    /// One of several rows that has another width than the others have to have.
    #[error("row {row}: expected {inputs} values, got {values}")]
    WrongRow {
        /// Which of the rows handed over.
        row: usize,
        /// Values in a row.
        inputs: usize,
        /// Its values.
        values: usize,
    },
    /// A NaN or an infinity, where the pipeline was told to refuse them.
    #[error("row {row}: value {column} is not finite")]
    NotFinite {
        /// Which of the rows handed over.
        row: usize,
        /// Which of its values.
        column: usize,
    },
    /// A request of no rows at all.
    #[error("rows: expected at least one")]
    NoRows,
    /// A request that no empty ring could hold.
    #[error("rows: expected at most {capacity}, got {rows}; split them, or feed them as a stream")]
    TooManyRows {
        /// Rows in the ring.
        capacity: usize,
        /// Rows handed over.
        rows: usize,
    },
    /// A deadline that has passed already.
    #[error("deadline: it has passed")]
    DeadlinePassed,
    /// A bulk request, where the pipeline was started without room for them.
    #[error("priority: there is no room for bulk rows; start the pipeline with bulk_capacity")]
    NoBulk,
    /// No backend is left to run it.
    #[error("pipeline: no backend is left: {reason}; attach one")]
    Failed {
        /// Why the last one was lost.
        reason: String,
    },
    /// The pipeline was shut down.
    #[error("pipeline: it was shut down")]
    ShutDown,
    /// The pipeline was started before this process was forked from its parent, which alone has the
    /// threads that run rows.
    #[error("pipeline: it is the parent's of this process; start one after the fork")]
    Forked,
}

impl SubmitError {
    /// Whether the same rows may be taken later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, SubmitError::Full | SubmitError::Failed { .. })
    }
}

/// Why there is no answer to rows that were taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The deadline passed before a device was free.
    #[error("deadline: it passed while the rows were waiting")]
    Expired,
    /// Every backend that tried has failed, or none is left to try.
    #[error("pipeline: the rows could not be run: {reason}")]
    Failed {
        /// Why the last backend was lost.
        reason: String,
    },
    /// The pipeline was shut down before the rows were run.
    #[error("pipeline: it was shut down before the rows were run")]
    ShutDown,
    /// The rows were taken before this process was forked from its parent, where they are answered.
    #[error("ticket: it is the parent's of this process; submit the rows again after the fork")]
    Forked,
    /// The ticket was polled before, and has given its reply.
    #[error("ticket: it has given its reply already")]
    Taken,
}

/// Why a row has no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifyError {
    /// It was not taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// It was taken, and has no answer.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}
