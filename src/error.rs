//! The error of the facade: one variant per layer, each carrying that layer's own typed error.

use crate::backend::BackendError;
use crate::model::ModelError;
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
}
