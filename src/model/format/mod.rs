//! Model files: one module per format, all ending in the same [`Model`] constructors.
//!
//! A format is recognised by its content, never by a file's extension. Bytes are hostile: each
//! module checks every size it is told against the bytes that are there before it allocates.

mod archive;
mod file;
mod graph;
mod keras;
mod manifest;
mod named;
mod npy;
mod numbers;
pub(super) mod onnx;
mod outline;
mod pickle;
pub(super) mod safetensors;
mod saved_model;
mod sniff;
mod strided;
mod torch;
mod torch_script;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use bytes::Bytes;

use super::{LoadOptions, Model, ModelError};
use manifest::Manifest;
#[cfg(feature = "testing")]
pub use saved_model::saved_model_of_parts;
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

impl LoadOptions {
    /// Refuses what is said about layers of a file that states them itself.
    fn check_states_itself(&self, format: Format) -> Result<(), ModelError> {
        let said = [
            ("activation", self.activation.is_some()),
            ("final", self.ending.is_some()),
            ("order", self.order.is_some()),
            ("layout", self.layout.is_some()),
            ("epsilon", self.epsilon.is_some()),
        ];
        match said.into_iter().find(|(_, is_said)| *is_said) {
            Some((what, _)) => Err(ModelError::invalid(
                what,
                format!("nothing, because a file of format {format} states its own"),
                "one",
            )),
            None => Ok(()),
        }
    }
}

/// The name of a manifest in a folder that is opened as a model.
const MANIFEST_NAME: &str = "model.toml";

/// Reads a model from a file or a directory, by its content.
pub(super) fn load(path: &Path, options: &LoadOptions) -> Result<Model, ModelError> {
    let manifest = path.join(MANIFEST_NAME);
    if manifest.is_file() {
        return load_file(&manifest, options);
    }
    if path.is_dir() { load_directory(path, options) } else { load_file(path, options) }
}

/// Reads a model from the bytes of a file, by their content.
pub(super) fn from_bytes(bytes: &[u8], options: &LoadOptions) -> Result<Model, ModelError> {
    file::check_size(bytes.len())?;
    read(Bytes::copy_from_slice(bytes), &Origin { path: None, name: UNNAMED.into() }, options)
}

fn load_directory(path: &Path, options: &LoadOptions) -> Result<Model, ModelError> {
    if path.join(saved_model::FILE).is_file() {
        options.check_states_itself(Format::SavedModel)?;
        return Ok(saved_model::read_directory(path)?.with_format(Format::SavedModel));
    }
    Ok(npy::read_directory(path, options)?.with_format(Format::NpyDirectory))
}

fn load_file(path: &Path, options: &LoadOptions) -> Result<Model, ModelError> {
    read(file::read(path)?, &Origin::of(path), options)
}

/// Where bytes come from.
struct Origin<'a> {
    /// The file, where they come from one.
    path: Option<&'a Path>,
    /// The name of a model that does not say its own.
    name: Cow<'a, str>,
}

impl Origin<'_> {
    fn of(path: &Path) -> Origin<'_> {
        let name = path.file_stem().map_or(UNNAMED.into(), |stem| stem.to_string_lossy());
        Origin { path: Some(path), name }
    }

    /// The folder that the file is in; bytes have none.
    fn folder(&self) -> Option<&Path> {
        let folder = self.path?.parent()?;
        Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    }
}

fn read(bytes: Bytes, origin: &Origin<'_>, options: &LoadOptions) -> Result<Model, ModelError> {
    let name = &origin.name;
    let states_itself = |format| options.check_states_itself(format).map(|()| format);
    let (format, model) = match sniff::sniff(&bytes) {
        Sniffed::Onnx => {
            let folder = options.external_data.then(|| origin.folder()).flatten();
            (states_itself(Format::Onnx)?, onnx::read(bytes, name, folder))
        }
        Sniffed::Safetensors => (Format::Safetensors, safetensors::read(bytes, name, options)),
        Sniffed::Npz => (Format::Npz, npy::read_npz(&bytes, name, options)),
        Sniffed::TorchZip => (Format::TorchStateDict, torch::read_zip(&bytes, name, options)),
        Sniffed::TorchLegacy => (Format::TorchStateDict, torch::read_legacy(bytes, name, options)),
        Sniffed::TorchScript => {
            (states_itself(Format::TorchScript)?, torch_script::read(&bytes, name))
        }
        Sniffed::KerasHdf5 => (Format::KerasHdf5, keras::read_h5(bytes, name, options)),
        Sniffed::KerasArchive => {
            (states_itself(Format::KerasArchive)?, keras::read_archive(&bytes, name))
        }
        Sniffed::Manifest => {
            states_itself(Format::Manifest)?;
            return follow(&bytes, origin, options);
        }
        Sniffed::Unknown(found) => {
            let path = origin.path.unwrap_or(Path::new("model bytes")).to_owned();
            return Err(ModelError::UnknownFormat { path, found: found.to_owned() });
        }
    };
    Ok(model?.with_format(format))
}

/// Reads the weights that a manifest names, as it says.
fn follow(bytes: &[u8], origin: &Origin<'_>, options: &LoadOptions) -> Result<Model, ModelError> {
    let malformed =
        |at, expected, got| Err(ModelError::malformed(Format::Manifest, at, expected, got));
    let manifest = Manifest::read(bytes)?;
    let Some(folder) = origin.folder() else {
        return malformed("manifest", "a path, because it names a file beside it", "bytes");
    };
    let weights = manifest.weights(folder);
    let options = manifest.options(options)?;
    if weights.is_dir() {
        return manifest.complete(load_directory(&weights, &options)?);
    }
    let bytes = file::read(&weights)?;
    if manifest::looks_like(&bytes) {
        return malformed("weights", "a file of weights", "another manifest");
    }
    manifest.complete(read(bytes, &Origin::of(&weights), &options)?)
}
