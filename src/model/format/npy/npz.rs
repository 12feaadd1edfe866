//! A `.npz`: a zip of `.npy` members, stored or deflated.

use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::layers::{self, Member};
use crate::model::{Format, LAYERS_MAX, Model, ModelError};

/// The most members that are read: a weight, a bias and an activation per layer.
const MEMBERS_MAX: usize = 3 * LAYERS_MAX;

/// How much longer than the file its members may be together: weights hardly compress, and a zip
/// can be made to inflate a thousandfold.
const INFLATION_MAX: usize = 64;
/// What may be inflated from any file, however small.
const INFLATED_BYTES_MIN: usize = 1 << 20;

/// The names of a zip's members, or `None` where it is no sound zip.
pub(in crate::model::format) fn member_names(bytes: &[u8]) -> Option<Vec<String>> {
    let archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    Some(archive.file_names_raw().map(name).collect())
}

/// Reads the layers of a `.npz`; `fallback_name` names the model where its members do not.
pub(in crate::model::format) fn read_npz(
    bytes: &[u8],
    fallback_name: &str,
) -> Result<Model, ModelError> {
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged("zip", &error))?;
    if archive.len() > MEMBERS_MAX {
        return Err(ModelError::too_large("members of the npz", MEMBERS_MAX, archive.len()));
    }
    let limit = bytes.len().saturating_mul(INFLATION_MAX).max(INFLATED_BYTES_MIN);
    let (mut members, mut inflated) = (Vec::with_capacity(archive.len()), 0);
    for index in 0..archive.len() {
        let member = read_member(&mut archive, index, limit - inflated)?;
        inflated += member.bytes.len();
        members.push(member);
    }
    layers::model(Format::Npz, &members, fallback_name)
}

fn read_member(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    limit: usize,
) -> Result<Member, ModelError> {
    let at = format!("member {index}");
    let mut file = archive.by_index(index).map_err(|error| damaged(&at, &error))?;
    let name = file.name().map_err(|error| damaged(&at, &error))?.into_owned();
    if !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        let got = file.compression();
        return Err(ModelError::malformed(Format::Npz, name, "stored or deflated members", got));
    }
    let stated = usize::try_from(file.size()).unwrap_or(usize::MAX);
    if stated > limit {
        return Err(ModelError::too_large("inflated bytes of the npz", limit, stated));
    }
    let mut bytes = Vec::with_capacity(stated);
    // One byte more than stated tells a member that lies from one that does not.
    let read = file.by_ref().take(stated as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| damaged(&name, &error))?;
    if bytes.len() != stated {
        let expected = format!("{stated} bytes");
        return Err(ModelError::malformed(Format::Npz, name, expected, bytes.len()));
    }
    let name = name.strip_suffix(".npy").map_or_else(|| name.clone(), str::to_owned);
    Ok(Member { name, bytes })
}

fn damaged(at: &str, error: &impl std::fmt::Display) -> ModelError {
    ModelError::malformed(Format::Npz, at, "a sound zip", error)
}
