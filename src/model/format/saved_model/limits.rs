//! Messages are counted before they are decoded: one of two bytes becomes a struct of hundreds.

use bytes::Bytes;
use prost::Message;

use super::malformed;
use crate::model::format::outline::Fields;
use crate::model::{Format, ModelError};

/// The most parts (messages, names, attributes) that are decoded of all the files together.
const PARTS_MAX: usize = 1 << 18;

/// Which fields of a message are messages that are decoded with it.
pub(super) struct Outline(&'static [(u32, &'static Outline)]);

const FLAT: Outline = Outline(&[]);
const SHAPE: Outline = Outline(&[(2, &FLAT)]);
const NODE: Outline = Outline(&[(5, &FLAT)]);
const GRAPH: Outline = Outline(&[(1, &NODE), (2, &FLAT)]);
const TENSOR_INFO: Outline = Outline(&[(2, &Outline(&[(3, &SHAPE)]))]);
const SIGNATURE: Outline = Outline(&[(1, &TENSOR_INFO), (2, &TENSOR_INFO)]);
const OBJECTS: Outline = Outline(&[(1, &Outline(&[(7, &FLAT)])), (2, &Outline(&[(2, &FLAT)]))]);

pub(super) const SAVED_MODEL: Outline = FLAT;
pub(super) const META_GRAPH: Outline =
    Outline(&[(1, &FLAT), (2, &GRAPH), (5, &Outline(&[(2, &SIGNATURE)])), (7, &OBJECTS)]);
pub(super) const FUNCTION: Outline =
    Outline(&[(1, &Outline(&[(2, &FLAT), (3, &FLAT)])), (3, &NODE), (4, &FLAT)]);
pub(super) const FUNCTION_NAME: Outline = FLAT;
pub(super) const ATTRIBUTE: Outline =
    Outline(&[(1, &FLAT), (7, &SHAPE), (8, &Outline(&[(2, &SHAPE)])), (10, &FLAT)]);
pub(super) const TRACKABLE_OBJECTS: Outline = Outline(&[(1, &Outline(&[(2, &FLAT)]))]);
pub(super) const BUNDLE_ENTRY: Outline = Outline(&[(2, &SHAPE)]);

/// How many parts may still be decoded.
pub(super) struct Decoder {
    parts: usize,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { parts: 0 }
    }

    /// The message in `bytes`; `what` it is, for errors.
    pub(super) fn decode<M: Message + Default>(
        &mut self,
        bytes: Bytes,
        outline: &Outline,
        what: &str,
    ) -> Result<M, ModelError> {
        self.count(&bytes, outline)?;
        M::decode(bytes).map_err(|error| malformed(what, "a sound message", error))
    }

    /// Counts the parts of a message; as deep as its outline, which has an end.
    fn count(&mut self, message: &[u8], outline: &Outline) -> Result<(), ModelError> {
        for field in Fields::of(message, Format::SavedModel) {
            let (tag, body) = field?;
            self.parts += 1;
            if self.parts > PARTS_MAX {
                let what = "parts of the SavedModel's graphs";
                return Err(ModelError::too_large(what, PARTS_MAX, self.parts));
            }
            if let Some((_, outline)) = outline.0.iter().find(|(decoded, _)| *decoded == tag) {
                self.count(body, outline)?;
            }
        }
        Ok(())
    }
}
