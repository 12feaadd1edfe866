//! The metadata's JSON, one type per value, for reader and writer alike.

use serde::{Deserialize, Serialize};

use crate::model::{Activation, InputTransform, PerInput};

pub(super) const VERSION: &str = "fusewire.version";
pub(super) const NAME: &str = "fusewire.name";
pub(super) const LAYERS: &str = "fusewire.layers";
pub(super) const TRANSFORM: &str = "fusewire.transform";
pub(super) const U8_SCALE: &str = "fusewire.u8_scale";
pub(super) const HEAD: &str = "fusewire.head";
pub(super) const LABELS: &str = "fusewire.labels";

pub(super) const CHECKSUM: &str = "fusewire.checksum";

/// Every key of version 1.
pub(super) const KEYS: [&str; 8] =
    [VERSION, NAME, LAYERS, TRANSFORM, U8_SCALE, HEAD, LABELS, CHECKSUM];

/// One layer: the names of its tensors and what follows them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerEntry {
    pub(super) weight: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bias: Option<String>,
    pub(super) activation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<Vec<Number>>,
}

impl LayerEntry {
    /// The names of the layer's tensors.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.weight).chain(&self.bias)
    }

    /// The layer's activation, or what is wrong with its name or parameters: expected, got.
    pub(super) fn to_activation(&self) -> Result<Activation, (String, String)> {
        let Some(activation) = Activation::from_name(&self.activation) else {
            return Err((String::from("the name of an activation"), self.activation.clone()));
        };
        let Some(numbers) = &self.parameters else { return Ok(activation) };
        let expected = activation.parameter_count();
        if numbers.len() != expected {
            return Err((format!("{expected} parameters"), numbers.len().to_string()));
        }
        let mut parameters = activation.parameters();
        for (parameter, number) in parameters.iter_mut().zip(numbers) {
            *parameter = number.to_f32();
        }
        Ok(activation.with_parameters(parameters))
    }
}

/// The activation's parameters as the file states them; `None` where it has none.
pub(super) fn parameters_of(activation: Activation) -> Option<Vec<Number>> {
    let count = activation.parameter_count();
    let parameters = activation.parameters();
    (count > 0).then(|| parameters[..count].iter().map(|p| Number::from_f32(*p)).collect())
}

/// A parameter; JSON itself has no infinity, and a clip may have two.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Finite(f64),
    Infinite(Infinity),
}

/// An infinity by name.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Infinity {
    #[serde(rename = "inf")]
    Positive,
    #[serde(rename = "-inf")]
    Negative,
}

impl Number {
    fn from_f32(number: f32) -> Number {
        match number {
            f32::INFINITY => Number::Infinite(Infinity::Positive),
            f32::NEG_INFINITY => Number::Infinite(Infinity::Negative),
            finite => Number::Finite(f64::from(finite)),
        }
    }

    fn to_f32(self) -> f32 {
        match self {
            Number::Finite(number) => number as f32,
            Number::Infinite(Infinity::Positive) => f32::INFINITY,
            Number::Infinite(Infinity::Negative) => f32::NEG_INFINITY,
        }
    }
}

/// The input transform; a missing half leaves values as they are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransformEntry {
    #[serde(default = "TransformEntry::no_scale")]
    scale: Numbers,
    #[serde(default = "TransformEntry::no_offset")]
    offset: Numbers,
}

/// One number for every input, or one per input. An f32 written as f64 is read back exactly.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Numbers {
    Uniform(f64),
    Each(Vec<f64>),
}

impl TransformEntry {
    fn no_scale() -> Numbers {
        Numbers::Uniform(1.0)
    }

    fn no_offset() -> Numbers {
        Numbers::Uniform(0.0)
    }

    pub(super) fn of(transform: &InputTransform) -> TransformEntry {
        TransformEntry {
            scale: Numbers::of(&transform.scale),
            offset: Numbers::of(&transform.offset),
        }
    }

    pub(super) fn to_transform(&self) -> InputTransform {
        InputTransform { scale: self.scale.to_per_input(), offset: self.offset.to_per_input() }
    }
}

impl Numbers {
    fn of(numbers: &PerInput) -> Numbers {
        match numbers {
            PerInput::Uniform(number) => Numbers::Uniform(f64::from(*number)),
            PerInput::Each(numbers) => {
                Numbers::Each(numbers.iter().map(|number| f64::from(*number)).collect())
            }
        }
    }

    fn to_per_input(&self) -> PerInput {
        match self {
            Numbers::Uniform(number) => PerInput::Uniform(*number as f32),
            Numbers::Each(numbers) => {
                PerInput::Each(numbers.iter().map(|number| *number as f32).collect())
            }
        }
    }
}
