//! Reading safetensors: every size is checked against the bytes that are there.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use safetensors::tensor::Metadata;
use serde::de::DeserializeOwned;

use super::checksum::Checksum;
use super::metadata::{self, LayerEntry, TransformEntry};
use super::{bare, element};
use crate::model::format::file::Contents;
use crate::model::format::named::NamedTensors;
use crate::model::format::numbers::Element;
use crate::model::format::u8_scale;
use crate::model::weights::Weights;
use crate::model::{Dense, Format, Head, LoadOptions, Model, ModelError};

/// The longest header that is read; a million labels and a per-input transform fit.
const HEADER_BYTES_MAX: usize = 100_000_000;

/// Whether the bytes begin like a safetensors file: a header's length, then JSON. No magic number
/// of another format is so small a length.
pub(in crate::model::format) fn looks_like(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else { return false };
    u64::from_le_bytes(*length) <= HEADER_BYTES_MAX as u64 && rest.first() == Some(&b'{')
}

/// Reads a model; `fallback_name` names it where the file does not.
pub(in crate::model::format) fn read(
    contents: &Contents,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let (header, payload) = parts(contents)?;
    match own_metadata(&header)? {
        Some(metadata) => {
            options.check_states_itself(Format::Safetensors)?;
            File { header: &header, contents, payload, metadata }.model(fallback_name)
        }
        None => {
            let payload = contents.bytes().slice(payload);
            bare::tensors(&header, &payload).model(options, fallback_name)
        }
    }
}

/// The tensors of a file of weights by name.
pub(in crate::model::format) fn tensors(contents: &Contents) -> Result<NamedTensors, ModelError> {
    let (header, payload) = parts(contents)?;
    match own_metadata(&header)? {
        Some(_) => Err(malformed("__metadata__", "weights by name alone", "a whole model")),
        None => Ok(bare::tensors(&header, &contents.bytes().slice(payload))),
    }
}

/// The header, and where the payload is, once it is known to be as long as the header says.
fn parts(contents: &Contents) -> Result<(Metadata, Range<usize>), ModelError> {
    let bytes = contents.bytes();
    let (header, payload) = split(bytes)?;
    let header: Metadata = serde_json::from_slice(header)
        .map_err(|error| malformed("header", "a safetensors header", error))?;
    if header.data_len() != payload.len() {
        return Err(malformed("payload", bytes_of(header.data_len()), bytes_of(payload.len())));
    }
    Ok((header, bytes.len() - payload.len()..bytes.len()))
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), ModelError> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(malformed("header length", bytes_of(8), bytes_of(bytes.len())));
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > HEADER_BYTES_MAX {
        return Err(malformed("header length", format!("at most {HEADER_BYTES_MAX}"), length));
    }
    rest.split_at_checked(length)
        .ok_or_else(|| malformed("header", bytes_of(length), bytes_of(rest.len())))
}

/// The file's metadata, where it is this crate's, once it is known to be of a version and keys that
/// this version knows.
fn own_metadata(header: &Metadata) -> Result<Option<&HashMap<String, String>>, ModelError> {
    let Some(metadata) = header.metadata() else { return Ok(None) };
    let own: Vec<&String> = metadata.keys().filter(|key| key.starts_with("fusewire.")).collect();
    if own.is_empty() {
        return Ok(None);
    }
    match metadata.get(metadata::VERSION).map(String::as_str) {
        Some("1") => {}
        Some(version) => return Err(malformed(metadata::VERSION, "1", version)),
        None => return Err(malformed("__metadata__", metadata::VERSION, "a file without it")),
    }
    match own.into_iter().find(|key| !metadata::KEYS.contains(&key.as_str())) {
        Some(key) => Err(malformed("__metadata__", "the keys of version 1", key)),
        None => Ok(Some(metadata)),
    }
}

struct File<'a> {
    header: &'a Metadata,
    contents: &'a Contents,
    /// Where the payload is in them.
    payload: Range<usize>,
    metadata: &'a HashMap<String, String>,
}

