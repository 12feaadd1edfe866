//! What shows that a file is damaged: a checksum over what decides the scores.
//!
//! A name and labels may be changed by other programs, and tensors stored in another order.

use std::fmt;

use crc32fast::Hasher;

use super::metadata::{HEAD, LAYERS, TRANSFORM, U8_SCALE};

/// A CRC-32 in the making.
pub(super) struct Checksum(Hasher);

impl Checksum {
    /// Of the metadata's values by their keys, without any tensor yet.
    pub(super) fn of_metadata<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Checksum {
        let mut sum = Hasher::new();
        for key in [LAYERS, TRANSFORM, U8_SCALE, HEAD] {
            if let Some(value) = value(key) {
                sum.update(key.as_bytes());
                sum.update(&(value.len() as u64).to_le_bytes());
                sum.update(value.as_bytes());
            }
        }
        Checksum(sum)
    }

    /// Takes in the next tensor of the chain, by its shape and the checksum of its bytes.
    pub(super) fn add(&mut self, shape: &[usize], bytes: &Hasher) {
        shape.iter().for_each(|size| self.0.update(&(*size as u64).to_le_bytes()));
        self.0.combine(bytes);
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0.clone().finalize())
    }
}
