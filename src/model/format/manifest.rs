//! `model.toml`: a file of weights, and what that file cannot say.
//!
//! ```toml
//! weights = "ffnn.torch"   # beside this file: any format that is read, a folder too
//! name = "ffnn"            # else the weights' own
//! order = ["fc1", "norm1", "relu", "fc2"]   # modules by name, activations between them
//! activation = "relu"      # in place of activations in `order`: after every layer but the last
//! final = "none"           # after the last: none, softmax, log_softmax or an activation
//! layout = "outputs_first" # or "inputs_first": which axis of a weight comes first
//! epsilon = 0.001          # of each BatchNorm, which a state_dict does not hold
//! labels = ["cat", "dog"]  # one per class
//! u8_scale = 0.00392157    # what one step of a byte stands for in rows of bytes
//!
//! [input]                  # what a row's values go through before the first layer
//! scale = 0.00392157       # x * scale + offset: a number, or one per input
//! offset = [0.5, 0.25]
//! ```
//!
//! Only `weights` has to be there. What the weights' own format states may not be said again.

use std::path::{Component, PathBuf};

use serde::Deserialize;

use crate::model::{Format, InputTransform, LoadOptions, Model, ModelError, PerInput, U8Scale};

/// The longest manifest that is read; ten thousand labels fit. Reading takes a hundred times the
/// memory of the text at worst.
const BYTES_MAX: usize = 256 << 10;

/// What a manifest says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    weights: PathBuf,
    name: Option<String>,
    order: Option<Vec<String>>,
    activation: Option<String>,
    r#final: Option<String>,
    layout: Option<String>,
    epsilon: Option<f32>,
    labels: Option<Vec<String>>,
    u8_scale: Option<f32>,
    input: Option<Input>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    scale: Option<Numbers>,
    offset: Option<Numbers>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Numbers {
    Uniform(f32),
    Each(Vec<f32>),
}

/// Whether the bytes are a text that says, on a line of its own, where weights are.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let beginning = bytes[..bytes.len().min(BYTES_MAX)].utf8_chunks().next();
    let Some(text) = beginning.map(|chunk| chunk.valid()) else { return false };
    let says_weights = |line: &str| {
        line.trim_start()
            .strip_prefix("weights")
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    !text.contains('\0') && text.lines().any(says_weights)
}

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Result<Manifest, ModelError> {
        if bytes.len() > BYTES_MAX {
            return Err(ModelError::too_large("manifest bytes", BYTES_MAX, bytes.len()));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ModelError::malformed(Format::Manifest, "text", "UTF-8", error))?;
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(""));
            let at = format!("line {}", 1 + before.matches('\n').count());
            let got = error.message().replace('\n', " ");
            ModelError::malformed(Format::Manifest, at, "the keys of a model.toml", got)
        })?;
        let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if manifest.weights().is_empty() || !manifest.weights.components().all(is_inside) {
            let got = manifest.weights.display();
            let expected = "a path inside the manifest's folder";
            return Err(ModelError::malformed(Format::Manifest, "weights", expected, got));
        }
        Ok(manifest)
    }

    /// The names that lead from the manifest's folder to the weights, which are a file or a folder.
    pub(super) fn weights(&self) -> Vec<String> {
        let name = |part: Component<'_>| part.as_os_str().to_string_lossy().into_owned();
        self.weights.components().map(name).collect()
    }

    /// What the manifest says about the weights' layers, and `caller` about where to look.
    pub(super) fn options(&self, caller: &LoadOptions) -> Result<LoadOptions, ModelError> {
        Ok(LoadOptions {
            activation: self.activation.as_ref().map(|text| text.parse()).transpose()?,
            ending: self.r#final.as_ref().map(|text| text.parse()).transpose()?,
            order: self.order.clone(),
            layout: self.layout.as_ref().map(|text| text.parse()).transpose()?,
            epsilon: self.epsilon,
            external_data: caller.external_data,
        })
    }

    /// The model with all that the manifest says beside its layers.
    pub(super) fn complete(self, mut model: Model) -> Result<Model, ModelError> {
        if let Some(name) = self.name {
            model = model.with_name(name);
        }
        if let Some(input) = self.input {
            if !model.transform().is_identity() {
                let expected = "nothing, because the weights' file states its own";
                return Err(ModelError::invalid("input transform", expected, "one"));
            }
            model = model.with_transform(InputTransform {
                scale: per_input(input.scale, 1.0),
                offset: per_input(input.offset, 0.0),
            })?;
        }
        if let Some(scale) = self.u8_scale {
            model = model.with_u8_scale_from(U8Scale::File(scale))?;
        }
        if let Some(labels) = self.labels {
            model = model.with_labels(labels)?;
        }
        Ok(model.with_note(format!("a manifest names {}", self.weights.display())))
    }
}

