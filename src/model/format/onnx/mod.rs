//! ONNX: walks from the graph's output to its input and accepts what is a dense chain, exactly.
//!
//! ```text
//! limits  the message is small enough to decode    proto   the message
//! graph   names resolved: producers and constants  tensor  constants decoded, sizes checked
//! walk    output -> input, one step per operator   direct  activations that are one operator
//! gated   activations that exporters decompose     shape   the shape of one row, and reshape
//! chain   steps -> layers, folding what is affine  affine  scales and offsets in double precision
//! ```
//!
//! What is not a dense chain is refused with the node's name and the reason, never approximated.
//! Operator semantics are those of <https://onnx.ai/onnx/operators/>, by the file's opset.

mod affine;
mod attributes;
mod chain;
mod direct;
mod gated;
mod graph;
mod limits;
mod proto;
mod reshape;
mod shape;
mod tensor;
mod walk;

use std::fmt::Display;

use prost::Message;
use prost::bytes::Bytes;

use super::{Format, Model, ModelError};
use graph::Graph;
use proto::{ModelProto, NodeProto};

/// Names that exporters give to every graph, and that therefore name no model.
const NAMES_OF_EXPORTERS: [&str; 5] =
    ["torch-jit-export", "torch_jit", "main_graph", "main", "tf2onnx"];

/// Whether the bytes are a protobuf message with a graph where ONNX has it.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    limits::has_graph(bytes)
}

/// Reads a model; `fallback_name` names it where the file does not.
pub(super) fn read(bytes: Vec<u8>, fallback_name: &str) -> Result<Model, ModelError> {
    limits::check(&bytes)?;
    let file_bytes = bytes.len();
    let proto = ModelProto::decode(Bytes::from(bytes))
        .map_err(|error| malformed("protobuf", "an ONNX model", error))?;
    let graph = Graph::new(&proto, file_bytes)?;
    let steps = walk::steps(&graph)?;
    let model = chain::build(&graph, &steps)?;
    let name = graph.name();
    let named = !name.is_empty() && !NAMES_OF_EXPORTERS.contains(&name);
    Ok(model.with_name(if named { name } else { fallback_name }))
}

fn malformed(at: impl Display, expected: impl Display, got: impl Display) -> ModelError {
    ModelError::malformed(Format::Onnx, at, expected, got)
}

/// Refuses a node: what it is, and why it is no part of a dense chain.
fn refuse(node: &NodeProto, reason: impl Display) -> ModelError {
    let op = match node.domain.as_str() {
        "" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    };
    ModelError::unsupported(label(node), op, reason)
}

/// The node's name, or the value it writes where it has none.
fn label(node: &NodeProto) -> &str {
    let output = node.output.first().map_or("", String::as_str);
    if node.name.is_empty() { output } else { &node.name }
}
