//! Operators on tensors, told in ONNX's.

use super::activations;
use super::arguments::Arguments;
use super::constant::Constant;
use super::shapes;
use super::tape::{Form, Tape};
use super::value::Value;
use crate::model::format::graph::proto::AttributeProto;
use crate::model::format::graph::{float, int};
use crate::model::{Activation, ModelError};

/// What the operator makes of arguments of which at least one is a tensor.
pub(super) fn call(tape: &mut Tape, name: &str, call: &Arguments) -> Result<Value, ModelError> {
    let Some(plain) = name.strip_suffix('_').filter(|plain| !plain.ends_with('_')) else {
        return out_of_place(tape, name, call);
    };
    // What works in place computes the same and leaves it where its first argument lies.
    let Some(Value::Computed(id)) = call.values.first() else {
        let reason = "it changes a tensor of the file in place, as modules do in training mode; \
                      call .eval() before saving";
        return Err(call.refuse(reason));
    };
    match out_of_place(tape, plain, call)? {
        Value::Computed(by) => tape.overwrite(*id, by),
        _ => return Err(call.refuse("it cannot work in place")),
    }
    Ok(Value::Computed(*id))
}

fn out_of_place(tape: &mut Tape, name: &str, call: &Arguments) -> Result<Value, ModelError> {
    if let Some(activation) = activations::call(tape, name, call)? {
        return Ok(activation);
    }
    if let Some(shaped) = shapes::call(tape, name, call)? {
        return Ok(shaped);
    }
    match name {
        "linear" => linear(tape, call),
        "addmm" => addmm(tape, call),
        "matmul" | "mm" => matmul(tape, call),
        "add" | "sub" | "rsub" => sum(tape, name, call),
        "mul" | "multiply" => product(tape, call),
        "div" | "divide" | "true_divide" => quotient(tape, call),
        "neg" | "negative" => unary(tape, call, "Neg"),
        "erf" => unary(tape, call, "Erf"),
        "abs" => magnitude(tape, call),
        "pow" => power(tape, call),
        "softmax" | "log_softmax" => head(tape, name, call),
        "batch_norm" => batch_norm(tape, call),
        "dropout" | "alpha_dropout" | "feature_dropout" | "feature_alpha_dropout" => {
            dropout(tape, call)
        }
        _ => Err(call.refuse(why_not(name))),
    }
}

/// Why an operator is no part of a dense chain, and what would help.
fn why_not(name: &str) -> &'static str {
    match name {
        "argmax" | "topk" | "max" => "save a model that returns the scores",
        _ if name.contains("conv") || name.contains("pool") => {
            "convolutions and pooling are not run, only fully-connected layers"
        }
        _ if name.contains("norm") => {
            "it normalises by each row's own statistics, which cannot be folded into a layer"
        }
        _ if name.contains("lstm") || name.contains("gru") || name.contains("rnn") => {
            "recurrent layers are not run, only fully-connected ones"
        }
        _ if name.contains("quantize") || name.contains("_dynamic") => {
            "save the model before quantisation"
        }
        _ if name.contains("attention") || name == "embedding" => {
            "only fully-connected layers are run"
        }
        _ => "it is no part of a chain of fully-connected layers",
    }
}

fn linear(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, weight, bias] = call.named(["input", "weight", "bias"])?;
    let (of, weight) = (call.computed("input", &x)?, call.constant("weight", &weight)?);
    let bias = match &bias {
        None => None,
        Some(_) => Some(call.constant("bias", &bias)?),
    };
    gemm(tape, call, of, weight, bias, vec![int("transB", 1)], 0)
}

fn addmm(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [bias, x, weight, beta, alpha] = call.named(["self", "mat1", "mat2", "beta", "alpha"])?;
    let (of, weight) = (call.computed("mat1", &x)?, call.constant("mat2", &weight)?);
    let bias = call.constant("self", &bias)?;
    let beta = tape.argument(call, "beta", &beta, 1.0)? as f32;
    let alpha = tape.argument(call, "alpha", &alpha, 1.0)? as f32;
    let scales = vec![float("alpha", alpha), float("beta", beta)];
    gemm(tape, call, of, weight, Some(bias), scales, 1)
}

