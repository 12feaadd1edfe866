//! The checkpoint of a SavedModel: tensors by key, in shards beside their index.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use prost::encoding::decode_varint;

use super::files::Files;
use super::limits::{BUNDLE_ENTRY, Decoder};
use super::proto::{BundleEntry, BundleHeader, TensorShape, data_type};
use super::table::{self, Entries};
use super::{checksum, malformed};
use crate::model::format::FILE_BYTES_MAX;
use crate::model::format::graph::Numbers;
use crate::model::format::numbers::{Element, element_count};
use crate::model::{LAYERS_MAX, ModelError};

const INDEX: &str = "variables/variables.index";
/// The key of the header.
const HEADER: &[u8] = b"";
/// The most axes a tensor may have.
const AXES_MAX: usize = 16;
/// The most shards that are opened.
const SHARDS_MAX: usize = LAYERS_MAX;

/// A checkpoint whose shards are read when a tensor of theirs is asked for.
pub(super) struct Bundle<'f> {
    files: &'f dyn Files,
    entries: Entries,
    shards: i32,
    opened: HashMap<i32, Bytes>,
    /// Bytes of all opened shards.
    bytes: usize,
    /// Bytes of all tensors taken from them.
    taken: usize,
}

/// A tensor as it is stored.
pub(super) struct Stored {
    pub(super) dims: Vec<usize>,
    pub(super) numbers: Numbers,
}

