//! safetensors: the native format, written by [`Model::save`](crate::Model::save).
//!
//! The format holds named tensors and a map of strings, `__metadata__`; what a chain of layers
//! needs beyond its tensors stands in that map:
//!
//! | key | value |
//! |---|---|
//! | `fusewire.version` | `1` |
//! | `fusewire.name` | the model's name; the file's own name where it is missing |
//! | `fusewire.layers` | JSON: an array of layers, below |
//! | `fusewire.transform` | JSON: `{"scale": n, "offset": n}`, each a number or one per input |
//! | `fusewire.u8_scale` | the step of a byte, or `unknown`; missing: what the transform implies |
//! | `fusewire.head` | `logits`, `softmax` or `log_softmax`; missing: `logits` |
//! | `fusewire.labels` | JSON: one string per class; missing: none |
//! | `fusewire.checksum` | CRC-32 of what decides the scores, eight hexadecimal digits |
//!
//! A layer is `{"weight": tensor, "bias"?: tensor, "activation": name, "parameters"?: [numbers]}`.
//! A weight is `[outputs, inputs]`, a bias `[outputs]`; the writer names them `{i}.weight` and
//! `{i}.bias`, the reader takes any names, of f32, f16, bf16 or f64. Parameters are those of
//! [`Activation::parameters`](crate::Activation::parameters), infinite ones as `"inf"` and
//! `"-inf"`; missing ones are ONNX's defaults. Layer order and activations are never guessed.
//!
//! The checksum is over keys, lengths (8 bytes) and values of `layers`, `transform`, `u8_scale` and
//! `head`, as far as they are there, and then over the sizes (8 bytes each) and the bytes of every
//! tensor, in the order of the layers. A file that does not fit its checksum is refused; a program
//! that means to change one takes the key out.
//!
//! A file without a key that begins with `fusewire.` holds weights by name, as Hugging Face and
//! PyTorch write them: order and activations have to be said. Where its `format` is `pt`, weights
//! are PyTorch's, `[outputs, inputs]`; tensors are sorted by type and name, so
//! they tell no order.

mod bare;
mod checksum;
mod metadata;
mod read;
mod write;

pub(super) use read::{looks_like, read, tensors};
pub(in crate::model) use write::save;

use ::safetensors::tensor::{Dtype, TensorInfo};

use super::numbers::Element;

/// The element of a tensor, where it is one that weights are read from.
fn element(info: &TensorInfo) -> Option<Element> {
    match info.dtype {
        Dtype::F32 => Some(Element::F32),
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::F64 => Some(Element::F64),
        _ => None,
    }
}
