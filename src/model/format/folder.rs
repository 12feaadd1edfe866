//! Folders that models are read from.

use std::fs;
use std::path::{Path, PathBuf};

use super::file::Source;
use super::inside;
use crate::model::ModelError;

/// What files of a folder are called in errors.
const WHAT: &str = "file";

/// A folder whose files are opened by their names.
#[derive(Clone, Debug)]
pub(super) enum Folder {
    /// The caller chose it, and with it the links that are in it.
    Chosen(PathBuf),
    /// A file named it, below the folder that it is in itself: no link leads out of that.
    Named { root: PathBuf, below: Vec<String> },
}

impl Folder {
    /// The folder of a file that the caller chose.
    pub(super) fn of(file: &Path) -> Folder {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        Folder::Chosen(folder.unwrap_or(Path::new(".")).to_owned())
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Folder::Chosen(path) => path.clone(),
            Folder::Named { root, below } => {
                below.iter().fold(root.clone(), |path, name| path.join(name))
            }
        }
    }

    /// The folder's own name, where it has one that is text.
    pub(super) fn name(&self) -> String {
        let path = self.path();
        path.file_name().map_or("unnamed".into(), |name| name.to_string_lossy()).into_owned()
    }

    /// Opens a file by a path below the folder that does not come from any file.
    pub(super) fn open(&self, path: &str) -> Result<Source, ModelError> {
        match self {
            Folder::Chosen(folder) => Source::open(&folder.join(path)),
            Folder::Named { .. } => self.open_named(path, WHAT),
        }
    }

    /// Opens a file by a path of plain names that a file of the folder states; `what` it is, for
    /// errors.
    pub(super) fn open_named(&self, path: &str, what: &str) -> Result<Source, ModelError> {
        let names = path.split('/');
        match self {
            Folder::Chosen(folder) => inside::open_source(folder, &names.collect::<Vec<_>>(), what),
            Folder::Named { root, below } => {
                let names = below.iter().map(String::as_str).chain(names);
                inside::open_source(root, &names.collect::<Vec<_>>(), what)
            }
        }
    }

    /// Whether there is anything of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    /// The names in the folder that are text and that `wanted` is true of, in order.
    ///
    /// # Errors
    /// Where the folder cannot be read, or there are more than `max` of them.
    pub(super) fn names(
        &self,
        what: &str,
        max: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, ModelError> {
        let path = self.path();
        let io = |error| ModelError::io(&path, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(io)? {
            let name = entry.map_err(io)?.file_name().into_string();
            let Some(name) = name.ok().filter(|name| wanted(name)) else { continue };
            if names.len() == max {
                return Err(ModelError::too_large(what, max, max + 1));
            }
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }
}