fn per_input(numbers: Option<Numbers>, default: f32) -> PerInput {
    match numbers {
        None => PerInput::Uniform(default),
        Some(Numbers::Uniform(number)) => PerInput::Uniform(number),
        Some(Numbers::Each(numbers)) => PerInput::Each(numbers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Dense, Layout};

    fn model() -> Model {
        let weight = vec![1.0, 2.0, 3.0, 4.0];
        Model::from_layers(vec![Dense::new(2, 2, weight, None, Activation::Relu).unwrap()]).unwrap()
    }

    #[test]
    fn everything_it_says_arrives() {
        let text = "
            weights = 'deep/ffnn.pt'
            name = 'shoes'
            order = ['a', 'tanh', 'b']
            final = 'log_softmax'
            layout = 'inputs_first'
            epsilon = 0.25
            labels = ['left', 'right']
            u8_scale = 1.0
            [input]
            scale = [2.0, 4.0]
            offset = -1.5";
        assert!(looks_like(text.as_bytes()));
        let manifest = Manifest::read(text.as_bytes()).unwrap();
        assert_eq!(manifest.weights(), ["deep", "ffnn.pt"]);
        let options = manifest.options(&LoadOptions::default()).unwrap();
        assert_eq!(options.order.unwrap(), ["a", "tanh", "b"]);
        assert_eq!(options.ending.unwrap().to_string(), "log_softmax");
        assert_eq!(options.layout, Some(Layout::InputsFirst));
        assert_eq!(options.epsilon, Some(0.25));
        let model = manifest.complete(model()).unwrap();
        assert_eq!((model.name(), model.u8_scale()), ("shoes", U8Scale::File(1.0)));
        assert_eq!(model.labels().unwrap(), ["left", "right"]);
        let transform = model.transform();
        assert_eq!([transform.scale.at(1), transform.offset.at(1)], [4.0, -1.5]);
    }

    #[test]
    fn what_it_says_wrongly_is_one_line() {
        let refused = [
            ("weights = 'a'\ncolour = 1", "line 2"),
            ("weights = 'a'\n\n[input]\nscale = 'big'", "line 4"),
            ("weights = '/etc/passwd'", "inside the manifest's folder"),
            ("weights = ''", "inside the manifest's folder"),
            ("weights = '../a'", "inside the manifest's folder"),
            ("weights = 'a/../../b'", "inside the manifest's folder"),
            ("weights = ", "line 1"),
            ("name = 'no weights'", "weights"),
        ];
        for (text, part) in refused {
            let error = Manifest::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
        for (text, part) in [
            ("activation = 'rely'", "'rely'"),
            ("final = 'soft'", "'soft'"),
            ("layout = 'sideways'", "layout: expected outputs_first or inputs_first"),
        ] {
            let manifest = Manifest::read(format!("weights = 'a'\n{text}").as_bytes()).unwrap();
            let error = manifest.options(&LoadOptions::default()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        for text in ["labels = ['one']", "u8_scale = 0.0", "[input]\nscale = [1.0]"] {
            let manifest = Manifest::read(format!("weights = 'a'\n{text}").as_bytes()).unwrap();
            assert!(manifest.complete(model()).is_err(), "{text}");
        }
        let nested = format!("weights = 'a'\nname = {}", "[".repeat(100_000));
        assert!(Manifest::read(nested.as_bytes()).is_err());
    }

    #[test]
    fn other_texts_are_no_manifest() {
        for text in ["", "weight = 'a'", "# weights = 'a'", "weights: a", "\0weights = 1"] {
            assert!(!looks_like(text.as_bytes()), "{text}");
        }
    }
}
