//! Graphs to models: walks from a graph's output to its input and accepts what is a dense chain,
//! exactly.
//!
//! A graph speaks ONNX's language, whatever file it comes from: an ONNX file is one, and formats
//! that have operators of their own are told in ONNX's by a [`Builder`].
//!
//! ```text
//! proto   the messages a graph consists of         builder a graph of another format
//! names   producers and constants by name          tensor  constants decoded, sizes checked
//! fold    constants computed from constants        walk    output -> input, a step per operator
//! direct  activations that are one operator        gated   activations that exporters decompose
//! pieces  and those that bend, in any words        shape   the shape of a batch and of a row
//! reshape what a reshape asks for                  chain   steps -> layers, folding what is affine
//! draft   a layer that takes up what is affine     affine  scales and offsets in double precision
//! front   what the first affine steps say of bytes
//! ```
//!
//! What a row is, a file does not say: nearly always the first axis is the batch. Where a graph is
//! no chain that way, all axes but the last are taken for it, and then none, if all sizes are
//! stated; a note says which. Scores are exact in each of these readings.
//!
//! What is not a dense chain is refused with the node's name and the reason, never approximated.
//! Operator semantics are those of <https://onnx.ai/onnx/operators/>, by the graph's opset.

mod affine;
mod attributes;
mod builder;
mod chain;
mod direct;
mod draft;
mod fold;
mod front;
mod gated;
mod names;
mod pieces;
pub(super) mod proto;
mod reshape;
mod shape;
mod tensor;
mod walk;

use std::fmt::Display;

pub(super) use builder::{Builder, Numbers, float, int};
use names::Graph;
use proto::{ModelProto, NodeProto};
use shape::View;

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
        let mut first = None;
        for view in View::of(graph.input()) {
            graph.start_again();
            match chain::build(&graph, &steps, view) {
                Ok(model) => {
                    let model = model.with_name(graph.name());
                    return Ok(graph.unused().into_iter().fold(model, Model::with_note));
                }
                // Sizes are the same in every view.
                Err(error @ ModelError::TooLarge { .. }) => return Err(first.unwrap_or(error)),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| malformed("input", "a shape", "none")))
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
pub(super) fn label(node: &NodeProto) -> &str {
    let output = node.output.first().map_or("", String::as_str);
    if node.name.is_empty() { output } else { &node.name }
}
