//! A `.npz`: a zip of `.npy` members, stored or deflated.

use super::Member;
use crate::model::format::archive::Archive;
use crate::model::{Format, LAYERS_MAX, LoadOptions, Model, ModelError};

/// The most members that are read: a weight, a bias and an activation per layer.
const MEMBERS_MAX: usize = 3 * LAYERS_MAX;

/// Reads the layers of a `.npz`; `fallback_name` names the model where its members do not.
pub(in crate::model::format) fn read_npz(
    bytes: &[u8],
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let mut archive = Archive::open(bytes, Format::Npz, MEMBERS_MAX)?;
    let mut members = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let (name, bytes) = archive.read(index)?;
        let name = name.strip_suffix(".npy").map_or_else(|| name.clone(), str::to_owned);
        members.push(Member { name, bytes: bytes.into() });
    }
    super::model(Format::Npz, members, fallback_name, options)
}
