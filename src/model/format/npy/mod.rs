//! `.npy` layers, in a directory or in a `.npz`: order and activations stand in the names.
//!
//! ```text
//! <index>-WEIGHT-<name>.npy               [outputs, inputs], f2, f4 or f8
//! <index>-BIAS-<name>.npy                 [outputs], belongs to the weight before it
//! <index>-ACTIVATION-<NAME>-<name>.npy    no content; ONNX's default parameters
//! ```
//!
//! Indices are numbers, and layers come in their order. Names are those of
//! [`Activation::name`](crate::Activation::name) in upper case; `SOFTMAX` and `LOG_SOFTMAX` as the
//! last are the head.

mod array;
mod directory;
mod layers;
mod npz;

pub(super) use directory::read_directory;
pub(super) use npz::read_npz;
