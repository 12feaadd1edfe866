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

/// Why arrays that are numbered and fit no layer are none's.
const UNKNOWN: &str = "the arrays of its layer are neither those of a Dense nor of a \
                       BatchNormalization";

/// The model of a file's arrays and of what the caller says.
pub(super) fn read(
    mut file: Hdf5,
    fallback_name: &str,
    options: &LoadOptions,
) -> Result<Model, ModelError> {
    let mut layers: BTreeMap<String, Vec<(String, Array)>> = BTreeMap::new();
    let mut left = 0;
    for (path, array) in file.all_arrays()? {
        if path.split('/').any(|part| NOT_WEIGHTS.contains(&part)) {
            left += 1;
            continue;
        }
        let array = file.read(&path, &array)?;
        let (layer, own) = path.rsplit_once('/').unwrap_or(("", &path));
        layers.entry(layer.to_owned()).or_default().push((own.to_owned(), array));
    }
    let tensors = layers.into_iter().flat_map(|(path, arrays)| named(&path, arrays)).collect();
    let layout = Some(Layout::InputsFirst);
    let tensors = NamedTensors { format: FORMAT, tensors, is_registered: false, layout };
    let model = tensors.model(options, fallback_name)?;
    Ok(match left {
        0 => model,
        left => model.with_note(format!(
            "left out: {left} arrays of an optimizer, of random seeds or of metrics"
        )),
    })
}

/// The arrays of one group, under the layer's name and their own.
fn named(path: &str, arrays: Vec<(String, Array)>) -> Vec<NamedTensor> {
    let layer = layer_of(path);
    let axes: Vec<usize> = arrays.iter().map(|(_, array)| array.dims.len()).collect();
    let is_numbered = path.ends_with("vars");
    // A layer norm has two arrays of one axis, too.
    let is_batch_norm = layer.split('/').any(|part| {
        part.starts_with("batch_norm") || part.starts_with("bn") || part.ends_with("_bn")
    });
    let roles: &[&str] = match &axes[..] {
        _ if !is_numbered => &[],
        [2] => &["kernel"],
        [2, 1] => &["kernel", "bias"],
        [1, 1] if is_batch_norm => &["moving_mean", "moving_variance"],
        [1, 1, 1, 1] => &["gamma", "beta", "moving_mean", "moving_variance"],
        _ => &[],
    };
    let is_known = !is_numbered || !roles.is_empty();
    let tensor = |(index, (own, array)): (usize, (String, Array))| {
        let own = own.strip_suffix(":0").unwrap_or(&own);
        let own = roles.get(index).copied().unwrap_or(own);
        let Array { dims, element, bytes } = array;
        let name = if layer.is_empty() { own.to_owned() } else { format!("{layer}/{own}") };
        let kind = if is_known { Kind::Number(element) } else { Kind::Unknown(UNKNOWN) };
        NamedTensor { name, dims, kind, bytes }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::numbers::Element;

    /// The names of arrays of so many axes, numbered in the group of a layer; `?` before those of a
    /// layer that is not known.
    fn names(path: &str, axes: &[usize]) -> Vec<String> {
        let array = |(index, axes): (usize, &usize)| {
            let array =
                Array { dims: vec![3; *axes], element: Element::F32, bytes: Default::default() };
            (index.to_string(), array)
        };
        let tensors = named(path, axes.iter().enumerate().map(array).collect());
        let name = |tensor: NamedTensor| match tensor.kind {
            Kind::Unknown(_) => format!("?{}", tensor.name),
            _ => tensor.name,
        };
        tensors.into_iter().map(name).collect()
    }

    #[test]
    fn numbered_arrays_are_known_by_their_axes_and_others_are_not() {
        assert_eq!(names("layers/dense/vars", &[2, 1]), ["dense/kernel", "dense/bias"]);
        let norm = names("layers/batch_normalization_1/vars", &[1, 1]);
        assert_eq!(norm[1], "batch_normalization_1/moving_variance");
        assert_eq!(names("bn/vars", &[1, 1, 1, 1])[0], "bn/gamma");
        // A layer norm has a scale and an offset, a recurrent layer two kernels.
        let other = names("layers/layer_normalization/vars", &[1, 1]);
        assert_eq!(other, ["?layer_normalization/0", "?layer_normalization/1"]);
        assert_eq!(names("encoder/cell/vars", &[2, 2]), ["?encoder/cell/0", "?encoder/cell/1"]);
        assert_eq!(names("dense/dense", &[1])[0], "dense/0");
    }
}
