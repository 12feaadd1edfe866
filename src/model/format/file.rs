//! Writing a file whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::model::ModelError;

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
