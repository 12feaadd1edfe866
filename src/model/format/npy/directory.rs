//! A directory of `.npy` files.

use super::Member;
use crate::model::format::FILE_BYTES_MAX;
use crate::model::format::folder::Folder;
use crate::model::{Format, LAYERS_MAX, LoadOptions, Model, ModelError};

/// The most `.npy` files that are read: a weight, a bias and an activation per layer.
const FILES_MAX: usize = 3 * LAYERS_MAX;

const EXTENSION: &str = ".npy";

/// Whether the directory has files of this kind.
pub(in crate::model::format) fn is_directory(folder: &Folder) -> Result<bool, ModelError> {
    Ok(!names(folder)?.is_empty())
}

fn names(folder: &Folder) -> Result<Vec<String>, ModelError> {
    folder.names(".npy files", FILES_MAX, |name| name.ends_with(EXTENSION))
}

/// Reads the `.npy` layers of a directory; other files are left alone.
pub(in crate::model::format) fn read_directory(
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let mut members = Vec::new();
    let mut total = 0;
    for file in names(folder)? {
        let bytes = folder.open(&file)?.read()?.into_bytes();
        total += bytes.len();
        if total > FILE_BYTES_MAX {
            return Err(ModelError::too_large("bytes in .npy files", FILE_BYTES_MAX, total));
        }
        let name = file.strip_suffix(EXTENSION).unwrap_or(&file).to_owned();
        members.push(Member { name, bytes });
    }
    super::model(Format::NpyDirectory, members, &folder.name(), options)
}
