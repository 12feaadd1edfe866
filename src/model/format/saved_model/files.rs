//! Where a SavedModel's files come from.

use bytes::Bytes;

use crate::model::ModelError;
use crate::model::format::folder::Folder;

/// Files by their names inside the model's folder. Names are made here, and never read from a file.
pub(super) trait Files {
    fn read(&self, name: &str) -> Result<Bytes, ModelError>;
}

impl Files for Folder {
    fn read(&self, name: &str) -> Result<Bytes, ModelError> {
        Ok(self.open(name)?.read()?.into_bytes())
    }
}
