//! Writing a model as ONNX: the same model always gives the same bytes.

use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::metadata;
use crate::model::format::graph::{Builder, Numbers, int, proto::ModelProto};
use crate::model::format::numbers::Element;
use crate::model::replace::replace;
use crate::model::{Activation, Dense, Format, Model, ModelError, PerInput};

/// The version of the format that came with the operators the graph is told in.
const IR_VERSION: i64 = 9;

/// The largest message that protobuf's own libraries read.
const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

const OUTPUT: &str = "output";

/// Writes `model` to a file; one that is there already is replaced.
pub(in crate::model) fn save(model: &Model, path: &Path) -> Result<(), ModelError> {
    // The weights alone are asked first: encoding them takes their size again.
    check_size(4 * model.parameters())?;
    let proto = to_proto(model)?;
    check_size(proto.encoded_len())?;
    replace(path, |writer| writer.write_all(&proto.encode_to_vec()))
        .map_err(|error| ModelError::io(path, &error))
}

fn check_size(bytes: usize) -> Result<(), ModelError> {
    if bytes > MESSAGE_BYTES_MAX {
        return Err(ModelError::too_large("bytes of an ONNX file", MESSAGE_BYTES_MAX, bytes));
    }
    Ok(())
}

fn to_proto(model: &Model) -> Result<ModelProto, ModelError> {
    // A graph must have a name, and a model need not; the metadata has it as it is.
    let name = if model.name().is_empty() { "model" } else { model.name() };
    let mut graph = Builder::new(Format::Onnx, name, Some(&[model.inputs()]));
    let mut value = transform(&mut graph, model);
    for (index, layer) in model.layers().iter().enumerate() {
        value = dense(&mut graph, index, layer, &value);
        if layer.activation() != Activation::Identity {
            value = graph.activation(&format!("{index}.activation"), &value, layer.activation());
        }
    }
    value = graph.head("head", &value, model.head());
    let mut proto = graph.into_proto(&value, Some(model.classes()));
    proto.ir_version = IR_VERSION;
    proto.producer_name = String::from("fusewire");
    proto.metadata_props = metadata::entries_of(model)
        .map_err(|error| ModelError::invalid("labels", "strings that JSON can hold", error))?;
    name_output(&mut proto, &value);
    Ok(proto)
}

/// Gives the last value, which no node reads, a name for people.
fn name_output(proto: &mut ModelProto, value: &str) {
    let Some(graph) = &mut proto.graph else { return };
    let written = graph.node.iter_mut().flat_map(|node| &mut node.output);
    let declared = graph.output.iter_mut().map(|output| &mut output.name);
    for name in written.chain(declared).filter(|name| *name == value) {
        OUTPUT.clone_into(name);
    }
}

/// The value that the first layer sees.
fn transform(graph: &mut Builder, model: &Model) -> String {
    let mut value = graph.input();
    let steps = [
        ("Mul", "input.scale", &model.transform().scale, 1.0),
        ("Add", "input.offset", &model.transform().offset, 0.0),
    ];
    for (op, name, numbers, neutral) in steps {
        let (dims, numbers) = match numbers {
            PerInput::Uniform(number) if *number == neutral => continue,
            PerInput::Uniform(number) => (vec![], std::slice::from_ref(number)),
            PerInput::Each(numbers) => (vec![numbers.len()], &numbers[..]),
        };
        let constant = graph.constant(name, &dims, stored(numbers));
        value = graph.node(name, op, &[&value, &constant], vec![]);
    }
    value
}

fn dense(graph: &mut Builder, index: usize, layer: &Dense, value: &str) -> String {
    let name = format!("{index}.weight");
    let dims = [layer.outputs(), layer.inputs()];
    let weight = graph.constant(&name, &dims, stored(layer.weight()));
    let bias = layer
        .bias()
        .map(|bias| graph.constant(&format!("{index}.bias"), &[layer.outputs()], stored(bias)));
    let mut inputs = vec![value, &weight];
    inputs.extend(bias.as_deref());
    graph.node(&format!("{index}.dense"), "Gemm", &inputs, vec![int("transB", 1)])
}

fn stored(numbers: &[f32]) -> Numbers {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Numbers::Stored(Element::F32, Bytes::from(bytes))
}