/// A layer, whose weight has its outputs on this axis.
fn gemm(
    tape: &mut Tape,
    call: &Arguments,
    of: usize,
    weight: &Constant,
    bias: Option<&Constant>,
    attributes: Vec<AttributeProto>,
    outputs: usize,
) -> Result<Value, ModelError> {
    let mut inputs = vec![tape.name(call, of)?, tape.constant(weight)?];
    if let Some(bias) = bias {
        inputs.push(tape.constant(bias)?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let id = tape.node(call, of, "Gemm", &inputs, attributes)?;
    tape.shape(id, weight.shape.get(outputs).copied(), true);
    Ok(Value::Computed(id))
}

fn matmul(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, weight] = call.named(["self", "other"])?;
    let of = call.computed("self", &x)?;
    let weight = call.constant("other", &weight)?;
    let inputs = [tape.name(call, of)?, tape.constant(weight)?];
    let id = tape.node(call, of, "MatMul", &[&inputs[0], &inputs[1]], vec![])?;
    tape.shape(id, weight.shape.get(1).copied(), true);
    Ok(Value::Computed(id))
}

/// `a + alpha b`, `a - alpha b` or `b - alpha a`.
fn sum(tape: &mut Tape, name: &str, call: &Arguments) -> Result<Value, ModelError> {
    let [a, b, alpha] = call.named(["self", "other", "alpha"])?;
    let mut operands = [call.needed("self", &a)?.clone(), call.needed("other", &b)?.clone()];
    if name == "rsub" {
        operands.swap(0, 1);
    }
    let alpha = tape.argument(call, "alpha", &alpha, 1.0)?;
    if alpha != 1.0 {
        operands[1] = match (&operands[1], tape.number(&operands[1])?) {
            (Value::Computed(id), _) => scaled(tape, call, *id, alpha)?,
            (_, Some(number)) => Value::Float(number * alpha),
            _ => return Err(call.refuse("alpha must be 1 before a tensor of the file")),
        };
    }
    let op = if name == "add" { "Add" } else { "Sub" };
    let form = if op == "Add" { plus_one(tape, &operands)? } else { None };
    let id = binary(tape, call, op, &operands)?;
    if let Some(form) = form {
        tape.set_form(id, form);
    }
    Ok(Value::Computed(id))
}

fn scaled(tape: &mut Tape, call: &Arguments, id: usize, factor: f64) -> Result<Value, ModelError> {
    let operands = [Value::Computed(id), Value::Float(factor)];
    binary(tape, call, "Mul", &operands).map(Value::Computed)
}

/// What softsign divides by, where the sum is that.
fn plus_one(tape: &mut Tape, [a, b]: &[Value; 2]) -> Result<Option<Form>, ModelError> {
    let (id, other) = match (a, b) {
        (Value::Computed(id), other) | (other, Value::Computed(id)) => (*id, other),
        _ => return Ok(None),
    };
    let Form::Magnitude(of) = tape.form(id).clone() else { return Ok(None) };
    let is_one = tape.number(other)? == Some(1.0);
    Ok(is_one.then_some(Form::MagnitudePlusOne(of)))
}

fn product(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [a, b] = call.named(["self", "other"])?;
    let operands = [call.needed("self", &a)?.clone(), call.needed("other", &b)?.clone()];
    binary(tape, call, "Mul", &operands).map(Value::Computed)
}

fn quotient(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [a, b, rounding] = call.named(["self", "other", "rounding_mode"])?;
    if rounding.is_some() {
        return Err(call.refuse("a quotient that is rounded cannot be run"));
    }
    let operands = [call.needed("self", &a)?.clone(), call.needed("other", &b)?.clone()];
    if let [Value::Computed(x), Value::Computed(by)] = operands
        && let Form::MagnitudePlusOne(of) = tape.form(by)
        && *of == tape.name(call, x)?
    {
        return tape.activation(call, x, Activation::Softsign);
    }
    binary(tape, call, "Div", &operands).map(Value::Computed)
}

fn unary(tape: &mut Tape, call: &Arguments, op: &str) -> Result<Value, ModelError> {
    let [x] = call.named(["self"])?;
    let of = call.computed("self", &x)?;
    let x = tape.name(call, of)?;
    tape.node(call, of, op, &[&x], vec![]).map(Value::Computed)
}

fn magnitude(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let value = unary(tape, call, "Abs")?;
    if let (Value::Computed(id), Some(Value::Computed(of))) = (&value, call.values.first()) {
        let of = tape.name(call, *of)?;
        tape.set_form(*id, Form::Magnitude(of));
    }
    Ok(value)
}

fn power(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, exponent] = call.named(["self", "exponent"])?;
    let operands = [call.needed("self", &x)?.clone(), call.needed("exponent", &exponent)?.clone()];
    call.computed("self", &x)?;
    binary(tape, call, "Pow", &operands).map(Value::Computed)
}

