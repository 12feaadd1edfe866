//! Protobuf messages seen from outside: tags and lengths, before anything is decoded.

use prost::encoding::{WireType, decode_key, decode_varint};

use crate::model::{Format, ModelError};

/// The fields of one message: tags, and the bytes of those that have a length.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    format: Format,
}

impl<'a> Fields<'a> {
    /// The fields of a message; `format` is what errors call the file.
    pub(super) fn of(bytes: &'a [u8], format: Format) -> Fields<'a> {
        Fields { bytes, format }
    }

    fn field(&mut self) -> Option<(u32, &'a [u8])> {
        let (tag, wire_type) = decode_key(&mut self.bytes).ok()?;
        let length = match wire_type {
            WireType::Varint => {
                decode_varint(&mut self.bytes).ok()?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                usize::try_from(decode_varint(&mut self.bytes).ok()?).ok()?
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (body, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some((tag, body))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, &'a [u8]), ModelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.bytes = &[];
        }
        Some(field.ok_or_else(|| {
            ModelError::malformed(self.format, "protobuf", "a whole message", "a damaged one")
        }))
    }
}
