//! The file that `torch.save` wrote before PyTorch 1.6, and still does when it is asked to.

use std::collections::HashMap;

use bytes::Bytes;

use super::malformed;
use super::state::{self, State};
use super::storage::Storages;
use crate::model::format::pickle::{Pickle, Reader, StorageRef, StorageType, Value};
use crate::model::{Format, ModelError};

/// The number that such a file begins with, as a pickle stores it.
const MAGIC: &[u8; 10] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// How far into the file the number ends at most: behind a protocol and a frame.
const MAGIC_END: usize = 24;
/// The only version of the format there is.
const VERSION: i64 = 1001;

/// Whether the bytes begin with a pickle of the magic number.
pub(in crate::model::format) fn looks_like(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(MAGIC_END)];
    start.first() == Some(&0x80) && start.windows(MAGIC.len()).any(|window| window == MAGIC)
}

/// What the state_dict of a file that begins with the magic number holds.
pub(super) fn read(bytes: &Bytes) -> Result<State, ModelError> {
    let mut parts = Parts { bytes, position: 0 };
    parts.preamble()?;
    let pickle = parts.pickle("data")?;
    let keys = parts.pickle("storage keys")?;
    let mut raw = Raw { storages: HashMap::new(), bytes_read: 0 };
    raw.find(bytes, parts.position, &pickle, &keys)?;
    state::read(&pickle, &mut raw)
}

/// Pickles one after another.
struct Parts<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Parts<'a> {
    fn pickle(&mut self, source: &str) -> Result<Pickle<'a>, ModelError> {
        let reader = Reader { format: Format::TorchStateDict, source, objects: false };
        let pickle = reader.read(self.bytes.get(self.position..).unwrap_or_default())?;
        self.position += pickle.length();
        Ok(pickle)
    }

    /// The magic number, the version, and the machine's byte order.
    fn preamble(&mut self) -> Result<(), ModelError> {
        let magic = self.pickle("magic number")?;
        if *magic.get(magic.root()) != Value::Long(MAGIC) {
            let got = magic.get(magic.root()).kind();
            return Err(malformed("magic number", "PyTorch's", got));
        }
        let version = self.pickle("version")?;
        match version.get(version.root()) {
            Value::Int(VERSION) => {}
            Value::Int(other) => return Err(malformed("version", VERSION, other)),
            other => return Err(malformed("version", VERSION, other.kind())),
        }
        let system = self.pickle("system")?;
        let is_little = system.entry(system.root(), "little_endian");
        match is_little.map(|id| system.get(id)) {
            Some(Value::Bool(true)) => Ok(()),
            Some(Value::Bool(false)) => {
                Err(malformed("system", "a file of a little-endian machine", "big-endian"))
            }
            _ => Err(malformed("system", "little_endian", "none")),
        }
    }
}

/// Storages behind the pickles.
struct Raw {
    /// Each one's bytes, and whether they were asked for.
    storages: HashMap<String, (Bytes, bool)>,
    bytes_read: usize,
}

impl Raw {
    /// Finds the storage of each key, which lie behind `position` in the order of the keys.
    fn find(
        &mut self,
        bytes: &Bytes,
        mut position: usize,
        pickle: &Pickle<'_>,
        keys: &Pickle<'_>,
    ) -> Result<(), ModelError> {
        let Value::List(ids) = keys.get(keys.root()) else {
            return Err(malformed("storage keys", "a list", keys.get(keys.root()).kind()));
        };
        let types: HashMap<&str, &StorageType> =
            pickle.storages().map(|storage| (storage.key, storage.kind)).collect();
        for id in ids {
            let key = keys.text(*id).and_then(|key| Some((key, *types.get(key)?)));
            let Some((key, kind)) = key else {
                return Err(malformed("storage keys", "keys of the data's storages", "another"));
            };
            let at = || format!("storage '{}'", key.escape_debug());
            let rest = bytes.get(position..).unwrap_or_default();
            let Some((count, rest)) = rest.split_first_chunk() else {
                return Err(malformed(at(), "a length of 8 bytes", rest.len()));
            };
            let count = u64::from_le_bytes(*count);
            let length =
                usize::try_from(count).ok().and_then(|count| count.checked_mul(kind.bytes));
            let Some(length) = length.filter(|length| *length <= rest.len()) else {
                let expected = format!("{count} elements of {}", kind.name);
                return Err(malformed(at(), expected, format!("{} bytes", rest.len())));
            };
            // The count's eight bytes and the elements are there.
            let start = position + 8;
            position = start + length;
            self.storages.insert(key.to_owned(), (bytes.slice(start..position), false));
        }
        if position != bytes.len() {
            let got = format!("{} bytes more", bytes.len() - position);
            return Err(malformed("storages", "nothing behind them", got));
        }
        Ok(())
    }
}

impl Storages for Raw {
    fn storage(&mut self, of: &StorageRef<'_>) -> Result<Bytes, ModelError> {
        let Some((bytes, was_read)) = self.storages.get_mut(of.key) else {
            let expected = format!("a storage '{}'", of.key.escape_debug());
            return Err(malformed("storage keys", expected, "none"));
        };
        if !std::mem::replace(was_read, true) {
            self.bytes_read += bytes.len();
        }
        Ok(bytes.clone())
    }

    fn bytes_read(&self) -> usize {
        self.bytes_read
    }
}
