//! A look at the message's outline before it is decoded: a message of two bytes becomes a struct of
//! hundreds, so their number is bounded first.

use crate::model::format::outline::Fields;
use crate::model::{Format, ModelError};

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
    fields(file).map_while(Result::ok).any(|(tag, _)| tag == MODEL_GRAPH)
}

/// Checks that decoding takes memory in proportion to the file.
pub(super) fn check(file: &[u8]) -> Result<(), ModelError> {
    let mut messages = 0;
    for field in fields(file) {
        let (tag, body) = field?;
        count(&mut messages, 1)?;
        if tag != MODEL_GRAPH {
            continue;
        }
        for field in fields(body) {
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
    for field in fields(node) {
        let (tag, body) = field?;
        count(messages, 1)?;
        if tag != NODE_ATTRIBUTE {
            continue;
        }
        for field in fields(body) {
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
    for field in fields(tensor) {
        let (tag, _) = field?;
        if tag == TENSOR_EXTERNAL_DATA {
            count(messages, 1)?;
        }
    }
    Ok(())
}

fn fields(message: &[u8]) -> Fields<'_> {
    Fields::of(message, Format::Onnx)
}

fn count(messages: &mut usize, more: usize) -> Result<(), ModelError> {
    *messages += more;
    if *messages > MESSAGES_MAX {
        return Err(ModelError::too_large("parts of the ONNX graph", MESSAGES_MAX, *messages));
    }
    Ok(())
}
