//! The zip that `torch.save` writes since PyTorch 1.6.

use std::collections::HashMap;

use bytes::Bytes;

use super::malformed;
use super::state::{self, State};
use super::storage::Storages;
use crate::model::format::archive::{Archive, member_names};
use crate::model::format::pickle::{Reader, StorageRef};
use crate::model::{Format, ModelError};

/// The most members: a storage for every tensor of a checkpoint.
const MEMBERS_MAX: usize = 1 << 16;

const PICKLE: &str = "data.pkl";

/// What the state_dict of a zip with a `data.pkl` holds.
pub(super) fn read(bytes: &[u8]) -> Result<State, ModelError> {
    let archive = Archive::open(bytes, Format::TorchStateDict, MEMBERS_MAX)?;
    let names = member_names(bytes).unwrap_or_default();
    let root = |name: &String| {
        name.strip_suffix(PICKLE)
            .filter(|root| root.is_empty() || root.ends_with('/'))
            .map(str::to_owned)
    };
    let roots: Vec<String> = names.iter().filter_map(root).collect();
    let [root] = &roots[..] else {
        return Err(malformed("zip", "one data.pkl", roots.len()));
    };
    let mut members = Members { archive, root, storages: HashMap::new(), bytes_read: 0 };
    members.check_byte_order()?;
    let pickle = members.member(PICKLE)?;
    let reader = Reader { format: Format::TorchStateDict, source: PICKLE, objects: false };
    state::read(&reader.read(&pickle)?, &mut members)
}

struct Members<'a> {
    archive: Archive<'a>,
    /// What stands before every name.
    root: &'a str,
    /// Storages that were read, by key.
    storages: HashMap<String, Bytes>,
    bytes_read: usize,
}

impl Members<'_> {
    fn index_of(&self, name: &str) -> Option<usize> {
        self.archive.index_of(&format!("{}{name}", self.root))
    }

    fn member(&mut self, name: &str) -> Result<Vec<u8>, ModelError> {
        let Some(index) = self.index_of(name) else {
            return Err(malformed("zip", format!("a member '{}'", name.escape_debug()), "none"));
        };
        Ok(self.archive.read(index)?.1)
    }

    fn check_byte_order(&mut self) -> Result<(), ModelError> {
        if self.index_of("byteorder").is_none() {
            return Ok(());
        }
        match &self.member("byteorder")?[..] {
            b"little" => Ok(()),
            other => {
                let start = &other[..other.len().min(20)];
                Err(malformed("byteorder", "little", start.escape_ascii()))
            }
        }
    }
}

impl Storages for Members<'_> {
    fn storage(&mut self, of: &StorageRef<'_>) -> Result<Bytes, ModelError> {
        if let Some(bytes) = self.storages.get(of.key) {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(self.member(&format!("data/{}", of.key))?);
        self.bytes_read += bytes.len();
        self.storages.insert(of.key.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn bytes_read(&self) -> usize {
        self.bytes_read
    }
}
