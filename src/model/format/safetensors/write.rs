//! Writing a model as safetensors: the same model always gives the same bytes.

use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Map, Value, json};

use super::metadata::{self, LayerEntry, TransformEntry, parameters_of};
use crate::model::format::{file, u8_scale};
use crate::model::{Dense, Model, ModelError};

/// Writes `model` to a file; one that is there already is replaced.
pub(in crate::model) fn save(model: &Model, path: &Path) -> Result<(), ModelError> {
    file::replace(path, |writer| write(model, writer))
}

fn write(model: &Model, writer: &mut impl Write) -> io::Result<()> {
    let mut header = serde_json::to_vec(&header(model)?)?;
    // Spaces after the header keep the numbers aligned for readers that map the file.
    header.resize(header.len().next_multiple_of(8), b' ');
    writer.write_all(&(header.len() as u64).to_le_bytes())?;
    writer.write_all(&header)?;
    for (_, _, numbers) in tensors(model) {
        write_numbers(numbers, writer)?;
    }
    Ok(())
}

fn write_numbers(numbers: &[f32], writer: &mut impl Write) -> io::Result<()> {
    numbers.iter().try_for_each(|number| writer.write_all(&number.to_le_bytes()))
}

/// Name, shape and numbers of every tensor, in the order of the file.
fn tensors(model: &Model) -> impl Iterator<Item = (String, Vec<usize>, &[f32])> {
    model.layers().iter().enumerate().flat_map(|(index, layer)| {
        let shape = vec![layer.outputs(), layer.inputs()];
        let weight = (weight_name(index), shape, layer.weight());
        let bias = layer.bias().map(|bias| (bias_name(index), vec![layer.outputs()], bias));
        std::iter::once(weight).chain(bias)
    })
}

fn weight_name(index: usize) -> String {
    format!("{index}.weight")
}

fn bias_name(index: usize) -> String {
    format!("{index}.bias")
}

fn header(model: &Model) -> serde_json::Result<Map<String, Value>> {
    let mut header = Map::new();
    header.insert(String::from("__metadata__"), Value::Object(metadata_of(model)?));
    let mut start = 0;
    for (name, shape, numbers) in tensors(model) {
        let end = start + size_of_val(numbers);
        let info = TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) };
        header.insert(name, serde_json::to_value(info)?);
        start = end;
    }
    Ok(header)
}

fn metadata_of(model: &Model) -> serde_json::Result<Map<String, Value>> {
    let layers: Vec<LayerEntry> = model.layers().iter().enumerate().map(layer_entry).collect();
    let mut map = Map::new();
    let mut insert = |key: &str, value: String| map.insert(key.to_owned(), json!(value));
    insert(metadata::VERSION, String::from("1"));
    insert(metadata::NAME, model.name().to_owned());
    insert(metadata::LAYERS, serde_json::to_string(&layers)?);
    if !model.transform().is_identity() {
        let transform = TransformEntry::of(model.transform());
        insert(metadata::TRANSFORM, serde_json::to_string(&transform)?);
    }
    if let Some(scale) = u8_scale::to_text(model.u8_scale()) {
        insert(metadata::U8_SCALE, scale);
    }
    insert(metadata::HEAD, model.head().name().to_owned());
    if let Some(labels) = model.labels() {
        insert(metadata::LABELS, serde_json::to_string(labels)?);
    }
    Ok(map)
}

fn layer_entry((index, layer): (usize, &Dense)) -> LayerEntry {
    LayerEntry {
        weight: weight_name(index),
        bias: layer.bias().map(|_| bias_name(index)),
        activation: layer.activation().name().to_owned(),
        parameters: parameters_of(layer.activation()),
    }
}
