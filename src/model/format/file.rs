//! The bytes of a file: small ones read, large ones mapped; files written whole, or not at all.

#![allow(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

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

fn map(file: &File) -> io::Result<Mmap> {
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

/// Writes a file beside `path` and moves it there, so that a reader sees the old file or the new.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), ModelError> {
    let temporary = temporary_beside(path);
    let written = write_file(&temporary, write).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // The write has failed already, and its error is the one to report.
        let _ = fs::remove_file(&temporary);
        ModelError::io(path, &error)
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut writer = BufWriter::new(File::create(path)?);
    write(&mut writer)?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
