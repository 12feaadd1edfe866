//! Arrays by name, where names are not those of layers.

use prost::bytes::Bytes;

use super::Member;
use super::array::{Array, Origin, element};
use crate::model::format::named::{Kind, NamedTensor, NamedTensors};
use crate::model::format::numbers::Element;
use crate::model::npy::NpyArray;
use crate::model::{Format, LoadOptions, Model, ModelError};

/// The model of arrays by name. A folder knows no order, and a zip's is whatever its writer chose.
pub(super) fn model(
    format: Format,
    mut members: Vec<Member>,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let tensors = members.into_iter().map(|member| tensor(format, member));
    let named = NamedTensors {
        format,
        tensors: tensors.collect::<Result<_, _>>()?,
        is_registered: false,
        layout: None,
    };
    named.model(options, fallback_name)
}

fn tensor(format: Format, member: Member) -> Result<NamedTensor, ModelError> {
    let Member { name, bytes } = member;
    let origin = Origin { format, name: &name };
    let array =
        NpyArray::open(&bytes).map_err(|error| origin.malformed(error.expected, error.got))?;
    let (kind, numbers) = match (element(array.descr), array.fortran_order, array.shape.len()) {
        (None, ..) => (Kind::Other(array.descr.to_owned()), Bytes::new()),
        // Column by column: numbers are put in order, and rounded as they are for any layer.
        (Some(_), true, 2..) => {
            let values = Array::read(&bytes, origin)?.values;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (Kind::Number(Element::F32), bytes.into())
        }
        (Some(element), ..) => (Kind::Number(element), bytes.slice_ref(array.payload)),
    };
    Ok(NamedTensor { dims: array.shape, kind, bytes: numbers, name })
}
