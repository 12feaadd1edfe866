//! The reader on files in memory, for programs that try it on hostile ones.

use bytes::Bytes;

use super::files::Files;
use crate::model::{Model, ModelError};

/// A SavedModel's three files: the graph, the index, and the one shard.
struct Parts<'a>([&'a [u8]; 3]);

impl Files for Parts<'_> {
    fn read(&self, name: &str) -> Result<Bytes, ModelError> {
        let [graph, index, data] = self.0;
        Ok(Bytes::copy_from_slice(match name {
            super::FILE => graph,
            name if name.ends_with(".index") => index,
            _ => data,
        }))
    }
}

/// Reads a SavedModel from the contents of its files: the graph, the index, and the one shard.
///
/// # Errors
/// As `Model::load`.
pub fn saved_model_of_parts(parts: [&[u8]; 3]) -> Result<Model, ModelError> {
    super::read(&Parts(parts), "parts")
}
