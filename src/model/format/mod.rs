//! Model files: one module per format, all ending in the same [`Model`] constructors.
//!
//! A format is recognised by its content, never by a file's extension. Bytes are hostile: each
//! module checks every size it is told against the bytes that are there before it allocates.

mod archive;
mod graph;
mod named;
mod npy;
mod numbers;
mod onnx;
mod pickle;
pub(super) mod safetensors;
mod sniff;
mod strided;
mod torch;
mod torch_script;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use prost::bytes::Bytes;

use super::{LoadOptions, Model, ModelError};
use sniff::Sniffed;

/// The largest model file that is read, in bytes: room for the parameters of the largest model.
pub const FILE_BYTES_MAX: usize = 2 << 30;

/// The name of a model whose bytes come without a file and do not name it.
const UNNAMED: &str = "unnamed";

/// A model file's format, recognised by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// An ONNX `ModelProto`.
    Onnx,
    /// safetensors: with fusewire's metadata the native format, without it weights by name.
    Safetensors,
    /// A zip of `.npy` arrays.
    Npz,
    /// A directory of `.npy` layers: order and activations in their names, or weights by name.
    NpyDirectory,
    /// A PyTorch state_dict: weights by name, in a pickle that is never executed.
    TorchStateDict,
    /// A TorchScript archive: weights and the code that uses them.
    TorchScript,
    /// A directory that TensorFlow or Keras exported for serving.
    SavedModel,
    /// A Keras model, or its weights, in HDF5.
    KerasHdf5,
    /// A Keras 3 archive: configuration and weights in a zip.
    KerasArchive,
    /// A `model.toml` that names a file of weights and says what that cannot.
    Manifest,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Onnx => "onnx",
            Format::Safetensors => "safetensors",
            Format::Npz => "npz",
            Format::NpyDirectory => "npy directory",
            Format::TorchStateDict => "torch state_dict",
            Format::TorchScript => "torchscript",
            Format::SavedModel => "saved_model",
            Format::KerasHdf5 => "keras h5",
            Format::KerasArchive => "keras archive",
            Format::Manifest => "manifest",
        })
    }
}

/// Reads a model from a file or a directory, by its content.
pub(super) fn load(path: &Path, options: &LoadOptions) -> Result<Model, ModelError> {
    if path.is_dir() {
        return npy::read_directory(path, options);
    }
    let bytes = Bytes::from(read_file(path)?);
    let stem = path.file_stem().map_or(UNNAMED.into(), |stem| stem.to_string_lossy());
    read(bytes, path, &stem, options)
}

/// Reads a model from the bytes of a file, by their content.
pub(super) fn from_bytes(bytes: &[u8], options: &LoadOptions) -> Result<Model, ModelError> {
    check_size(bytes.len())?;
    read(Bytes::copy_from_slice(bytes), Path::new("model bytes"), UNNAMED, options)
}

fn read(
    bytes: Bytes,
    path: &Path,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    match sniff::sniff(&bytes) {
        Sniffed::Onnx => {
            options.check_states_itself(Format::Onnx)?;
            onnx::read(bytes, fallback_name)
        }
        Sniffed::Safetensors => safetensors::read(bytes, fallback_name, options),
        Sniffed::Npz => npy::read_npz(&bytes, fallback_name, options),
        Sniffed::TorchZip => torch::read_zip(&bytes, fallback_name, options),
        Sniffed::TorchLegacy => torch::read_legacy(bytes, fallback_name, options),
        Sniffed::TorchScript => {
            options.check_states_itself(Format::TorchScript)?;
            torch_script::read(&bytes, fallback_name)
        }
        Sniffed::Unknown(found) => {
            Err(ModelError::UnknownFormat { path: path.to_owned(), found: found.to_owned() })
        }
    }
}

/// The bytes of a file of any length up to [`FILE_BYTES_MAX`].
fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    let io = |error| ModelError::io(path, &error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    check_size(usize::try_from(length).unwrap_or(usize::MAX))?;
    // The limit holds for what is read too: a device or a growing file has no length.
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    check_size(bytes.len())?;
    Ok(bytes)
}

fn check_size(bytes: usize) -> Result<(), ModelError> {
    if bytes > FILE_BYTES_MAX {
        return Err(ModelError::too_large("model file bytes", FILE_BYTES_MAX, bytes));
    }
    Ok(())
}
