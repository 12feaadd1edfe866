//! Model files: one module per format, all ending in the same [`Model`] constructors.
//!
//! A format is recognised by its content, never by a file's extension. Bytes are hostile: each
//! module checks every size it is told against the bytes that are there before it allocates.

mod archive;
mod file;
mod folder;
mod foreign;
mod graph;
mod inside;
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
mod shards;
mod sniff;
mod strided;
mod torch;
mod torch_script;
mod u8_scale;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use bytes::Bytes;

use super::{LoadOptions, Model, ModelError};
use file::{Contents, Source};
use folder::Folder;
use manifest::Manifest;
use named::NamedTensors;
#[cfg(feature = "testing")]
pub use saved_model::saved_model_of_parts;
use shards::Set;
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

/// The most entries of a folder that are looked at to say what it is.
const ENTRIES_MAX: usize = 1 << 16;

/// Reads a model from a file or a directory, by its content.
pub(super) fn load(path: &Path, options: &LoadOptions) -> Result<Model, ModelError> {
    if !path.is_dir() {
        return load_file(&Source::open(path)?, &Folder::of(path), options);
    }
    let folder = Folder::Chosen(path.to_owned());
    if folder.has(MANIFEST_NAME) {
        return load_file(&folder.open(MANIFEST_NAME)?, &folder, options);
    }
    load_folder(&folder, options)
}

/// Reads a model from the bytes of a file, by their content.
pub(super) fn from_bytes(bytes: &[u8], options: &LoadOptions) -> Result<Model, ModelError> {
    file::check_size(bytes.len())?;
    let contents = Contents::of(Bytes::copy_from_slice(bytes));
    read(&contents, &Origin { file: None, name: UNNAMED.into() }, options)
}

fn load_folder(folder: &Folder, options: &LoadOptions) -> Result<Model, ModelError> {
    if folder.has(saved_model::FILE) {
        options.check_states_itself(Format::SavedModel)?;
        return Ok(saved_model::read_directory(folder)?.with_format(Format::SavedModel));
    }
    if let Some(set) = Set::in_folder(folder)? {
        return set.model(options);
    }
    if npy::is_directory(folder)? {
        return Ok(npy::read_directory(folder, options)?.with_format(Format::NpyDirectory));
    }
    let names = folder.names("entries of the folder", ENTRIES_MAX, |_| true)?;
    Err(ModelError::UnknownFormat { path: folder.path(), found: foreign::folder(&names) })
}

/// Reads a model from a file of a folder.
fn load_file(source: &Source, folder: &Folder, options: &LoadOptions) -> Result<Model, ModelError> {
    read(&source.read()?, &Origin::of(source.path(), folder), options)
}

/// Where bytes come from.
struct Origin<'a> {
    /// The file and its folder, where they come from one.
    file: Option<(&'a Path, &'a Folder)>,
    /// The name of a model that does not say its own.
    name: Cow<'a, str>,
}

impl<'a> Origin<'a> {
    fn of(path: &'a Path, folder: &'a Folder) -> Origin<'a> {
        let name = path.file_stem().map_or(UNNAMED.into(), |stem| stem.to_string_lossy());
        Origin { file: Some((path, folder)), name }
    }

    /// The folder that the file is in; bytes have none.
    fn folder(&self) -> Option<&'a Folder> {
        self.file.map(|(_, folder)| folder)
    }
}

/// The file's own name.
fn name_of(path: &Path) -> Cow<'_, str> {
    path.file_name().map_or(UNNAMED.into(), |name| name.to_string_lossy())
}

