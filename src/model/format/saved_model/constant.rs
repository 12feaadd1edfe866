//! Constants of a graph: as the file stores them, or computed from others.

use std::cell::OnceCell;

use bytes::Bytes;
use half::{bf16, f16};

use super::bundle::{Stored, dims, element_of};
use super::malformed;
use super::proto::{TensorProto, data_type};
use crate::model::ModelError;
use crate::model::format::graph::{Builder, Numbers};
use crate::model::format::numbers::{Element, element_count};

/// A constant, and the value it is in the graph that is built, once it is in there.
pub(super) struct Constant {
    name: String,
    pub(super) dims: Vec<usize>,
    pub(super) numbers: Numbers,
    value: OnceCell<String>,
}

impl Constant {
    pub(super) fn new(name: String, dims: Vec<usize>, numbers: Numbers) -> Constant {
        Constant { name, dims, numbers, value: OnceCell::new() }
    }

    /// The constant as a value of the graph that is built.
    pub(super) fn value(&self, builder: &mut Builder) -> String {
        let make = || builder.constant(&self.name, &self.dims, self.numbers.clone());
        self.value.get_or_init(make).clone()
    }

    /// The numbers, in double precision.
    pub(super) fn doubles(&self) -> Vec<f64> {
        match &self.numbers {
            Numbers::Stored(element, bytes) => element.decode_f64(bytes),
            Numbers::Doubles(numbers) => numbers.clone(),
            Numbers::Integers(numbers) => numbers.iter().map(|number| *number as f64).collect(),
        }
    }

    /// The numbers, where they are integers.
    pub(super) fn integers(&self) -> Option<&[i64]> {
        match &self.numbers {
            Numbers::Integers(numbers) => Some(numbers),
            Numbers::Stored(..) | Numbers::Doubles(_) => None,
        }
    }
}

/// The content of a `Const`; `allow` is asked for the room of its numbers before it is taken.
pub(super) fn decode(
    at: &str,
    tensor: TensorProto,
    allow: impl FnOnce(usize) -> Result<(), ModelError>,
) -> Result<Stored, ModelError> {
    let dims = dims(at, tensor.tensor_shape.as_ref())?;
    let huge = || malformed(at, "a size that fits memory", format!("{dims:?}"));
    let count = element_count(&dims).ok_or_else(huge)?;
    allow(count)?;
    let (raw, dtype) = (tensor.tensor_content, tensor.dtype);
    if !raw.is_empty() {
        let width = width(dtype);
        if count.checked_mul(width) != Some(raw.len()) {
            let expected = format!("{count} numbers of {width} bytes");
            return Err(malformed(at, expected, format!("{} bytes", raw.len())));
        }
    }
    let bits = |bits: &i32| *bits as u16;
    let numbers = match dtype {
        _ if !raw.is_empty() => stored(dtype, raw),
        data_type::FLOAT => doubles(at, count, tensor.float_val.iter().copied().map(f64::from)),
        data_type::DOUBLE => doubles(at, count, tensor.double_val.iter().copied()),
        data_type::HALF => {
            doubles(at, count, tensor.half_val.iter().map(|b| f16::from_bits(bits(b)).to_f64()))
        }
        data_type::BFLOAT16 => {
            doubles(at, count, tensor.half_val.iter().map(|b| bf16::from_bits(bits(b)).to_f64()))
        }
        data_type::INT32 => integers(at, count, tensor.int_val.iter().copied().map(i64::from)),
        data_type::INT64 => integers(at, count, tensor.int64_val.iter().copied()),
        other => Err(malformed(at, "floats, int32 or int64", format!("type {other}"))),
    }?;
    Ok(Stored { dims, numbers })
}

/// Bytes of one number.
fn width(dtype: i32) -> usize {
    match dtype {
        data_type::INT32 => 4,
        data_type::INT64 => 8,
        other => element_of(other).map_or(1, Element::bytes),
    }
}

fn stored(dtype: i32, raw: Bytes) -> Result<Numbers, ModelError> {
    let long = |chunk: &[u8; 8]| i64::from_le_bytes(*chunk);
    let short = |chunk: &[u8; 4]| i64::from(i32::from_le_bytes(*chunk));
    Ok(match (dtype, element_of(dtype)) {
        (_, Some(element)) => Numbers::Stored(element, raw),
        (data_type::INT64, _) => Numbers::Integers(raw.as_chunks().0.iter().map(long).collect()),
        (data_type::INT32, _) => Numbers::Integers(raw.as_chunks().0.iter().map(short).collect()),
        _ => {
            let got = format!("type {dtype}");
            return Err(malformed("a constant", "floats, int32 or int64", got));
        }
    })
}

fn doubles(
    at: &str,
    count: usize,
    numbers: impl ExactSizeIterator<Item = f64>,
) -> Result<Numbers, ModelError> {
    filled(at, count, numbers).map(Numbers::Doubles)
}

fn integers(
    at: &str,
    count: usize,
    numbers: impl ExactSizeIterator<Item = i64>,
) -> Result<Numbers, ModelError> {
    filled(at, count, numbers).map(Numbers::Integers)
}

/// All numbers of a tensor that states the last of equal ones once.
fn filled<T: Copy + Default>(
    at: &str,
    count: usize,
    numbers: impl ExactSizeIterator<Item = T>,
) -> Result<Vec<T>, ModelError> {
    if numbers.len() > count {
        return Err(malformed(at, format!("{count} numbers"), numbers.len()));
    }
    let mut all: Vec<T> = numbers.collect();
    all.resize(count, all.last().copied().unwrap_or_default());
    Ok(all)
}
