//! Model files: one file per format, all ending in the same [`Model`] constructor.

use std::fmt;
use std::path::Path;

use super::{Model, ModelError};

pub(super) mod safetensors {
    use super::*;
    pub(crate) fn save(_model: &Model, _path: &Path) -> Result<(), ModelError> {
        unreachable!()
    }
}

/// A model file's format, recognised by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// An ONNX `ModelProto`.
    Onnx,
    /// safetensors with fusewire's metadata: the native format.
    Safetensors,
    /// A zip of `.npy` arrays.
    Npz,
    /// A directory of `.npy` layers, order and activations in their names.
    NpyDirectory,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Onnx => "onnx",
            Format::Safetensors => "safetensors",
            Format::Npz => "npz",
            Format::NpyDirectory => "npy directory",
        })
    }
}

/// Reads a model by its content.
pub(super) fn load(_path: &Path) -> Result<Model, ModelError> {
    unreachable!()
}
