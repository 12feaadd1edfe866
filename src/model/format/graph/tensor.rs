//! Constants decoded: every size is checked against the bytes that are there.

use half::{bf16, f16};

use super::malformed;
use super::proto::{LOCATION_EXTERNAL, TensorProto, data_type, is_float};
use crate::model::ModelError;
use crate::model::format::numbers::{Element, element_count, transpose};

/// The most axes a value may have. Work along the chain is in proportion to them.
pub(super) const AXES_MAX: usize = 16;

/// A constant's numbers, row-major.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<f64>,
}

impl Tensor {
    /// The same matrix with rows and columns exchanged.
    pub(super) fn transposed(self) -> Tensor {
        match self.dims[..] {
            [rows, columns] => {
                Tensor { dims: vec![columns, rows], values: transpose(&self.values, rows, columns) }
            }
            _ => self,
        }
    }

    /// The tensor's only number, where it has one and no more axes than a scalar or `[1]`.
    pub(super) fn scalar(&self) -> Option<f64> {
        match self.values[..] {
            [number] if self.dims.len() <= 1 => Some(number),
            _ => None,
        }
    }
}

/// Where a constant's numbers stand in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Tensor(&'a TensorProto),
    Floats(&'a [f32]),
    Ints(&'a [i64]),
    Float(f32),
    Int(i64),
}

impl Source<'_> {
    pub(super) fn dims(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        let to_usize = |dim: &i64| {
            usize::try_from(*dim).map_err(|_| malformed(at(name), "dimensions from 0 up", dim))
        };
        match self {
            Source::Tensor(tensor) if tensor.dims.len() > AXES_MAX => {
                Err(ModelError::too_large(at(name) + " axes", AXES_MAX, tensor.dims.len()))
            }
            Source::Tensor(tensor) => tensor.dims.iter().map(to_usize).collect(),
            Source::Floats(floats) => Ok(vec![floats.len()]),
            Source::Ints(ints) => Ok(vec![ints.len()]),
            Source::Float(_) | Source::Int(_) => Ok(Vec::new()),
        }
    }

    /// Whether these are floating-point numbers.
    pub(super) fn is_float(&self) -> bool {
        match self {
            Source::Tensor(tensor) => is_float(tensor.data_type),
            Source::Floats(_) | Source::Float(_) => true,
            Source::Ints(_) | Source::Int(_) => false,
        }
    }

    /// The numbers as they are, whatever their type; exact, but for integers past 2^53.
    pub(super) fn decode(&self, name: &str) -> Result<Tensor, ModelError> {
        let values = match self {
            Source::Tensor(tensor) => decode(tensor, name)?,
            Source::Floats(floats) => floats.iter().copied().map(f64::from).collect(),
            Source::Ints(ints) => ints.iter().map(|int| *int as f64).collect(),
            Source::Float(float) => vec![f64::from(*float)],
            Source::Int(int) => vec![*int as f64],
        };
        Ok(Tensor { dims: self.dims(name)?, values })
    }

    /// The numbers of a shape or of axes.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, ModelError> {
        match self {
            Source::Ints(ints) => Ok(ints.to_vec()),
            Source::Int(int) => Ok(vec![*int]),
            Source::Tensor(tensor) => decode_integers(tensor, name),
            Source::Floats(_) | Source::Float(_) => Err(malformed(at(name), "int64", "floats")),
        }
    }
}

fn at(name: &str) -> String {
    format!("tensor '{name}'")
}

fn checked_count(tensor: &TensorProto, name: &str) -> Result<usize, ModelError> {
    if tensor.data_location == LOCATION_EXTERNAL {
        return Err(ModelError::unsupported(
            name,
            "initializer",
            "its data lies in another file; load the model from its path with --external-data \
             (LoadOptions::external_data), or save it as one file",
        ));
    }
    element_count(&Source::Tensor(tensor).dims(name)?)
        .ok_or_else(|| malformed(at(name), "a size that fits memory", format!("{:?}", tensor.dims)))
}

fn check_length(name: &str, what: &str, expected: usize, got: usize) -> Result<(), ModelError> {
    if expected == got {
        return Ok(());
    }
    Err(malformed(at(name), format!("{expected} {what}"), got))
}

fn decode(tensor: &TensorProto, name: &str) -> Result<Vec<f64>, ModelError> {
    let element = match tensor.data_type {
        data_type::FLOAT => Element::F32,
        data_type::DOUBLE => Element::F64,
        data_type::FLOAT16 => Element::F16,
        data_type::BFLOAT16 => Element::Bf16,
        data_type::INT64 | data_type::INT32 => {
            let integers = decode_integers(tensor, name)?;
            return Ok(integers.iter().map(|integer| *integer as f64).collect());
        }
        other => {
            let reason = format!("data type {other} is none of the floats that are read");
            return Err(ModelError::unsupported(name, "constant", reason));
        }
    };
    let count = checked_count(tensor, name)?;
    if !tensor.raw_data.is_empty() {
        check_raw(tensor, name, count, element.bytes())?;
        return Ok(element.decode_f64(&tensor.raw_data));
    }
    let values: Vec<f64> = match element {
        Element::F32 => tensor.float_data.iter().copied().map(f64::from).collect(),
        Element::F64 => tensor.double_data.clone(),
        Element::F16 => halves(tensor, |bits| f16::from_bits(bits).to_f64()),
        Element::Bf16 => halves(tensor, |bits| bf16::from_bits(bits).to_f64()),
    };
    check_length(name, "numbers", count, values.len())?;
    Ok(values)
}

/// 16-bit floats stand in the low half of 32-bit integers.
fn halves(tensor: &TensorProto, to_f64: impl Fn(u16) -> f64) -> Vec<f64> {
    tensor.int32_data.iter().map(|bits| to_f64(*bits as u16)).collect()
}

fn decode_integers(tensor: &TensorProto, name: &str) -> Result<Vec<i64>, ModelError> {
    let count = checked_count(tensor, name)?;
    let raw = &tensor.raw_data;
    let width = match tensor.data_type {
        data_type::INT64 => 8,
        data_type::INT32 => 4,
        _ => 1,
    };
    let values: Vec<i64> = match (tensor.data_type, raw.is_empty()) {
        (data_type::INT64, true) => tensor.int64_data.clone(),
        (data_type::INT32 | data_type::BOOL, true) => {
            tensor.int32_data.iter().copied().map(i64::from).collect()
        }
        (data_type::INT64, false) => {
            raw.as_chunks().0.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect()
        }
        (data_type::INT32, false) => {
            raw.as_chunks().0.iter().map(|c| i64::from(i32::from_le_bytes(*c))).collect()
        }
        (data_type::BOOL, false) => raw.iter().copied().map(i64::from).collect(),
        (other, _) => return Err(malformed(at(name), "int64", format!("data type {other}"))),
    };
    if !raw.is_empty() {
        check_raw(tensor, name, count, width)?;
    }
    check_length(name, "numbers", count, values.len())?;
    Ok(values)
}

/// Checks that raw data is all the data there is, and as long as the dimensions say.
fn check_raw(
    tensor: &TensorProto,
    name: &str,
    count: usize,
    element_bytes: usize,
) -> Result<(), ModelError> {
    let expected = count.checked_mul(element_bytes);
    let typed = tensor.float_data.len()
        + tensor.double_data.len()
        + tensor.int32_data.len()
        + tensor.int64_data.len();
    if typed != 0 {
        return Err(malformed(at(name), "raw data or typed data", "both"));
    }
    check_length(name, "bytes", expected.unwrap_or(usize::MAX), tensor.raw_data.len())
}