fn read(
    contents: &Contents,
    origin: &Origin<'_>,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let name = &origin.name;
    let bytes = contents.bytes();
    let states_itself = |format| options.check_states_itself(format).map(|()| format);
    let sniffed = sniff::sniff(bytes);
    if let Some(set) = set_of(&sniffed, bytes, origin)? {
        return set.model(options);
    }
    let (format, model) = match sniffed {
        Sniffed::Onnx => {
            let folder = options.external_data.then(|| origin.folder()).flatten();
            (states_itself(Format::Onnx)?, onnx::read(bytes.clone(), name, folder))
        }
        Sniffed::Safetensors => (Format::Safetensors, safetensors::read(contents, name, options)),
        Sniffed::Npz => (Format::Npz, npy::read_npz(bytes, name, options)),
        Sniffed::TorchZip => (Format::TorchStateDict, torch::read_zip(bytes, name, options)),
        Sniffed::TorchLegacy => (Format::TorchStateDict, torch::read_legacy(bytes, name, options)),
        Sniffed::TorchScript => {
            (states_itself(Format::TorchScript)?, torch_script::read(bytes, name))
        }
        Sniffed::KerasHdf5 => (Format::KerasHdf5, keras::read_h5(bytes.clone(), name, options)),
        Sniffed::KerasArchive => {
            (states_itself(Format::KerasArchive)?, keras::read_archive(bytes, name))
        }
        Sniffed::Manifest => {
            states_itself(Format::Manifest)?;
            return follow(bytes, origin, options);
        }
        Sniffed::Index => {
            let expected = "a path, because it names files beside it";
            return Err(ModelError::invalid("an index of shards", expected, "bytes"));
        }
        Sniffed::Unknown(found) => {
            let path = origin.file.map_or(Path::new("model bytes"), |(path, _)| path).to_owned();
            return Err(ModelError::UnknownFormat { path, found: found.to_owned() });
        }
    };
    Ok(model?.with_format(format))
}

/// The set of shards that a file is the index of, or one of.
fn set_of(sniffed: &Sniffed, bytes: &[u8], origin: &Origin<'_>) -> Result<Option<Set>, ModelError> {
    let Some((path, folder)) = origin.file else { return Ok(None) };
    let file_name = name_of(path);
    match sniffed {
        Sniffed::Index => Set::of(bytes, &file_name, folder).map(Some),
        Sniffed::Safetensors | Sniffed::TorchZip | Sniffed::TorchLegacy | Sniffed::KerasHdf5 => {
            let set = Set::with(&file_name, folder)?;
            // A link has a name and a folder of its own; both places tell.
            let file = path.is_symlink().then(|| path.canonicalize().ok()).flatten();
            match file.filter(|_| set.is_none()) {
                Some(file) => Set::with(&name_of(&file), &Folder::of(&file)),
                None => Ok(set),
            }
        }
        Sniffed::Npz | Sniffed::Unknown(_) if shards::is_numbered(&file_name) => {
            Set::with(&file_name, folder)
        }
        _ => Ok(None),
    }
}

/// The tensors of a shard, which is a file of this name.
fn tensors_of(file: &str, contents: &Contents) -> Result<NamedTensors, ModelError> {
    match sniff::sniff(contents.bytes()) {
        Sniffed::Safetensors => safetensors::tensors(contents),
        Sniffed::TorchZip => torch::tensors_of_zip(contents.bytes()),
        Sniffed::TorchLegacy => torch::tensors_of_legacy(contents.bytes()),
        _ => Err(ModelError::invalid(
            file.escape_debug(),
            "a shard in safetensors or a state_dict of PyTorch",
            "another format, whose shards are not joined; save the network in one file",
        )),
    }
}

/// Reads the weights that a manifest names, as it says.
fn follow(bytes: &[u8], origin: &Origin<'_>, options: &LoadOptions) -> Result<Model, ModelError> {
    let malformed =
        |at, expected, got| Err(ModelError::malformed(Format::Manifest, at, expected, got));
    let manifest = Manifest::read(bytes)?;
    let Some(folder) = origin.folder() else {
        return malformed("manifest", "a path, because it names a file beside it", "bytes");
    };
    let mut names = manifest.weights();
    let options = manifest.options(options)?;
    let root = folder.path();
    let path: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(source) = inside::open(&root, &path, "weights")? else {
        let folder = Folder::Named { root, below: names };
        return manifest.complete(load_folder(&folder, &options)?);
    };
    let contents = source.read()?;
    if manifest::looks_like(contents.bytes()) {
        return malformed("weights", "a file of weights", "another manifest");
    }
    names.pop();
    let folder = Folder::Named { root, below: names };
    manifest.complete(read(&contents, &Origin::of(source.path(), &folder), &options)?)
}
