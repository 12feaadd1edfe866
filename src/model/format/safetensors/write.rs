//! Writing a model as safetensors: the same model always gives the same bytes.

use std::io::{self, Write};
use std::path::Path;

use crc32fast::Hasher;
use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Map, Value, json};

use super::checksum::Checksum;
use super::metadata::{self, LayerEntry, TransformEntry, parameters_of};
use crate::model::format::u8_scale;
use crate::model::replace::replace;
use crate::model::{Dense, Model, ModelError};

/// Numbers that are turned into bytes at once.
const NUMBERS_AT_ONCE: usize = 1024;

/// Writes `model` to a file; one that is there already is replaced.
pub(in crate::model) fn save(model: &Model, path: &Path) -> Result<(), ModelError> {
    replace(path, |writer| write(model, writer)).map_err(|error| ModelError::io(path, &error))
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
    let mut bytes = Vec::with_capacity(4 * NUMBERS_AT_ONCE);
    numbers.chunks(NUMBERS_AT_ONCE).try_for_each(|numbers| {
        bytes.clear();
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        writer.write_all(&bytes)
    })
}

/// A checksum of whatever is written to it.
struct Summed(Hasher);

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

fn header(model: &Model) -> io::Result<Map<String, Value>> {
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

fn metadata_of(model: &Model) -> io::Result<Map<String, Value>> {
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
    let sum = checksum(model, &map)?.to_string();
    map.insert(metadata::CHECKSUM.to_owned(), json!(sum));
    Ok(map)
}

fn checksum(model: &Model, metadata: &Map<String, Value>) -> io::Result<Checksum> {
    let mut sum = Checksum::of_metadata(|key| metadata.get(key).and_then(Value::as_str));
    for (_, shape, numbers) in tensors(model) {
        let mut bytes = Summed(Hasher::new());
        write_numbers(numbers, &mut bytes)?;
        sum.add(&shape, &bytes.0);
    }
    Ok(sum)
}

fn layer_entry((index, layer): (usize, &Dense)) -> LayerEntry {
    LayerEntry {
        weight: weight_name(index),
        bias: layer.bias().map(|_| bias_name(index)),
        activation: layer.activation().name().to_owned(),
        parameters: parameters_of(layer.activation()),
    }
}
