//! `.h5`: one HDF5 file, its configuration and version in attributes of the root, or neither.

use bytes::Bytes;

use super::bare;
use super::config::{self, Version};
use super::hdf5::Hdf5;
use super::layers;
use super::weights::Weights;
use crate::model::{Format, LoadOptions, Model, ModelError};

const FORMAT: Format = Format::KerasHdf5;

/// Reads a model; `fallback_name` names it where the file does not.
pub(in crate::model::format) fn read(
    bytes: Bytes,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let file = Hdf5::open(bytes, FORMAT)?;
    let Some(text) = file.text("model_config")? else {
        return bare::read(file, fallback_name, options);
    };
    options.check_states_itself(FORMAT)?;
    let version = file.text("keras_version")?;
    let config = config::parse(&text, FORMAT)?;
    let Some(arrays) = file.arrays("model_weights")? else {
        return Err(ModelError::malformed(FORMAT, "root", "a group 'model_weights'", "none"));
    };
    let weights = Weights::new(file, arrays, FORMAT);
    // The first versions did not state theirs.
    let version = Version::of(version.as_deref().unwrap_or("1"));
    layers::build(config, weights, version, fallback_name)
}
