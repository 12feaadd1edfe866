//! Checksums: crc32c, masked as LevelDB and TensorFlow do.

use crc::{CRC_32_ISCSI, Crc, Table};

use super::malformed;
use crate::model::ModelError;

const CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The masked checksum of bytes that stand in several pieces.
pub(super) fn of(pieces: &[&[u8]]) -> u32 {
    let table = &CASTAGNOLI;
    let mut digest = table.digest();
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize().rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Checks bytes against the masked checksum that the file states, little-endian.
pub(super) fn check(at: &str, bytes: &[u8], stated: &[u8]) -> Result<(), ModelError> {
    let stated = stated.try_into().map_or(0, u32::from_le_bytes);
    compare(at, of(&[bytes]), stated)
}

pub(super) fn compare(at: &str, computed: u32, stated: u32) -> Result<(), ModelError> {
    if computed == stated {
        return Ok(());
    }
    let expected = format!("a checksum of {computed:08x}");
    Err(malformed(at, expected, format!("{stated:08x}: the file is damaged")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 32 zero bytes have the crc32c 8a9136aa (RFC 3720, B.4).
    #[test]
    fn a_known_checksum() {
        let unmasked = 0x8a91_36aa_u32;
        let masked = unmasked.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(of(&[&[0; 20], &[0; 12]]), masked);
        assert!(check("here", &[0; 32], &masked.to_le_bytes()).is_ok());
        assert!(check("here", &[1; 32], &masked.to_le_bytes()).is_err());
    }
}
