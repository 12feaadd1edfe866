//! `.npy` layers, in a directory or in a `.npz`: order and activations stand in the names.
//!
//! ```text
//! <index>-WEIGHT-<name>.npy               [outputs, inputs], f2, f4 or f8
//! <index>-BIAS-<name>.npy                 [outputs], belongs to the weight before it
//! <index>-ACTIVATION-<NAME>-<name>.npy    no content; ONNX's default parameters
//! ```
//!
//! Indices are numbers, and layers come in their order. Names are those of
//! [`Activation::name`](crate::Activation::name), customarily in upper case; `SOFTMAX` and
//! `LOG_SOFTMAX` as the last are the head.
//!
//! Where no name is of this kind, arrays are weights by name, such as `dense/kernel`: order and
//! activations have to be said.

mod array;
mod bare;
mod directory;
mod layers;
mod npz;

pub(super) use directory::{is_directory, read_directory};
pub(super) use npz::read_npz;

use bytes::Bytes;

use super::{Format, LoadOptions, Model, ModelError};

/// One array and its name, without the `.npy`.
#[derive(Debug)]
struct Member {
    name: String,
    bytes: Bytes,
}

/// The model that the members are, by the kind of their names.
fn model(
    format: Format,
    members: Vec<Member>,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    if members.iter().any(layers::is_by_convention) {
        options.check_states_itself(format)?;
        return layers::model(format, &members, fallback_name);
    }
    bare::model(format, members, fallback_name, options)
}
