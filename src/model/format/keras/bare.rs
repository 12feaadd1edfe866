//! HDF5 without a configuration: its arrays are tensors by name, and the caller says what follows
//! them.
//!
//! Keras 3 numbers the arrays of a layer; what they are follows from how many there are and from
//! their axes. Keras 2 names them.

use std::collections::BTreeMap;

use super::hdf5::{Array, Hdf5};
use crate::model::format::named::{Kind, NamedTensor, NamedTensors};
use crate::model::{Format, Layout, LoadOptions, Model, ModelError};

const FORMAT: Format = Format::KerasHdf5;

/// What an optimizer keeps beside the weights, and the seeds of layers that drop values.
const NOT_WEIGHTS: [&str; 4] = ["optimizer", "optimizer_weights", "seed_generator", "metrics"];

/// The model of a file's arrays and of what the caller says.
pub(super) fn read(
    mut file: Hdf5,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let mut layers: BTreeMap<String, Vec<(String, Array)>> = BTreeMap::new();
    for (path, array) in file.all_arrays()? {
        if path.split('/').any(|part| NOT_WEIGHTS.contains(&part)) {
            continue;
        }
        let array = file.read(&path, &array)?;
        let (layer, own) = path.rsplit_once('/').unwrap_or(("", &path));
        layers.entry(layer.to_owned()).or_default().push((own.to_owned(), array));
    }
    let tensors = layers.into_iter().flat_map(|(path, arrays)| named(&path, arrays)).collect();
    let layout = Some(Layout::InputsFirst);
    let tensors = NamedTensors { format: FORMAT, tensors, is_registered: false, layout };
    tensors.model(options, fallback_name)
}

/// The arrays of one group, under the layer's name and their own.
fn named(path: &str, arrays: Vec<(String, Array)>) -> Vec<NamedTensor> {
    let layer = layer_of(path);
    let axes: Vec<usize> = arrays.iter().map(|(_, array)| array.dims.len()).collect();
    let roles: &[&str] = match (path.ends_with("vars"), &axes[..]) {
        (true, [2]) => &["kernel"],
        (true, [2, 1]) => &["kernel", "bias"],
        (true, [1, 1]) => &["moving_mean", "moving_variance"],
        (true, [1, 1, 1, 1]) => &["gamma", "beta", "moving_mean", "moving_variance"],
        _ => &[],
    };
    let tensor = |(index, (own, array)): (usize, (String, Array))| {
        let own = own.strip_suffix(":0").unwrap_or(&own);
        let own = roles.get(index).copied().unwrap_or(own);
        let Array { dims, element, bytes } = array;
        let name = if layer.is_empty() { own.to_owned() } else { format!("{layer}/{own}") };
        NamedTensor { name, dims, kind: Kind::Number(element), bytes }
    };
    arrays.into_iter().enumerate().map(tensor).collect()
}

/// The layer's name in the path of its group: without what Keras 3 puts around it, and once where
/// Keras 2 repeats it.
fn layer_of(path: &str) -> String {
    let path = path.strip_suffix("vars").unwrap_or(path);
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.retain(|part| *part != "layers");
    parts.dedup();
    parts.join("/")
}
