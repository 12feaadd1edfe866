//! Graphs to models: walks from a graph's output to its input and accepts what is a dense chain,
//! exactly.
//!
//! A graph speaks ONNX's language, whatever file it comes from: an ONNX file is one, and formats
//! that have operators of their own are told in ONNX's by a [`Builder`].
//!
//! ```text
//! proto   the messages a graph consists of         builder a graph of another format
//! names   producers and constants by name          tensor  constants decoded, sizes checked
//! walk    output -> input, one step per operator   direct  activations that are one operator
//! gated   activations that exporters decompose     pieces  and those that bend, in any words
//! chain   steps -> layers, folding what is affine  affine  scales and offsets in double precision
//! shape   the shape of one row                     reshape what a Reshape asks for
//! ```
//!
//! What is not a dense chain is refused with the node's name and the reason, never approximated.
//! Operator semantics are those of <https://onnx.ai/onnx/operators/>, by the graph's opset.

mod affine;
mod attributes;
#[allow(dead_code)]
mod builder;
mod chain;
mod direct;
mod gated;
mod names;
mod pieces;
pub(super) mod proto;
mod reshape;
mod shape;
mod tensor;
mod walk;

use std::fmt::Display;

#[allow(unused_imports)]
pub(super) use builder::{Builder, Numbers, float, int, ints, text};
use names::Graph;
use proto::{ModelProto, NodeProto};

use super::{Format, Model, ModelError};

/// The model that a graph of a file of `file_bytes` bytes computes, under the graph's own name.
pub(super) fn model(
    proto: &ModelProto,
    file_bytes: usize,
    format: Format,
) -> Result<Model, ModelError> {
    let read = || {
        let graph = Graph::new(proto, file_bytes)?;
        let steps = walk::steps(&graph)?;
        Ok(chain::build(&graph, &steps)?.with_name(graph.name()))
    };
    read().map_err(|error: ModelError| error.in_format(format))
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
