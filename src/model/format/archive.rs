//! Zips of stored or deflated members, read with bounds on how many there are and on what they
//! inflate to.
//!
//! Members are found by name and read into memory; no name is ever used as a path.

use std::fmt::Display;
use std::io::{Cursor, Read};

use zip::read::{ArchiveOffset, Config};
use zip::result::ZipResult;
use zip::{CompressionMethod, ZipArchive};

use crate::model::{Format, ModelError};

/// How much longer than the file its members may be together: weights hardly compress, and a zip
/// can be made to inflate a thousandfold.
const INFLATION_MAX: usize = 64;
/// What may be inflated from any file, however small.
const INFLATED_BYTES_MIN: usize = 1 << 20;

/// A zip in memory.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    format: Format,
    /// Bytes that may still be inflated.
    left: usize,
    limit: usize,
}

/// Opens a zip at the beginning of the file, where its own offsets count from; failing that, behind
/// a prefix whose length is detected.
///
/// The detection takes the directory to end at the end record. Where records of zip64 lie between
/// the two, as PyTorch writes them, it can take a later entry for the first.
fn open(bytes: &[u8]) -> ZipResult<ZipArchive<Cursor<&[u8]>>> {
    let open =
        |archive_offset| ZipArchive::with_config(Config { archive_offset }, Cursor::new(bytes));
    open(ArchiveOffset::Known(0)).or_else(|_| open(ArchiveOffset::Detect))
}

/// The names of a zip's members, or `None` where it is not a sound zip.
pub(super) fn member_names(bytes: &[u8]) -> Option<Vec<String>> {
    let archive = open(bytes).ok()?;
    let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    Some(archive.file_names_raw().map(name).collect())
}

impl<'a> Archive<'a> {
    /// Opens a zip of at most `members_max` members; `format` is what errors call it.
    pub(super) fn open(
        bytes: &'a [u8],
        format: Format,
        members_max: usize,
    ) -> Result<Archive<'a>, ModelError> {
        let zip = open(bytes).map_err(|error| damaged(format, "zip", &error))?;
        if zip.len() > members_max {
            let what = format!("members of the {format}");
            return Err(ModelError::too_large(what, members_max, zip.len()));
        }
        let limit = bytes.len().saturating_mul(INFLATION_MAX).max(INFLATED_BYTES_MIN);
        Ok(Archive { zip, format, left: limit, limit })
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.zip.len()
    }

    /// The names of all members that are text.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.zip.file_names_raw().filter_map(|name| str::from_utf8(name).ok())
    }

    /// Where the member of this name stands, where there is one.
    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.zip.index_for_name(name)
    }

    /// The name and the bytes of member `index`, which is below [`Archive::len`].
    pub(super) fn read(&mut self, index: usize) -> Result<(String, Vec<u8>), ModelError> {
        let (format, left) = (self.format, self.left);
        let at = format!("member {index}");
        let mut file = self.zip.by_index(index).map_err(|error| damaged(format, &at, &error))?;
        let name = file.name().map_err(|error| damaged(format, &at, &error))?.into_owned();
        let method = file.compression();
        if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(ModelError::malformed(format, name, "stored or deflated members", method));
        }
        let stated = usize::try_from(file.size()).unwrap_or(usize::MAX);
        if stated > left {
            let what = format!("inflated bytes of the {format}");
            let inflated = (self.limit - left).saturating_add(stated);
            return Err(ModelError::too_large(what, self.limit, inflated));
        }
        let mut bytes = Vec::with_capacity(stated);
        // One byte more than stated tells a member that lies from one that does not.
        let read = file.by_ref().take(stated as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| damaged(format, &name, &error))?;
        if bytes.len() != stated {
            let expected = format!("{stated} bytes");
            return Err(ModelError::malformed(format, name, expected, bytes.len()));
        }
        self.left -= stated;
        Ok((name, bytes))
    }
}

fn damaged(format: Format, at: &str, error: &impl Display) -> ModelError {
    ModelError::malformed(format, at, "a sound zip", error)
}
