//! The index of a checkpoint: a table of sorted keys in blocks, in LevelDB's format.
//!
//! ```text
//! data blocks | .. | index block | footer: 2 handles, padded to 40 bytes, and a magic number
//! block = entries, restarts (u32 each), their number (u32) | type (u8) | crc32c, masked (u32)
//! entry = shared, unshared, length (varints) | the key's end | value
//! ```
//!
//! Described in <https://github.com/google/leveldb/blob/main/doc/table_format.md>. Blocks must
//! stand one after the other and keys must ascend, so that no byte is read twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::encoding::decode_varint;

use super::checksum;
use super::malformed;
use crate::model::ModelError;

const MAGIC: [u8; 8] = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
const FOOTER_BYTES: usize = 48;
/// A block's type and checksum.
const TRAILER_BYTES: usize = 5;
/// The most entries an index may have; the largest chain needs a tenth.
const ENTRIES_MAX: usize = 1 << 16;
/// The most bytes all keys may have together, which share prefixes in the file.
const KEY_BYTES_MAX: usize = 16 << 20;

pub(super) type Entries = BTreeMap<Vec<u8>, Bytes>;

/// All entries of a table.
pub(super) fn entries(file: &Bytes) -> Result<Entries, ModelError> {
    let at = "checkpoint index";
    let short = || malformed(at, "a table's footer", format!("{} bytes", file.len()));
    let start = file.len().checked_sub(FOOTER_BYTES).ok_or_else(short)?;
    let (mut handles, magic) =
        file[start..].split_at_checked(FOOTER_BYTES - MAGIC.len()).ok_or_else(short)?;
    if magic != MAGIC {
        return Err(malformed(at, "a table's magic number", format!("{magic:02x?}")));
    }
    let _metadata = Handle::read(&mut handles)?;
    let index = Handle::read(&mut handles)?;
    let mut reader = Reader { entries: Entries::new(), last: None, key_bytes: 0, count: 0 };
    let mut end = 0;
    let mut handles = Vec::new();
    reader.block(&index.block(file)?, |_, _, handle| {
        handles.push(Handle::read(&mut &handle[..])?);
        Ok(())
    })?;
    reader.last = None;
    for handle in handles {
        if handle.offset < end || handle.offset.saturating_add(handle.size) > index.offset {
            let got = format!("one at byte {}", handle.offset);
            return Err(malformed(at, format!("a block from byte {end} on"), got));
        }
        end = handle.offset + handle.size + TRAILER_BYTES;
        reader.block(&handle.block(file)?, |entries, key, value| {
            entries.insert(key.to_owned(), value);
            Ok(())
        })?;
    }
    Ok(reader.entries)
}

/// Where a block stands.
struct Handle {
    offset: usize,
    size: usize,
}

impl Handle {
    fn read(bytes: &mut &[u8]) -> Result<Handle, ModelError> {
        Ok(Handle { offset: number(bytes)?, size: number(bytes)? })
    }

    /// The entries and restarts of the block.
    fn block(&self, file: &Bytes) -> Result<Bytes, ModelError> {
        let at = format!("checkpoint index, block at byte {}", self.offset);
        let end = self.offset.checked_add(self.size);
        let whole = end.and_then(|end| end.checked_add(TRAILER_BYTES));
        let (Some(end), Some(whole)) = (end, whole.filter(|whole| *whole <= file.len())) else {
            let expected = format!("a block inside {} bytes", file.len());
            return Err(malformed(at, expected, format!("{} bytes", self.size)));
        };
        let (kind, sum) = (file[end], &file[end + 1..whole]);
        checksum::check(&at, &file[self.offset..=end], sum)?;
        match kind {
            0 => Ok(file.slice(self.offset..end)),
            1 => Err(ModelError::unsupported(at, "snappy", "compressed indices are not read")),
            other => Err(malformed(at, "a block that is not compressed", format!("type {other}"))),
        }
    }
}

struct Reader {
    entries: Entries,
    last: Option<Vec<u8>>,
    key_bytes: usize,
    count: usize,
}

impl Reader {
    /// Reads the entries of a block, whose keys must come after those before it.
    fn block(
        &mut self,
        block: &Bytes,
        mut entry: impl FnMut(&mut Entries, &[u8], Bytes) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let end = entries_end(block).ok_or_else(|| damaged("restarts inside a block"))?;
        let mut rest = block.slice(..end);
        let mut key = Vec::new();
        while !rest.is_empty() {
            let mut bytes = &rest[..];
            let [shared, unshared, length] =
                [number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?];
            let (suffix, bytes) =
                bytes.split_at_checked(unshared).ok_or_else(|| damaged("a key inside a block"))?;
            if shared > key.len() || length > bytes.len() {
                return Err(damaged("an entry inside a block"));
            }
            key.truncate(shared);
            key.extend_from_slice(suffix);
            self.take(&key)?;
            let value = rest.len() - bytes.len();
            entry(&mut self.entries, &key, rest.slice(value..value + length))?;
            rest = rest.slice(value + length..);
        }
        Ok(())
    }

    /// Counts a key, which must come after the last.
    fn take(&mut self, key: &[u8]) -> Result<(), ModelError> {
        self.count += 1;
        if self.count > ENTRIES_MAX {
            let what = "entries of the checkpoint index";
            return Err(ModelError::too_large(what, ENTRIES_MAX, self.count));
        }
        // What comparing and keeping it costs.
        self.key_bytes += key.len();
        if self.key_bytes > KEY_BYTES_MAX {
            let what = "bytes in keys of the checkpoint index";
            return Err(ModelError::too_large(what, KEY_BYTES_MAX, self.key_bytes));
        }
        if self.last.as_deref().is_some_and(|last| last >= key) {
            return Err(damaged("keys in ascending order"));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }
}

/// Where a block's entries end and its restarts begin.
fn entries_end(block: &[u8]) -> Option<usize> {
    let (entries, count) = block.split_last_chunk::<4>()?;
    let restarts = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(4)?;
    entries.len().checked_sub(restarts)
}

fn number(bytes: &mut &[u8]) -> Result<usize, ModelError> {
    let number = decode_varint(bytes).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| damaged("a number"))
}

fn damaged(expected: &str) -> ModelError {
    malformed("checkpoint index", expected, "a damaged one")
}
