//! Operators that are activations.

use super::arguments::Arguments;
use super::tape::Tape;
use super::value::Value;
use crate::model::{Activation, ModelError};

/// The least threshold at which softplus, which is `x` above it, is `ln(1 + exp(x))` in single
/// precision: PyTorch's default.
const SOFTPLUS_THRESHOLD_MIN: f64 = 20.0;

/// What the operator makes of its first argument, where it is an activation.
pub(super) fn call(
    tape: &mut Tape,
    name: &str,
    call: &Arguments,
) -> Result<Option<Value>, ModelError> {
    let plain = match name {
        "relu" => Some(Activation::Relu),
        "relu6" => Some(Activation::Clip { min: 0.0, max: 6.0 }),
        "selu" => Some(Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }),
        "sigmoid" => Some(Activation::Sigmoid),
        // relu6(x + 3) / 6
        "hardsigmoid" => Some(Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }),
        "tanh" => Some(Activation::Tanh),
        "silu" => Some(Activation::Silu),
        "hardswish" => Some(Activation::HardSwish),
        "mish" => Some(Activation::Mish),
        _ => None,
    };
    if let Some(activation) = plain {
        let [x] = call.named(["self"])?;
        let of = call.computed("self", &x)?;
        return tape.activation(call, of, activation).map(Some);
    }
    let (of, activation) = match name {
        "leaky_relu" => leaky_relu(tape, call)?,
        "prelu" => prelu(tape, call)?,
        "rrelu" => rrelu(tape, call)?,
        "elu" => elu(tape, call)?,
        "celu" => celu(tape, call)?,
        "gelu" => gelu(call)?,
        "softplus" => softplus(tape, call)?,
        "hardtanh" => clip(tape, call, ["min_val", "max_val"], [-1.0, 1.0])?,
        "clamp" | "clip" => clip(tape, call, ["min", "max"], [f64::NEG_INFINITY, f64::INFINITY])?,
        "clamp_min" => clamp(tape, call, "min")?,
        "clamp_max" => clamp(tape, call, "max")?,
        "threshold" => threshold(tape, call)?,
        _ => return Ok(None),
    };
    tape.activation(call, of, activation).map(Some)
}

type Found = Result<(usize, Activation), ModelError>;

fn leaky_relu(tape: &mut Tape, call: &Arguments) -> Found {
    let [x, slope] = call.named(["self", "negative_slope"])?;
    let alpha = tape.argument(call, "negative_slope", &slope, 0.01)? as f32;
    Ok((call.computed("self", &x)?, Activation::LeakyRelu { alpha }))
}

/// With one slope for every feature, PReLU is LeakyReLU.
fn prelu(tape: &mut Tape, call: &Arguments) -> Found {
    let [x, slope] = call.named(["self", "weight"])?;
    let alpha = match call.needed("weight", &slope)? {
        Value::Constant(slope) => tape.number(&Value::Constant(slope.clone()))?,
        _ => None,
    };
    let reason = "only one constant slope for all features can be run";
    let alpha = alpha.ok_or_else(|| call.refuse(reason))? as f32;
    Ok((call.computed("self", &x)?, Activation::LeakyRelu { alpha }))
}

/// In evaluation the slope is the middle of its range.
fn rrelu(tape: &mut Tape, call: &Arguments) -> Found {
    let [x, lower, upper, training, _] =
        call.named(["self", "lower", "upper", "training", "generator"])?;
    if call.truth("training", &training, false)? {
        return Err(call.refuse("it is in training mode; call .eval() before saving"));
    }
    let lower = tape.argument(call, "lower", &lower, 0.125)?;
    let upper = tape.argument(call, "upper", &upper, 1.0 / 3.0)?;
    let alpha = ((lower + upper) / 2.0) as f32;
    Ok((call.computed("self", &x)?, Activation::LeakyRelu { alpha }))
}

fn elu(tape: &mut Tape, call: &Arguments) -> Found {
    let [x, alpha, scale, input_scale] = call.named(["self", "alpha", "scale", "input_scale"])?;
    for (name, scale) in [("scale", &scale), ("input_scale", &input_scale)] {
        if tape.argument(call, name, scale, 1.0)? != 1.0 {
            return Err(call.refuse(format!("only a {name} of 1 can be run")));
        }
    }
    let alpha = tape.argument(call, "alpha", &alpha, 1.0)? as f32;
    Ok((call.computed("self", &x)?, Activation::Elu { alpha }))
}

fn celu(tape: &mut Tape, call: &Arguments) -> Found {
    let [x, alpha] = call.named(["self", "alpha"])?;
    let alpha = tape.argument(call, "alpha", &alpha, 1.0)? as f32;
    Ok((call.computed("self", &x)?, Activation::Celu { alpha }))
}

fn gelu(call: &Arguments) -> Found {
    let [x, approximate] = call.named(["self", "approximate"])?;
    let activation = match &approximate {
        None => Activation::Gelu,
        Some(Value::Text(text)) if **text == *"none" => Activation::Gelu,
        Some(Value::Text(text)) if **text == *"tanh" => Activation::GeluTanh,
        Some(other) => return Err(call.wrong("approximate", "'none' or 'tanh'", other)),
    };
    Ok((call.computed("self", &x)?, activation))
}

fn softplus(tape: &mut Tape, call: &Arguments) -> Found {
    let [x, beta, threshold] = call.named(["self", "beta", "threshold"])?;
    let beta = tape.argument(call, "beta", &beta, 1.0)?;
    let threshold = tape.argument(call, "threshold", &threshold, 20.0)?;
    // A threshold that is no number is not large enough.
    if beta != 1.0 || !matches!(threshold, SOFTPLUS_THRESHOLD_MIN..) {
        let reason =
            format!("only beta 1 and a threshold from {SOFTPLUS_THRESHOLD_MIN} up are run");
        return Err(call.refuse(reason));
    }
    Ok((call.computed("self", &x)?, Activation::Softplus))
}

fn clip(tape: &mut Tape, call: &Arguments, names: [&str; 2], defaults: [f64; 2]) -> Found {
    let [x, min, max] = call.named(["self", names[0], names[1]])?;
    let min = tape.argument(call, names[0], &min, defaults[0])? as f32;
    let max = tape.argument(call, names[1], &max, defaults[1])? as f32;
    Ok((call.computed("self", &x)?, Activation::Clip { min, max }))
}

/// A clip with one bound, of this name.
fn clamp(tape: &mut Tape, call: &Arguments, name: &str) -> Found {
    let [x, bound] = call.named(["self", name])?;
    call.needed(name, &bound)?;
    let bound = tape.argument(call, name, &bound, 0.0)? as f32;
    let activation = match name {
        "min" => Activation::Clip { min: bound, max: f32::INFINITY },
        _ => Activation::Clip { min: f32::NEG_INFINITY, max: bound },
    };
    Ok((call.computed("self", &x)?, activation))
}

/// `x` above the threshold and another value below it: with 0 for both, ReLU.
fn threshold(tape: &mut Tape, call: &Arguments) -> Found {
    let [x, threshold, value] = call.named(["self", "threshold", "value"])?;
    call.needed("threshold", &threshold)?;
    call.needed("value", &value)?;
    let threshold = tape.argument(call, "threshold", &threshold, 0.0)?;
    if threshold != 0.0 || tape.argument(call, "value", &value, 0.0)? != 0.0 {
        return Err(call.refuse("only a threshold and a value of 0 can be run"));
    }
    Ok((call.computed("self", &x)?, Activation::Relu))
}
