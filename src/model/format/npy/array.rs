//! One `.npy` array: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
//!
//! The header is a Python literal; what is read of it here is the one dictionary that numpy writes,
//! without recursion and without evaluating anything.

use std::fmt::Display;

use crate::model::format::numbers::{Element, element_count, transpose};
use crate::model::{Format, ModelError};

pub(in crate::model::format) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read; numpy's own are about a hundred bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;

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
        let (text, payload) = split(bytes, origin)?;
        let header = std::str::from_utf8(text).ok().and_then(Header::parse).ok_or_else(|| {
            origin.malformed("a header with descr, fortran_order and shape", "another")
        })?;
        let element = match header.descr {
            "<f2" => Element::F16,
            "<f4" => Element::F32,
            "<f8" => Element::F64,
            other => return Err(origin.malformed("descr '<f2', '<f4' or '<f8'", other)),
        };
        let expected = element_count(&header.shape).and_then(|n| n.checked_mul(element.bytes()));
        if expected != Some(payload.len()) {
            let expected = format!("as many bytes as shape {:?} needs", header.shape);
            return Err(origin.malformed(expected, payload.len()));
        }
        let values = element.decode_f32(payload);
        match (header.fortran_order, &header.shape[..]) {
            // Column by column, a matrix is its transpose row by row.
            (true, &[rows, columns]) => {
                Ok(Array { values: transpose(&values, columns, rows), dims: header.shape })
            }
            (true, [_, _, _, ..]) => Err(origin.malformed("at most two axes", "more")),
            _ => Ok(Array { dims: header.shape, values }),
        }
    }
}

/// The header's text and what follows it.
fn split<'a>(bytes: &'a [u8], origin: Origin<'_>) -> Result<(&'a [u8], &'a [u8]), ModelError> {
    let damaged = || origin.malformed("a whole .npy header", format!("{} bytes", bytes.len()));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| origin.malformed("a .npy array", "none"))?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
    let (length, rest) = match version {
        [1, 0] => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, 0] => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        [major, minor] => {
            return Err(
                origin.malformed(".npy version 1.0, 2.0 or 3.0", format!("{major}.{minor}"))
            );
        }
    };
    if length > HEADER_BYTES_MAX {
        return Err(
            origin.malformed(format!("a header of at most {HEADER_BYTES_MAX} bytes"), length)
        );
    }
    rest.split_at_checked(length).ok_or_else(damaged)
}

#[derive(Debug, PartialEq)]
struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 32), }`, keys in any order.
    fn parse(text: &'a str) -> Option<Header<'a>> {
        let mut scanner = Scanner(text);
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        scanner.token("{")?;
        while scanner.token("}").is_none() {
            let key = scanner.string()?;
            scanner.token(":")?;
            let is_first = match key {
                "descr" => descr.replace(scanner.string()?).is_none(),
                "fortran_order" => fortran_order.replace(scanner.boolean()?).is_none(),
                "shape" => shape.replace(scanner.shape()?).is_none(),
                _ => false,
            };
            if !is_first {
                return None;
            }
            if scanner.token(",").is_none() {
                scanner.token("}")?;
                break;
            }
        }
        let is_whole = scanner.0.trim().is_empty();
        is_whole.then_some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

/// What is left of a header's text.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn token(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote = if self.0.trim_start().starts_with('"') { "\"" } else { "'" };
        self.token(quote)?;
        let (string, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        // Neither a key nor a type has an escape in it.
        (!string.contains('\\')).then_some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.token("True").map(|()| true).or_else(|| self.token("False").map(|()| false))
    }

    fn shape(&mut self) -> Option<Vec<usize>> {
        let mut shape = Vec::new();
        self.token("(")?;
        while self.token(")").is_none() {
            let text = self.0.trim_start();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            shape.push(text[..end].parse().ok()?);
            self.0 = &text[end..];
            if self.token(",").is_none() {
                self.token(")")?;
                break;
            }
        }
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them() {
        let parse = |text| Header::parse(text).map(|h| (h.descr, h.fortran_order, h.shape));
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (10, 32), }     \n";
        assert_eq!(parse(text), Some(("<f4", false, vec![10, 32])));
        let text = "{'shape': (7,), 'fortran_order': True, 'descr': \"<f8\"}";
        assert_eq!(parse(text), Some(("<f8", true, vec![7])));
        let text = "{'descr': '<f2', 'fortran_order': False, 'shape': (), }";
        assert_eq!(parse(text), Some(("<f2", false, vec![])));
    }

    #[test]
    fn anything_else_is_no_header() {
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} 2",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        ] {
            assert_eq!(Header::parse(text), None, "{text}");
        }
    }
}
