//! A layer's numbers, out of one `.npy` array.

use std::fmt::Display;

use crate::model::format::numbers::{Element, transpose};
use crate::model::npy::NpyArray;
use crate::model::{Format, ModelError};

/// An array's numbers, row-major.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// Where an array comes from, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) format: Format,
    pub(super) name: &'a str,
}

impl Origin<'_> {
    pub(super) fn malformed(&self, expected: impl Display, got: impl Display) -> ModelError {
        ModelError::malformed(self.format, format!("'{}'", self.name), expected, got)
    }
}

impl Array {
    pub(super) fn read(bytes: &[u8], origin: Origin<'_>) -> Result<Array, ModelError> {
        let array =
            NpyArray::open(bytes).map_err(|error| origin.malformed(error.expected, error.got))?;
        let Some(element) = element(array.descr) else {
            return Err(origin.malformed("descr '<f2', '<f4' or '<f8'", array.descr));
        };
        let values = element.decode_f32(array.payload);
        match (array.fortran_order, &array.shape[..]) {
            // Column by column, a matrix is its transpose row by row.
            (true, &[rows, columns]) => {
                Ok(Array { values: transpose(&values, columns, rows), dims: array.shape })
            }
            (true, [_, _, _, ..]) => Err(origin.malformed("at most two axes", "more")),
            _ => Ok(Array { dims: array.shape, values }),
        }
    }
}

/// The element of a `descr`, where it is one that weights are read from.
pub(super) fn element(descr: &str) -> Option<Element> {
    match descr {
        "<f2" => Some(Element::F16),
        "<f4" => Some(Element::F32),
        "<f8" => Some(Element::F64),
        _ => None,
    }
}