impl File<'_> {
    fn model(&self, fallback_name: &str) -> Result<Model, ModelError> {
        let name = self.metadata.get(metadata::NAME).map_or(fallback_name, String::as_str);
        let mut model = Model::from_layers(self.layers()?)?.with_name(name).with_head(self.head()?);
        if let Some(transform) = self.json::<TransformEntry>(metadata::TRANSFORM)? {
            model = model.with_transform(transform.to_transform())?;
        }
        if let Some(scale) = self.metadata.get(metadata::U8_SCALE) {
            let scale = u8_scale::of_text(scale)
                .ok_or_else(|| malformed(metadata::U8_SCALE, "a number", scale))?;
            model = model.with_u8_scale_from(scale)?;
        }
        match self.json(metadata::LABELS)? {
            Some(labels) => model.with_labels(labels),
            None => Ok(model),
        }
    }

    fn head(&self) -> Result<Head, ModelError> {
        let Some(name) = self.metadata.get(metadata::HEAD) else { return Ok(Head::Logits) };
        Head::from_name(name).ok_or_else(|| malformed(metadata::HEAD, "the name of a head", name))
    }

    fn json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ModelError> {
        let parse = |text| {
            serde_json::from_str(text).map_err(|error| malformed(key, "JSON of its kind", error))
        };
        self.metadata.get(key).map(|text| parse(text)).transpose()
    }

    fn layers(&self) -> Result<Vec<Dense>, ModelError> {
        let entries: Vec<LayerEntry> = self
            .json(metadata::LAYERS)?
            .ok_or_else(|| malformed("__metadata__", metadata::LAYERS, "a file without it"))?;
        self.check_each_tensor_is_used_once(&entries)?;
        self.check_sum(&entries)?;
        entries.iter().enumerate().map(|(index, entry)| self.layer(index, entry)).collect()
    }

    /// A tensor used twice would let a small file ask for much memory; one left over means that the
    /// file says something this version does not know.
    fn check_each_tensor_is_used_once(&self, entries: &[LayerEntry]) -> Result<(), ModelError> {
        let mut used = HashSet::new();
        for name in entries.iter().flat_map(LayerEntry::tensors) {
            if !used.insert(name) {
                return Err(malformed(metadata::LAYERS, "each tensor once", name));
            }
        }
        match self.header.tensors().keys().find(|name| !used.contains(name)) {
            Some(name) => Err(malformed(metadata::LAYERS, "every tensor in a layer", name)),
            None => Ok(()),
        }
    }

    /// Compares what decides the scores with the checksum that the file states, where it does.
    fn check_sum(&self, entries: &[LayerEntry]) -> Result<(), ModelError> {
        let Some(stated) = self.metadata.get(metadata::CHECKSUM) else { return Ok(()) };
        let mut sum = Checksum::of_metadata(|key| self.metadata.get(key).map(String::as_str));
        for name in entries.iter().flat_map(LayerEntry::tensors) {
            let (shape, _, range) = self.find(name)?;
            sum.add(shape, &self.contents.crc(range));
        }
        let sum = sum.to_string();
        if *stated == sum {
            return Ok(());
        }
        let expected = format!("the contents' own, {sum}");
        let got = format!("{stated:.20}; the file is damaged, or was changed since it was saved");
        Err(malformed(metadata::CHECKSUM, expected, got))
    }

    fn layer(&self, index: usize, entry: &LayerEntry) -> Result<Dense, ModelError> {
        let activation = entry.to_activation().map_err(|(expected, got)| {
            malformed(format!("activation of layer {index}"), expected, got)
        })?;
        let (shape, weight) = self.tensor(&entry.weight)?;
        let [outputs, inputs] = shape[..] else {
            return Err(wrong_shape(&entry.weight, "[outputs, inputs]", shape));
        };
        let bias = match &entry.bias {
            None => None,
            Some(name) => match self.tensor(name)? {
                (shape, bias) if *shape == [outputs] => Some(bias),
                (shape, _) => return Err(wrong_shape(name, &format!("[{outputs}]"), shape)),
            },
        };
        Dense::of_weights(inputs, outputs, weight, bias, activation)
    }

    fn tensor(&self, name: &str) -> Result<(&[usize], Weights), ModelError> {
        let (shape, element, range) = self.find(name)?;
        let weights = element.weights(self.contents.bytes().slice(range.clone()));
        if element == Element::F32 && self.contents.is_finite(range) {
            return Ok((shape, weights.known_finite()));
        }
        Ok((shape, weights))
    }

    /// The shape of a tensor, its element, and where its bytes are.
    fn find(&self, name: &str) -> Result<(&[usize], Element, Range<usize>), ModelError> {
        let at = format!("tensor '{name}'");
        let Some(info) = self.header.info(name) else {
            return Err(malformed(at, "a tensor of the file", "none of this name"));
        };
        let element =
            element(info).ok_or_else(|| malformed(at, "F32, F16, BF16 or F64", info.dtype))?;
        let (start, end) = info.data_offsets;
        // The header's own check made offsets contiguous and sizes match shapes; ours, that the
        // last offset is the payload's length.
        let range = self.payload.start + start..self.payload.start + end;
        Ok((&info.shape, element, range))
    }
}

fn wrong_shape(name: &str, expected: &str, shape: &[usize]) -> ModelError {
    malformed(format!("tensor '{name}'"), format!("shape {expected}"), format!("{shape:?}"))
}

fn bytes_of(count: usize) -> String {
    format!("{count} bytes")
}

fn malformed(
    at: impl std::fmt::Display,
    expected: impl std::fmt::Display,
    got: impl std::fmt::Display,
) -> ModelError {
    ModelError::malformed(Format::Safetensors, at, expected, got)
}
