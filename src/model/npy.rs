//! One `.npy` array: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
//!
//! The header is a Python literal; what is read of it here is the one dictionary that numpy writes,
//! without recursion and without evaluating anything. Model files and rows are both read with it.

use std::fmt::Display;

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read; numpy's own are about a hundred bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// An array whose header was read and agrees with the bytes behind it.
#[derive(Debug)]
pub(crate) struct NpyArray<'a> {
    /// Byte order, kind and bytes of an element, such as `<f4`.
    pub(crate) descr: &'a str,
    /// Whether the first axis runs fastest.
    pub(crate) fortran_order: bool,
    /// The length of each axis.
    pub(crate) shape: Vec<usize>,
    /// The elements: as many bytes as the shape needs.
    pub(crate) payload: &'a [u8],
}

/// Why bytes are no array.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("expected {expected}, got {got}")]
pub(crate) struct NpyError {
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl NpyError {
    pub(crate) fn new(expected: impl Display, got: impl Display) -> NpyError {
        NpyError { expected: expected.to_string(), got: got.to_string() }
    }
}

impl<'a> NpyArray<'a> {
    /// Reads the header and checks that the payload is as long as it says.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<NpyArray<'a>, NpyError> {
        let (text, payload) = split(bytes)?;
        let header = std::str::from_utf8(text).ok().and_then(Header::parse);
        let header = header.ok_or_else(|| {
            NpyError::new("a header with descr, fortran_order and shape", "another")
        })?;
        let Header { descr, fortran_order, shape } = header;
        let digits = descr.trim_start_matches(|c: char| !c.is_ascii_digit());
        let element: usize = digits
            .parse()
            .map_err(|_| NpyError::new("descr of plain numbers, such as '<f4'", descr))?;
        let expected = shape.iter().try_fold(element, |product, axis| product.checked_mul(*axis));
        if expected != Some(payload.len()) {
            let expected = format!("as many bytes as {descr} of shape {shape:?} needs");
            return Err(NpyError::new(expected, payload.len()));
        }
        Ok(NpyArray { descr, fortran_order, shape, payload })
    }
}

/// The header's text and what follows it.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), NpyError> {
    let damaged = || NpyError::new("a whole .npy header", format!("{} bytes", bytes.len()));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| NpyError::new("a .npy array", "none"))?;
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
            return Err(NpyError::new(".npy version 1.0, 2.0 or 3.0", format!("{major}.{minor}")));
        }
    };
    if length > HEADER_BYTES_MAX {
        return Err(NpyError::new(format!("a header of at most {HEADER_BYTES_MAX} bytes"), length));
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

    #[test]
    fn a_payload_of_another_length_is_refused() {
        let npy = |header: &str, payload: &[u8]| {
            let length = (header.len() as u16).to_le_bytes();
            [MAGIC, &[1, 0], &length, header.as_bytes(), payload].concat()
        };
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
        assert_eq!(NpyArray::open(&npy(header, &[0; 8])).unwrap().payload.len(), 8);
        assert!(NpyArray::open(&npy(header, &[0; 7])).is_err());
        let huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}";
        assert!(NpyArray::open(&npy(huge, &[])).is_err());
        let object = "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}";
        assert!(NpyArray::open(&npy(object, &[0; 16])).is_err());
    }
}
