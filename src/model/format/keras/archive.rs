//! `.keras`: a zip of a configuration, of weights in HDF5, and of the version that wrote them.

use bytes::Bytes;
use serde_json::Value;

use super::config::{self, Version};
use super::hdf5::Hdf5;
use super::layers;
use super::weights::Weights;
use crate::model::format::archive::Archive;
use crate::model::{Format, Model, ModelError};

const FORMAT: Format = Format::KerasArchive;
const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";
const WEIGHTS: &str = "model.weights.h5";
/// The most members: assets of layers that are refused may be among them.
const MEMBERS_MAX: usize = 64;

/// Whether a zip with members of these names is a Keras archive.
pub(in crate::model::format) fn is_archive(names: &[String]) -> bool {
    [CONFIG, WEIGHTS].iter().all(|wanted| names.iter().any(|name| name == wanted))
}

/// Reads a model; `fallback_name` names it where the file does not.
pub(in crate::model::format) fn read(
    bytes: &[u8],
    fallback_name: &str,
) -> Result<Model, ModelError> {
    let mut archive = Archive::open(bytes, FORMAT, MEMBERS_MAX)?;
    let config = config::parse(&text(&mut archive, CONFIG)?, FORMAT)?;
    let metadata: Value = serde_json::from_str(&text(&mut archive, METADATA)?)
        .map_err(|error| ModelError::malformed(FORMAT, METADATA, "JSON", error))?;
    let version = metadata.get("keras_version").and_then(Value::as_str);
    let version =
        Version::of(version.ok_or_else(|| {
            ModelError::malformed(FORMAT, METADATA, "the version of Keras", "none")
        })?);
    let file = Hdf5::open(Bytes::from(member(&mut archive, WEIGHTS)?), FORMAT)?;
    let arrays = file.arrays("layers")?.unwrap_or_default();
    layers::build(config, Weights::new(file, arrays, FORMAT), version, fallback_name)
}

fn member(archive: &mut Archive<'_>, name: &str) -> Result<Vec<u8>, ModelError> {
    let missing = || ModelError::malformed(FORMAT, name, "a member of this name", "none");
    Ok(archive.read(archive.index_of(name).ok_or_else(missing)?)?.1)
}

fn text(archive: &mut Archive<'_>, name: &str) -> Result<String, ModelError> {
    let bytes = member(archive, name)?;
    String::from_utf8(bytes)
        .map_err(|_| ModelError::malformed(FORMAT, name, "UTF-8", "other bytes"))
}
