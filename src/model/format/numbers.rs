//! Floating-point numbers as files store them, little-endian.

use bytes::Bytes;
use half::{bf16, f16};

use crate::model::weights::Weights;

/// The element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
            Element::F64 => 8,
        }
    }

    /// The numbers in `bytes` as a layer reads them: in place, where they are f32 already.
    pub(super) fn weights(self, bytes: Bytes) -> Weights {
        match self {
            Element::F32 => Weights::of_bytes(bytes),
            other => other.decode_f32(&bytes).into(),
        }
    }

    /// The numbers in `bytes`, which must be a whole number of elements; f64 is rounded to f32.
    pub(super) fn decode_f32(self, bytes: &[u8]) -> Vec<f32> {
        // Every other type is exact in f64, so going through it rounds nothing.
        self.decode(bytes, |number| number as f32)
    }

    /// The numbers in `bytes`, which must be a whole number of elements; exact.
    pub(super) fn decode_f64(self, bytes: &[u8]) -> Vec<f64> {
        self.decode(bytes, |number| number)
    }

    fn decode<T>(self, bytes: &[u8], to: impl Fn(f64) -> T) -> Vec<T> {
        match self {
            Element::F16 => map_chunks(bytes, |b| to(f16::from_le_bytes(b).to_f64())),
            Element::Bf16 => map_chunks(bytes, |b| to(bf16::from_le_bytes(b).to_f64())),
            Element::F32 => map_chunks(bytes, |b| to(f64::from(f32::from_le_bytes(b)))),
            Element::F64 => map_chunks(bytes, |b| to(f64::from_le_bytes(b))),
        }
    }
}

fn map_chunks<const N: usize, T>(bytes: &[u8], to: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    debug_assert!(rest.is_empty(), "a whole number of elements");
    chunks.iter().map(|chunk| to(*chunk)).collect()
}

/// The product of dimensions, where it does not overflow.
pub(super) fn element_count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim))
}

/// `[rows, columns]` row-major turned into `[columns, rows]`.
pub(super) fn transpose<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let column = |c: usize| (0..rows).map(move |r| values[r * columns + c]);
    (0..columns).flat_map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_type_is_exact() {
        for value in [0.0_f64, -1.5, 0.099_975_586, 65504.0] {
            let half = f16::from_f64(value);
            assert_eq!(Element::F16.decode_f64(&half.to_le_bytes()), [half.to_f64()]);
            let brain = bf16::from_f64(value);
            assert_eq!(Element::Bf16.decode_f32(&brain.to_le_bytes()), [brain.to_f32()]);
            let single = value as f32;
            assert_eq!(Element::F32.decode_f32(&single.to_le_bytes()), [single]);
            assert_eq!(Element::F64.decode_f64(&value.to_le_bytes()), [value]);
        }
    }

    #[test]
    fn transposing_by_hand() {
        assert_eq!(transpose(&[1, 2, 3, 4, 5, 6], 2, 3), [1, 4, 2, 5, 3, 6]);
    }
}
