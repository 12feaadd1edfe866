//! Files of weights by name, without this crate's metadata.

use bytes::Bytes;
use safetensors::tensor::{Metadata, TensorInfo};

use super::element;
use crate::model::format::named::{Kind, NamedTensor, NamedTensors};
use crate::model::{Format, Layout};

/// The tensors by name; the payload is as long as the header says.
pub(super) fn tensors(header: &Metadata, payload: &Bytes) -> NamedTensors {
    let format = header.metadata().as_ref().and_then(|metadata| metadata.get("format"));
    let is_torch = format.is_some_and(|format| format == "pt");
    let names = header.offset_keys();
    let tensors = names.into_iter().filter_map(|name| {
        let info = header.info(&name)?;
        Some(tensor(name, info, payload))
    });
    NamedTensors {
        format: Format::Safetensors,
        tensors: tensors.collect(),
        is_registered: false,
        layout: is_torch.then_some(Layout::OutputsFirst),
    }
}

fn tensor(name: String, info: &TensorInfo, payload: &Bytes) -> NamedTensor {
    let (start, end) = info.data_offsets;
    let kind = match element(info) {
        Some(element) => Kind::Number(element),
        None => Kind::Other(info.dtype.to_string()),
    };
    // Offsets are contiguous and end with the payload, as the header's own check and its reader's
    // saw to.
    NamedTensor { name, dims: info.shape.clone(), kind, bytes: payload.slice(start..end) }
}
