//! Files that other files name: opened below a folder, and nowhere else.
//!
//! A file that names another is hostile. So a path is one of plain names below the folder, no link
//! is followed on the way, and what is at its end must be a regular file that has no other name, or
//! a folder. Each is opened below what was opened before it and looked at once it is open, so that
//! nothing can be exchanged in between.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::file::{self, Source};
use crate::model::ModelError;

/// Whether a name is that of a file or folder, and leads nowhere else on any system.
pub(super) fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0'])
}

/// Opens the file that these names lead to, one below the other; `None` where that is a folder.
/// `what` it is, for errors.
pub(super) fn open(
    folder: &Path,
    names: &[&str],
    what: &str,
) -> Result<Option<Source>, ModelError> {
    let path = names.iter().fold(folder.to_owned(), |path, name| path.join(name));
    let refused = |got: &str| {
        let what = format!("{what} '{}'", names.join("/").escape_debug());
        ModelError::invalid(what, "a regular file in the model's own folder", got)
    };
    let file = match open_file(folder, names) {
        Ok(file) => file,
        Err(_) if has_link(folder, names) => {
            return Err(refused("a link, and links are not followed; copy what it leads to"));
        }
        // Not every system opens folders.
        Err(_) if path.is_dir() => return Ok(None),
        Err(error) => {
            // A socket cannot be opened, and the system's words for that do not say so.
            return Err(match path.symlink_metadata() {
                Ok(found) if !found.is_file() && !found.is_dir() => {
                    file::not_regular(&path, &found)
                }
                _ => ModelError::io(&path, &error),
            });
        }
    };
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(None);
    }
    let source = Source::of(file, path)?;
    if has_other_names(source.metadata()) {
        return Err(refused("a hard link, which may lead out of that folder; copy it"));
    }
    Ok(Some(source))
}

/// As [`open`], where only a file will do.
pub(super) fn open_source(folder: &Path, names: &[&str], what: &str) -> Result<Source, ModelError> {
    open(folder, names, what)?.ok_or_else(|| {
        let what = format!("{what} '{}'", names.join("/").escape_debug());
        ModelError::invalid(what, "a regular file", "a folder")
    })
}

/// Whether a link is why a file could not be opened; for the words of the error alone.
fn has_link(folder: &Path, names: &[&str]) -> bool {
    let mut path = folder.to_owned();
    names.iter().any(|name| {
        path.push(name);
        path.is_symlink()
    })
}

#[cfg(unix)]
fn has_other_names(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}

/// Opens a file below a folder, name by name, without following a link.
#[cfg(unix)]
fn open_file(folder: &Path, names: &[&str]) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open, openat};

    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut opened = open(folder, flags | OFlags::DIRECTORY, Mode::empty())?;
    let last = names.len().saturating_sub(1);
    for (index, name) in names.iter().enumerate() {
        // A pipe or device must not make its reader wait before it is seen to be one.
        let kind = if index < last { OFlags::DIRECTORY } else { OFlags::NONBLOCK | OFlags::NOCTTY };
        opened = openat(&opened, *name, flags | OFlags::NOFOLLOW | kind, Mode::empty())?;
    }
    Ok(File::from(opened))
}

#[cfg(not(unix))]
fn open_file(folder: &Path, names: &[&str]) -> io::Result<File> {
    let mut path = folder.to_owned();
    for name in names {
        path.push(name);
        if path.symlink_metadata()?.is_symlink() {
            return Err(io::Error::other("links are not followed"));
        }
    }
    // Whether it is a regular file is seen before it is opened, too, where that may wait.
    if !path.symlink_metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    File::open(path)
}
