//! The error of the facade: one variant per layer, each carrying that layer's own typed error.

use crate::backend::BackendError;
use crate::model::ModelError;
use crate::pipeline::{ClassifyError, PipelineError, ReplyError, SubmitError};
use crate::plan::PlanError;

/// Anything that can go wrong between a model file and an answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model file could not be read, or is not a dense classifier.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model cannot be planned for this device with these options.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device is missing, failed, or was handed rows it cannot take.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The pipeline could not be started or changed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The pipeline did not take rows.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The pipeline took rows and has no answer to them.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

impl From<ClassifyError> for Error {
    fn from(error: ClassifyError) -> Error {
        match error {
            ClassifyError::Submit(error) => Error::Submit(error),
            ClassifyError::Reply(error) => Error::Reply(error),
        }
    }
}
