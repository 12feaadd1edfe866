//! Files that appear whole: written beside their place under a random name, then renamed to it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// How many names are tried; one of 64 random bits is hardly ever taken.
const NAMES: usize = 16;

/// Writes a file and moves it to `path`. Every reader sees the old file or the new one, whole, also
/// after a loss of power, and however many threads and processes replace it at once.
///
/// A file that is there already keeps its permissions. A link is replaced, not followed.
///
/// # Errors
/// What the system says, or what `write` returns; the old file is then still there.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let kept = permissions_of(path)?;
    let (temporary, file) = Temporary::new(folder)?;
    if let Some(kept) = kept {
        file.set_permissions(kept)?;
    }
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, &file);
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.sync_all()?;
    // Some systems do not rename what is open.
    drop(file);
    temporary.rename(path)?;
    sync_folder(folder)
}

/// A file under a name that no other has, removed when this is dropped.
struct Temporary {
    path: Option<PathBuf>,
}

impl Temporary {
    fn new(folder: &Path) -> io::Result<(Temporary, File)> {
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..NAMES {
            // The keys of a hash table are random, and so is the hash of nothing.
            let random = RandomState::new().hash_one(());
            let path = folder.join(format!(".fusewire-{random:016x}.tmp"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Temporary { path: Some(path) }, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, to)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The write has failed already, and its error is the one to report.
            let _ = fs::remove_file(path);
        }
    }
}

/// What a regular file that is there already may be used for.
fn permissions_of(path: &Path) -> io::Result<Option<Permissions>> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match metadata.file_type() {
        kind if kind.is_file() => Ok(Some(metadata.permissions())),
        kind if kind.is_symlink() => Ok(None),
        _ => {
            let message = "it is there already, and is not a regular file";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
        }
    }
}

/// Makes the new name last. A folder that may be written to but not opened is left to the system.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    let synced = File::open(folder).map(|folder| folder.sync_all());
    match synced.unwrap_or(Ok(())) {
        // Some file systems have no such call for folders.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it");
        replace(&path, |to| to.write_all(b"old")).unwrap();
        let failed = replace(&path, |to| {
            to.write_all(b"new")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let taken = replace(folder.path(), |to| to.write_all(b"new")).unwrap_err();
        assert!(taken.to_string().contains("not a regular file"), "{taken}");
    }

    #[test]
    fn writers_of_one_path_never_tear_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it");
        let content = |writer: u8| vec![writer; 100_000 + usize::from(writer)];
        replace(&path, |to| to.write_all(&content(0))).unwrap();
        thread::scope(|scope| {
            let writers = [1, 2, 3].map(|writer| {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        replace(path, |to| {
                            content(writer).chunks(999).try_for_each(|part| to.write_all(part))
                        })
                        .unwrap();
                    }
                })
            });
            while writers.iter().any(|writer| !writer.is_finished()) {
                let read = fs::read(&path).unwrap();
                assert_eq!(read, content(read[0]));
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_the_old_file_or_of_any_new_one() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let (usual, path) = (folder.path().join("usual"), folder.path().join("it"));
        fs::write(&usual, b"").unwrap();
        replace(&path, |to| to.write_all(b"new")).unwrap();
        assert_eq!(mode(&path), mode(&usual));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, |to| to.write_all(b"newer")).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o640, b"newer".to_vec()));
    }
}
