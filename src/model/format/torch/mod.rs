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

pub(super) use legacy::{looks_like as looks_like_legacy, read as read_legacy};
pub(super) use zipped::read as read_zip;

use super::Format;
use crate::model::ModelError;

fn malformed(at: impl Display, expected: impl Display, got: impl Display) -> ModelError {
    ModelError::malformed(Format::TorchStateDict, at, expected, got)
}
