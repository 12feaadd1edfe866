//! A look at the message's outline before it is decoded: a message of two bytes becomes a struct of
//! hundreds, so their number is bounded first.

use prost::encoding::{WireType, decode_key, decode_varint};

use super::malformed;
use crate::model::ModelError;

/// The most nodes, tensors and names a graph may hold; the largest chain needs a tenth.
const MESSAGES_MAX: usize = 1 << 18;

const MODEL_GRAPH: u32 = 7;
const GRAPH_NODE: u32 = 1;
const GRAPH_INITIALIZER: u32 = 5;
const GRAPH_INPUT: u32 = 11;
const GRAPH_OUTPUT: u32 = 12;
const NODE_ATTRIBUTE: u32 = 5;
const ATTRIBUTE_TENSOR: u32 = 5;
const TENSOR_EXTERNAL_DATA: u32 = 13;

/// Whether the bytes are a protobuf message whose outline is an ONNX model's: one with a graph.
pub(super) fn has_graph(file: &[u8]) -> bool {
    Fields(file).map_while(Result::ok).any(|(tag, _)| tag == MODEL_GRAPH)
}

/// Checks that decoding takes memory in proportion to the file.
pub(super) fn check(file: &[u8]) -> Result<(), ModelError> {
    let mut messages = 0;
    for field in Fields(file) {
        let (tag, body) = field?;
        count(&mut messages, 1)?;
        if tag != MODEL_GRAPH {
            continue;
        }
        for field in Fields(body) {
            let (tag, body) = field?;
            count(&mut messages, 1)?;
            match tag {
                GRAPH_NODE => count_node(&mut messages, body)?,
                GRAPH_INITIALIZER => count_tensor(&mut messages, body)?,
                // A dimension takes two bytes at least.
                GRAPH_INPUT | GRAPH_OUTPUT => count(&mut messages, body.len() / 2)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn count_node(messages: &mut usize, node: &[u8]) -> Result<(), ModelError> {
    for field in Fields(node) {
        let (tag, body) = field?;
        count(messages, 1)?;
        if tag != NODE_ATTRIBUTE {
            continue;
        }
        for field in Fields(body) {
            let (tag, body) = field?;
            if tag == ATTRIBUTE_TENSOR {
                count_tensor(messages, body)?;
            }
        }
    }
    Ok(())
}

/// Numbers take as much memory as they take bytes; where they lie is told in entries that do not.
fn count_tensor(messages: &mut usize, tensor: &[u8]) -> Result<(), ModelError> {
    for field in Fields(tensor) {
        let (tag, _) = field?;
        if tag == TENSOR_EXTERNAL_DATA {
            count(messages, 1)?;
        }
    }
    Ok(())
}

fn count(messages: &mut usize, more: usize) -> Result<(), ModelError> {
    *messages += more;
    if *messages > MESSAGES_MAX {
        return Err(ModelError::too_large("parts of the ONNX graph", MESSAGES_MAX, *messages));
    }
    Ok(())
}

/// The fields of one message: tags, and the bytes of those that have a length.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, &'a [u8]), ModelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| malformed("protobuf", "a whole message", "a damaged one")))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, &'a [u8])> {
        let (tag, wire_type) = decode_key(&mut self.0).ok()?;
        let length = match wire_type {
            WireType::Varint => {
                decode_varint(&mut self.0).ok()?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut self.0).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (body, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, body))
    }
}
