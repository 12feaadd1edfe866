//! A layer's numbers: its own, or in place in the bytes of the file they came in.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// Numbers that are read as a slice of `f32`, wherever they lie.
#[derive(Clone)]
pub(super) struct Weights {
    place: Place,
    /// Whether they are known to be finite, so that they need not be looked at.
    are_finite: bool,
}

#[derive(Clone)]
enum Place {
    Owned(Vec<f32>),
    /// A whole number of `f32`s, aligned, in the processor's own byte order.
    Stored(Bytes),
}

impl Weights {
    /// The little-endian numbers that `bytes` hold, in place where the processor can read them
    /// there, copied where it cannot; bytes past a whole number are left out.
    pub(super) fn of_bytes(bytes: Bytes) -> Weights {
        let in_place = bytemuck::try_cast_slice::<u8, f32>(&bytes).is_ok();
        let place = if cfg!(target_endian = "little") && in_place {
            Place::Stored(bytes)
        } else {
            let numbers = bytes.as_chunks().0;
            Place::Owned(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
        };
        Weights { place, are_finite: false }
    }

    /// The same numbers, which were found to be finite while they were read.
    pub(super) fn known_finite(self) -> Weights {
        Weights { are_finite: true, ..self }
    }

    /// The position of the first number that is not finite.
    pub(super) fn first_not_finite(&self) -> Option<usize> {
        const BLOCK: usize = 4096;
        if self.are_finite {
            return None;
        }
        let is_spoilt = |block: &[f32]| !are_finite(block.iter().map(|number| number.to_bits()));
        let block = self.chunks(BLOCK).position(is_spoilt)?;
        let start = block * BLOCK;
        self[start..].iter().position(|number| !number.is_finite()).map(|at| start + at)
    }
}

/// Whether the bits of `f32` are all of finite numbers. A pass without an early exit runs at the
/// memory's speed.
pub(super) fn are_finite(bits: impl Iterator<Item = u32>) -> bool {
    const SIGN: u32 = 1 << 31;
    const LEAST_EXPONENT: u32 = f32::MIN_POSITIVE.to_bits();
    // The largest exponent, that of infinities and NaN, carries into the sign.
    bits.fold(0, |seen, bits| seen | ((bits & !SIGN) + LEAST_EXPONENT)) & SIGN == 0
}

impl From<Vec<f32>> for Weights {
    fn from(numbers: Vec<f32>) -> Weights {
        Weights { place: Place::Owned(numbers), are_finite: false }
    }
}

impl Deref for Weights {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.place {
            Place::Owned(numbers) => numbers,
            Place::Stored(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl PartialEq for Weights {
    fn eq(&self, other: &Weights) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of these numbers, `offset` bytes past an aligned address.
    fn stored(numbers: &[f32], offset: usize) -> Bytes {
        let mut words = vec![0_u64; numbers.len() + 1];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for (at, number) in numbers.iter().enumerate() {
            bytes[offset + 4 * at..][..4].copy_from_slice(&number.to_le_bytes());
        }
        let end = offset + 4 * numbers.len();
        Bytes::from_owner(Aligned(words)).slice(offset..end)
    }

    struct Aligned(Vec<u64>);

    impl AsRef<[u8]> for Aligned {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }

    #[test]
    fn aligned_bytes_are_read_in_place_and_others_copied() {
        let numbers = [1.5, -2.0, 0.0];
        for offset in 0..8 {
            let bytes = stored(&numbers, offset);
            let weights = Weights::of_bytes(bytes.clone());
            assert_eq!(*weights, numbers);
            let in_place = weights.as_ptr().cast() == bytes.as_ptr();
            assert_eq!(in_place, offset % 4 == 0, "{offset}");
        }
    }

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        for spoilt in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 1, 4095, 4096, 9999] {
                let mut numbers = vec![f32::MAX; 10_000];
                assert_eq!(Weights::from(numbers.clone()).first_not_finite(), None);
                numbers[at] = spoilt;
                assert_eq!(Weights::from(numbers).first_not_finite(), Some(at));
            }
        }
    }
}
