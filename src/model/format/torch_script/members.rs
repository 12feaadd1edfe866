//! The members of the archive, by their names below its root folder.

use std::cell::RefCell;

use crate::model::format::archive::Archive;
use crate::model::{Format, ModelError};

/// The most members an archive may have: a layer has a dozen.
const MEMBERS_MAX: usize = 1 << 15;

/// An archive that holds `ROOT/data.pkl`.
pub(super) struct Members<'a> {
    archive: RefCell<Archive<'a>>,
    root: String,
    bytes: usize,
}

impl<'a> Members<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Members<'a>, ModelError> {
        let archive = Archive::open(bytes, Format::TorchScript, MEMBERS_MAX)?;
        let mut roots = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
        let root = roots.find(|root| root.is_empty() || root.ends_with('/')).map(str::to_owned);
        drop(roots);
        let root = root.ok_or_else(|| {
            ModelError::malformed(Format::TorchScript, "archive", "a member data.pkl", "none")
        })?;
        Ok(Members { archive: RefCell::new(archive), root, bytes: bytes.len() })
    }

    /// The length of the whole file.
    pub(super) fn file_bytes(&self) -> usize {
        self.bytes
    }

    /// The content of a member, where it is there.
    pub(super) fn find(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        let mut archive = self.archive.borrow_mut();
        match archive.index_of(&format!("{}{name}", self.root)) {
            Some(index) => archive.read(index).map(|(_, bytes)| Some(bytes)),
            None => Ok(None),
        }
    }

    /// The content of a member that has to be there.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, ModelError> {
        self.find(name)?.ok_or_else(|| {
            let expected = format!("a member {name:.200}");
            ModelError::malformed(Format::TorchScript, "archive", expected, "none")
        })
    }
}
