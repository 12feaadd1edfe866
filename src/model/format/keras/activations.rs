//! What activations are called, and what they compute in Keras 2 and 3.

use serde_json::{Map, Value};

use super::config::{Version, kind, text};
use super::order::shown;
use crate::model::{Activation, Ending, Head, ModelError};

/// The slope of the function `leaky_relu`; the layer's own default is another.
const LEAKY_RELU_FUNCTION: f32 = 0.2;
/// The slope of the layer `LeakyReLU` where it states none.
const LEAKY_RELU_LAYER: f64 = 0.3;

const NOT_KNOWN: &str = "it is none of the activations that can be run; export the model with \
                         another, or without and apply it to the scores";

/// The activation that stands in a layer's configuration: a name, an object, or none.
pub(super) fn of_value(
    value: Option<&Value>,
    label: &str,
    version: Version,
) -> Result<Ending, ModelError> {
    match value {
        None | Some(Value::Null) => Ok(Ending::Activation(Activation::Identity)),
        Some(Value::String(name)) => named(name, label, version),
        Some(Value::Object(object)) => {
            let class = text(object, "class_name");
            match object.get("config") {
                Some(Value::Object(config)) => {
                    let refuse = || ModelError::unsupported(label, shown(class), NOT_KNOWN);
                    let axis = config.get("axis").filter(|_| class == "Softmax");
                    if axis.is_some_and(|axis| axis.as_i64() != Some(-1)) {
                        let reason = "only the last axis, -1, can be run";
                        return Err(ModelError::unsupported(label, class, reason));
                    }
                    layer(class, config, label, version)?.ok_or_else(refuse)
                }
                // A function of the user's own is stated by its name.
                Some(Value::String(name)) => {
                    Err(ModelError::unsupported(label, shown(name), NOT_KNOWN))
                }
                _ => Err(ModelError::unsupported(label, shown(class), NOT_KNOWN)),
            }
        }
        Some(other) => Err(ModelError::unsupported(label, kind(other), NOT_KNOWN)),
    }
}

/// The activation that a layer of this class is, where it is one.
pub(super) fn layer(
    class: &str,
    config: &Map<String, Value>,
    label: &str,
    version: Version,
) -> Result<Option<Ending>, ModelError> {
    let refuse = |reason: &str| Err(ModelError::unsupported(label, class, reason));
    let number = |keys: &[&str], default: f64| {
        let value = keys.iter().find_map(|key| config.get(*key).filter(|value| !value.is_null()));
        match value.map(|value| value.as_f64()) {
            None => Ok(default),
            Some(Some(number)) => Ok(number),
            Some(None) => Err(ModelError::unsupported(label, class, "its slope is no number")),
        }
    };
    let activation = match class {
        "Activation" => return of_value(config.get("activation"), label, version).map(Some),
        "Softmax" => return Ok(Some(Ending::Head(Head::Softmax))),
        "ReLU" => {
            let slope = number(&["negative_slope"], 0.0)?;
            let max = number(&["max_value"], f64::INFINITY)?;
            if number(&["threshold"], 0.0)? != 0.0 {
                return refuse("only a threshold of 0 can be run");
            }
            match (slope == 0.0, max == f64::INFINITY) {
                (true, true) => Activation::Relu,
                (true, false) => Activation::Clip { min: 0.0, max: max as f32 },
                (false, true) => Activation::LeakyRelu { alpha: slope as f32 },
                (false, false) => return refuse("a slope and a maximum cannot be run together"),
            }
        }
        "LeakyReLU" => {
            let alpha = number(&["negative_slope", "alpha"], LEAKY_RELU_LAYER)? as f32;
            Activation::LeakyRelu { alpha }
        }
        "ELU" => Activation::Elu { alpha: number(&["alpha"], 1.0)? as f32 },
        _ => return Ok(None),
    };
    Ok(Some(Ending::Activation(activation)))
}

/// An activation by the name of its function, which is called with its defaults.
fn named(name: &str, label: &str, version: Version) -> Result<Ending, ModelError> {
    Ok(Ending::Activation(match name {
        "linear" => Activation::Identity,
        "relu" => Activation::Relu,
        "relu6" => Activation::Clip { min: 0.0, max: 6.0 },
        "leaky_relu" => Activation::LeakyRelu { alpha: LEAKY_RELU_FUNCTION },
        "elu" => Activation::Elu { alpha: 1.0 },
        "selu" => Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 },
        "celu" => Activation::Celu { alpha: 1.0 },
        "gelu" => Activation::Gelu,
        "sigmoid" => Activation::Sigmoid,
        "hard_sigmoid" => match version {
            Version::Two => Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Version::Three => Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
        },
        "tanh" => Activation::Tanh,
        "hard_tanh" => Activation::Clip { min: -1.0, max: 1.0 },
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "silu" | "swish" => Activation::Silu,
        "hard_silu" | "hard_swish" => Activation::HardSwish,
        "mish" => Activation::Mish,
        "softmax" | "softmax_v2" => return Ok(Ending::Head(Head::Softmax)),
        "log_softmax" => return Ok(Ending::Head(Head::LogSoftmax)),
        _ => return Err(ModelError::unsupported(label, shown(name), NOT_KNOWN)),
    }))
}
