//! The file that results are written to.

use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::super::error::BenchError;

/// Where the file is.
pub(super) enum Results {
    Given(PathBuf),
    /// Goes with the experiments.
    Temporary(TempPath),
}

impl Results {
    pub(super) fn of(given: Option<&Path>) -> Result<Results, BenchError> {
        let Some(path) = given else {
            let made = NamedTempFile::with_prefix("fusewire-results-").map_err(|error| {
                let path = std::env::temp_dir().display().to_string();
                BenchError::Sink { path, reason: error.to_string() }
            })?;
            return Ok(Results::Temporary(made.into_temp_path()));
        };
        Ok(Results::Given(path.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Results::Given(path) => path,
            Results::Temporary(path) => path,
        }
    }
}
