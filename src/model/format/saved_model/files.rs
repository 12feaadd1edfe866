//! Where a SavedModel's files come from.

use std::path::Path;

use bytes::Bytes;

use crate::model::ModelError;
use crate::model::format::file;

/// Files by their names inside the model's folder. Names are made here, and never read from a file.
pub(super) trait Files {
    fn read(&self, name: &str) -> Result<Bytes, ModelError>;
}

/// The files of a folder.
pub(super) struct Folder<'a>(pub(super) &'a Path);

impl Files for Folder<'_> {
    fn read(&self, name: &str) -> Result<Bytes, ModelError> {
        file::read(&self.0.join(name))
    }
}
