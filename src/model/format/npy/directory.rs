//! A directory of `.npy` files.

use std::fs;
use std::path::Path;

use super::Member;
use crate::model::format::{FILE_BYTES_MAX, read_file};
use crate::model::{Format, LAYERS_MAX, LoadOptions, Model, ModelError};

/// The most `.npy` files that are read: a weight, a bias and an activation per layer.
const FILES_MAX: usize = 3 * LAYERS_MAX;

/// Reads the `.npy` layers of a directory; other files are left alone.
pub(in crate::model::format) fn read_directory(
    path: &Path,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let io = |error| ModelError::io(path, &error);
    let mut members = Vec::new();
    let mut total = 0;
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?.path();
        let Some(name) = entry.file_name().and_then(|name| name.to_str()?.strip_suffix(".npy"))
        else {
            continue;
        };
        if members.len() == FILES_MAX {
            return Err(ModelError::too_large(".npy files", FILES_MAX, FILES_MAX + 1));
        }
        let bytes = read_file(&entry)?;
        total += bytes.len();
        if total > FILE_BYTES_MAX {
            return Err(ModelError::too_large("bytes in .npy files", FILE_BYTES_MAX, total));
        }
        members.push(Member { name: name.to_owned(), bytes: bytes.into() });
    }
    if members.is_empty() {
        let found = if path.join("saved_model.pb").exists() {
            "a TensorFlow SavedModel; convert it to ONNX with tf2onnx"
        } else {
            "a directory without .npy layers"
        };
        return Err(ModelError::UnknownFormat { path: path.to_owned(), found: found.to_owned() });
    }
    let name = path.file_name().map_or("unnamed".into(), |name| name.to_string_lossy());
    super::model(Format::NpyDirectory, members, &name, options)
}
