//! What a file's first bytes say it is.

use super::safetensors;

/// A format this version reads, or the words for what the bytes look like instead.
pub(super) enum Sniffed {
    Safetensors,
    Unknown(&'static str),
}

/// Recognises the format of a file's bytes.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    if safetensors::looks_like(bytes) {
        return Sniffed::Safetensors;
    }
    Sniffed::Unknown("no known format")
}
