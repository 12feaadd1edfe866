//! PyTorch's files of weights, as `torch.save` writes them: a pickle that is never executed, and
//! the storages that it points into.
//!
//! ```text
//! <any name>/data.pkl     the pickle                 since PyTorch 1.6: a zip
//! <any name>/data/<key>   a storage's bytes
//! <any name>/byteorder    "little", or not there
//!
//! magic number, version, system, data, keys          before it: five pickles, then
//! count, elements; count, elements; ..               each key's storage, little-endian
//! ```
//!
//! What is pickled is a state_dict, or a checkpoint that holds one under `state_dict`,
//! `model_state_dict`, `model` or `net`. Its tensors go through [`named`](super::named): order is
//! that of registration, and activations have to be said. TorchScript's archives, which hold code
//! beside the weights, are another format.

mod legacy;
mod state;
mod storage;
mod zipped;

use std::fmt::Display;

use bytes::Bytes;

use super::Format;
use super::named::NamedTensors;
use crate::model::{LoadOptions, Model, ModelError};
pub(super) use legacy::looks_like as looks_like_legacy;

/// Reads the model of a zip that holds a `data.pkl`.
pub(super) fn read_zip(
    bytes: &[u8],
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    zipped::read(bytes)?.model(options, fallback_name)
}

/// Reads the model of a file that [`looks_like_legacy`].
pub(super) fn read_legacy(
    bytes: &Bytes,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    legacy::read(bytes)?.model(options, fallback_name)
}

/// The tensors of a zip that holds a `data.pkl`.
pub(super) fn tensors_of_zip(bytes: &[u8]) -> Result<NamedTensors, ModelError> {
    Ok(zipped::read(bytes)?.tensors)
}

/// The tensors of a file that [`looks_like_legacy`].
pub(super) fn tensors_of_legacy(bytes: &Bytes) -> Result<NamedTensors, ModelError> {
    Ok(legacy::read(bytes)?.tensors)
}

fn malformed(at: impl Display, expected: impl Display, got: impl Display) -> ModelError {
    ModelError::malformed(Format::TorchStateDict, at, expected, got)
}