impl<'f> Bundle<'f> {
    pub(super) fn open(files: &'f dyn Files) -> Result<Bundle<'f>, ModelError> {
        let index = files.read(INDEX)?;
        let entries = table::entries(&index)?;
        let at = "checkpoint header";
        let header = entries.get(HEADER).ok_or_else(|| malformed(at, "one", "none"))?;
        let header = BundleHeader::decode(header.clone())
            .map_err(|error| malformed(at, "a sound message", error))?;
        if header.endianness != 0 {
            return Err(malformed(at, "little-endian numbers", "big-endian ones"));
        }
        let (shards, opened) = (header.num_shards, HashMap::new());
        Ok(Bundle { files, entries, shards, opened, bytes: 0, taken: 0 })
    }

    /// The floats under a key.
    pub(super) fn floats(
        &mut self,
        decoder: &mut Decoder,
        key: &str,
    ) -> Result<Stored, ModelError> {
        let (entry, bytes) = self.entry(decoder, key)?;
        let at = at(key);
        checksum::compare(&at, checksum::of(&[&bytes]), entry.crc32c)?;
        let element = element_of(entry.dtype).ok_or_else(|| {
            malformed(&at, "float, double, half or bfloat16", format!("type {}", entry.dtype))
        })?;
        let dims = dims(&at, entry.shape.as_ref())?;
        let expected = element_count(&dims).and_then(|count| count.checked_mul(element.bytes()));
        if expected != Some(bytes.len()) {
            let expected = format!("the bytes of {dims:?}");
            return Err(malformed(at, expected, format!("{} bytes", bytes.len())));
        }
        Ok(Stored { dims, numbers: Numbers::Stored(element, bytes) })
    }

    /// The one string under a key: its length, that length's checksum, and its bytes.
    pub(super) fn string(&mut self, decoder: &mut Decoder, key: &str) -> Result<Bytes, ModelError> {
        let (entry, bytes) = self.entry(decoder, key)?;
        let at = at(key);
        let is_string = entry.dtype == data_type::STRING;
        if !is_string || entry.shape.is_some_and(|shape| !shape.dim.is_empty()) {
            return Err(malformed(at, "one string", format!("type {}", entry.dtype)));
        }
        let damaged = || malformed(&at, "a string of its length", "a damaged one");
        let mut rest = &bytes[..];
        let length = decode_varint(&mut rest).map_err(|_| damaged())?;
        let (sum, text) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let short = u32::try_from(length).ok().filter(|n| usize::try_from(*n) == Ok(text.len()));
        let length = short.ok_or_else(damaged)?.to_le_bytes();
        checksum::check(&at, &length, sum)?;
        checksum::compare(&at, checksum::of(&[&length, sum, text]), entry.crc32c)?;
        Ok(bytes.slice(bytes.len() - text.len()..))
    }

    /// What the index says about a key, and the bytes that it points to.
    fn entry(
        &mut self,
        decoder: &mut Decoder,
        key: &str,
    ) -> Result<(BundleEntry, Bytes), ModelError> {
        let at = at(key);
        let missing = || malformed("checkpoint index", format!("the key '{key}'"), "none");
        let entry = self.entries.get(key.as_bytes()).cloned().ok_or_else(missing)?;
        let entry: BundleEntry = decoder.decode(entry, &BUNDLE_ENTRY, &at)?;
        if !entry.slices.is_empty() {
            return Err(ModelError::unsupported(
                key,
                "partitioned variable",
                "its parts are not joined; export the model with whole variables",
            ));
        }
        let shard = self.shard(&at, entry.shard_id)?;
        let offset = usize::try_from(entry.offset).ok();
        let end = offset.zip(usize::try_from(entry.size).ok()).and_then(|(a, b)| a.checked_add(b));
        let (Some(offset), Some(end)) = (offset, end.filter(|end| *end <= shard.len())) else {
            let expected = format!("a place inside {} bytes", shard.len());
            let got = format!("{} bytes at {}", entry.size, entry.offset);
            return Err(malformed(at, expected, got));
        };
        // Keys that share their bytes could ask for any amount of work.
        self.taken += end - offset;
        if self.taken > self.bytes {
            return Err(malformed(at, "tensors that do not overlap", "one that does"));
        }
        Ok((entry, shard.slice(offset..end)))
    }

    /// The bytes of a shard, whose file has no other name than its number gives it.
    fn shard(&mut self, at: &str, shard: i32) -> Result<Bytes, ModelError> {
        if let Some(bytes) = self.opened.get(&shard) {
            return Ok(bytes.clone());
        }
        if !(0..self.shards).contains(&shard) {
            return Err(malformed(at, format!("one of {} shards", self.shards), shard));
        }
        if self.opened.len() == SHARDS_MAX {
            return Err(ModelError::too_large("shards", SHARDS_MAX, SHARDS_MAX + 1));
        }
        let name = format!("variables/variables.data-{shard:05}-of-{:05}", self.shards);
        let bytes = self.files.read(&name)?;
        self.bytes += bytes.len();
        if self.bytes > FILE_BYTES_MAX {
            return Err(ModelError::too_large("bytes in shards", FILE_BYTES_MAX, self.bytes));
        }
        self.opened.insert(shard, bytes.clone());
        Ok(bytes)
    }
}

fn at(key: &str) -> String {
    format!("variable '{key}'")
}

/// How a `DataType` of floats is stored.
pub(super) fn element_of(dtype: i32) -> Option<Element> {
    match dtype {
        data_type::FLOAT => Some(Element::F32),
        data_type::DOUBLE => Some(Element::F64),
        data_type::HALF => Some(Element::F16),
        data_type::BFLOAT16 => Some(Element::Bf16),
        _ => None,
    }
}

/// The axes of a shape that states all of them; without one there are none.
pub(super) fn dims(at: &str, shape: Option<&TensorShape>) -> Result<Vec<usize>, ModelError> {
    let Some(shape) = shape else { return Ok(Vec::new()) };
    if shape.dim.len() > AXES_MAX {
        return Err(ModelError::too_large(format!("{at} axes"), AXES_MAX, shape.dim.len()));
    }
    let size = |size: i64| usize::try_from(size).map_err(|_| malformed(at, "a known shape", size));
    shape.dim.iter().map(|dim| size(dim.size)).collect()
}
