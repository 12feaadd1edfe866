//! ONNX files.
//!
//! ```text
//! limits    the message is small enough to decode
//! external  tensors that lie in other files
//! metadata  what a graph cannot say: name, labels, what a byte stands for
//! write     a model told in operators
//! ```

mod external;
mod limits;
mod metadata;
mod write;

use std::fmt::Display;

use bytes::Bytes;
use prost::Message;

use super::folder::Folder;
use super::graph::{self, proto::ModelProto};
use super::{Format, Model, ModelError};

pub(in crate::model) use write::save;

/// Names that exporters give to every graph, and that therefore name no model.
const NAMES_OF_EXPORTERS: [&str; 5] =
    ["torch-jit-export", "torch_jit", "main_graph", "main", "tf2onnx"];

/// Whether the bytes are a protobuf message with a graph where ONNX has it.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    limits::has_graph(bytes)
}

/// Reads a model; `fallback_name` names it where the file does not. Tensors may lie in other files
/// of `folder`, where one is given.
pub(super) fn read(
    bytes: Bytes,
    fallback_name: &str,
    folder: Option<&Folder>,
) -> Result<Model, ModelError> {
    limits::check(&bytes)?;
    let mut file_bytes = bytes.len();
    let mut proto =
        ModelProto::decode(bytes).map_err(|error| malformed("protobuf", "an ONNX model", error))?;
    if let Some(folder) = folder {
        file_bytes = file_bytes.saturating_add(external::read_into(&mut proto, folder)?);
    }
    let model = graph::model(&proto, file_bytes, Format::Onnx)
        .map_err(|error| name_quantised(&proto, error))?;
    let named = !model.name().is_empty() && !NAMES_OF_EXPORTERS.contains(&model.name());
    let model = if named { model } else { model.with_name(fallback_name) };
    metadata::apply(&proto.metadata_props, model)
}

/// Where a graph that is refused computes with quantised numbers, that is why, whichever of its
/// nodes it was refused at.
fn name_quantised(proto: &ModelProto, error: ModelError) -> ModelError {
    const REASON: &str = "a quantised network; export the model before quantisation";
    let nodes = proto.graph.iter().flat_map(|graph| &graph.node);
    let mut quantised = nodes.filter(|node| is_quantised(&node.op_type));
    match (&error, quantised.next()) {
        (ModelError::Unsupported { reason, .. }, Some(node)) if reason != REASON => {
            ModelError::unsupported(graph::label(node), &node.op_type, REASON)
        }
        _ => error,
    }
}

/// Whether an operator, of ONNX or of ONNX Runtime, computes with quantised numbers.
fn is_quantised(op: &str) -> bool {
    const OTHERS: [&str; 7] = [
        "QuantizeLinear",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "ConvInteger",
        "MatMulNBits",
        "QGemm",
        "QAttention",
    ];
    ["QLinear", "DynamicQuantize"].iter().any(|start| op.starts_with(start)) || OTHERS.contains(&op)
}

fn malformed(at: impl Display, expected: impl Display, got: impl Display) -> ModelError {
    ModelError::malformed(Format::Onnx, at, expected, got)
}
