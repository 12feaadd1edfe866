//! The content hash: two models with one hash give the same scores.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Dense, Head, InputTransform, PerInput, U8Scale};

/// SHA-256 over everything that decides a model's scores.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Hashes what decides the scores. A missing bias hashes as zeros, because it is the same network;
/// names, labels and notes are left out. A step of bytes that is unknown hashes as NaN.
pub(super) fn of(
    layers: &[Dense],
    transform: &InputTransform,
    u8_scale: U8Scale,
    head: Head,
) -> ContentHash {
    let mut hasher = Sha256::new();
    hasher.update(b"fusewire model 1\0");
    hasher.update(head.name());
    hasher.update(u8_scale.value().unwrap_or(f32::NAN).to_le_bytes());
    for numbers in [&transform.scale, &transform.offset] {
        match numbers {
            PerInput::Uniform(number) => hash_numbers(&mut hasher, &[*number]),
            PerInput::Each(numbers) => hash_numbers(&mut hasher, numbers),
        }
    }
    for layer in layers {
        hash_length(&mut hasher, layer.inputs());
        hash_length(&mut hasher, layer.outputs());
        hasher.update(layer.activation().name());
        hash_numbers(&mut hasher, &layer.activation().parameters());
        hash_numbers(&mut hasher, layer.weight());
        match layer.bias() {
            Some(bias) => hash_numbers(&mut hasher, bias),
            None => hash_numbers(&mut hasher, &vec![0.0; layer.outputs()]),
        }
    }
    ContentHash(hasher.finalize().into())
}

fn hash_length(hasher: &mut Sha256, length: usize) {
    hasher.update((length as u64).to_le_bytes());
}

fn hash_numbers(hasher: &mut Sha256, numbers: &[f32]) {
    hash_length(hasher, numbers.len());
    let mut bytes = Vec::with_capacity(4 * 1024);
    for chunk in numbers.chunks(1024) {
        bytes.clear();
        // Adding 0.0 turns -0.0 into 0.0: no score can tell them apart by more than a zero's sign.
        bytes.extend(chunk.iter().flat_map(|number| (number + 0.0).to_le_bytes()));
        hasher.update(&bytes);
    }
}
