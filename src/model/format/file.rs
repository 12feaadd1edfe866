//! The bytes of a file: read when it is small, mapped when it is large.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

use super::FILE_BYTES_MAX;
use crate::model::ModelError;

/// Files from this size on are mapped: below, reading costs less than the pages' faults.
const MAPPED_BYTES_MIN: u64 = 1 << 20;

/// The bytes of a file of any length up to [`FILE_BYTES_MAX`].
pub(super) fn read(path: &Path) -> Result<Bytes, ModelError> {
    let io = |error| ModelError::io(path, &error);
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    check_size(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    if metadata.is_file() && metadata.len() >= MAPPED_BYTES_MIN {
        return Ok(Bytes::from_owner(map(&file).map_err(io)?));
    }
    // The limit holds for what is read too: a device or a growing file has no length.
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    check_size(bytes.len())?;
    Ok(Bytes::from(bytes))
}

/// Refuses what is past [`FILE_BYTES_MAX`].
pub(super) fn check_size(bytes: usize) -> Result<(), ModelError> {
    if bytes > FILE_BYTES_MAX {
        return Err(ModelError::too_large("model file bytes", FILE_BYTES_MAX, bytes));
    }
    Ok(())
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only and is unmapped with its last user. That nobody writes to the
    // file meanwhile no program can see to; `Model::load` tells its callers to replace model files
    // by renaming, which leaves the mapped one as it is.
    let map = unsafe { Mmap::map(file)? };
    // Every page is read at once, by the check that numbers are finite. That the system may not
    // take the advice costs nothing but time.
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::WillNeed);
    Ok(map)
}