/// An operator on two values, at least one of which is computed.
fn binary(
    tape: &mut Tape,
    call: &Arguments,
    op: &str,
    operands: &[Value; 2],
) -> Result<usize, ModelError> {
    let mut of = match operands {
        [Value::Computed(id), _] | [_, Value::Computed(id)] => *id,
        _ => return Err(call.refuse("tensors of the file cannot be computed with each other")),
    };
    let mut names = [String::new(), String::new()];
    for (name, operand) in names.iter_mut().zip(operands) {
        *name = match operand {
            Value::Computed(_) => continue,
            Value::Constant(constant) if constant.count() != 1 => {
                of = shapes::with_width_of(tape, call, of, constant)?;
                tape.constant(constant)?
            }
            other => {
                let number = tape.number(other)?;
                let number = number.ok_or_else(|| call.wrong("other", "a known number", other))?;
                tape.scalar(number)?
            }
        };
    }
    let both = operands.iter().all(|operand| matches!(operand, Value::Computed(_)));
    for (name, operand) in names.iter_mut().zip(operands) {
        if let Value::Computed(id) = operand {
            *name = tape.name(call, if both { *id } else { of })?;
        }
    }
    tape.node(call, of, op, &[&names[0], &names[1]], vec![])
}

fn head(tape: &mut Tape, name: &str, call: &Arguments) -> Result<Value, ModelError> {
    let [x, axis, dtype] = call.named(["self", "dim", "dtype"])?;
    let of = call.computed("self", &x)?;
    shapes::check_float(call, &dtype)?;
    let axis = call.int("dim", &axis, i64::MAX)?;
    let op = if name == "softmax" { "Softmax" } else { "LogSoftmax" };
    let x = tape.name(call, of)?;
    tape.node(call, of, op, &[&x], vec![int("axis", axis)]).map(Value::Computed)
}

fn batch_norm(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, weight, bias, mean, variance, training, _, epsilon, _] = call.named([
        "input",
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "training",
        "momentum",
        "eps",
        "cudnn_enabled",
    ])?;
    if call.truth("training", &training, false)? || mean.is_none() {
        let reason = "it is in training mode, or has no statistics; call .eval() before saving";
        return Err(call.refuse(reason));
    }
    let of = call.computed("input", &x)?;
    let mean = call.constant("running_mean", &mean)?;
    let variance = call.constant("running_var", &variance)?;
    let of = shapes::with_width_of(tape, call, of, mean)?;
    let statistics = [tape.constant(mean)?, tape.constant(variance)?];
    let mut scales = [String::new(), String::new()];
    for (name, value, default) in [("weight", &weight, 1), ("bias", &bias, 0)] {
        scales[usize::from(name == "bias")] = match value {
            None => tape.filled(mean, default),
            Some(_) => tape.constant(call.constant(name, value)?)?,
        };
    }
    let epsilon = tape.argument(call, "eps", &epsilon, 1e-5)? as f32;
    let x = tape.name(call, of)?;
    let inputs = [&x, &scales[0], &scales[1], &statistics[0], &statistics[1]];
    let inputs = inputs.map(String::as_str);
    let attributes = vec![float("epsilon", epsilon)];
    tape.node(call, of, "BatchNormalization", &inputs, attributes).map(Value::Computed)
}

fn dropout(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, _, train] = call.named(["input", "p", "train"])?;
    let of = call.computed("input", &x)?;
    if call.truth("train", &train, true)? {
        return Err(call.refuse("it is in training mode; call .eval() before saving"));
    }
    tape.again(call, of, false).map(Value::Computed)
}
