//! Operators that change what a tensor looks like, or ask for it, and none of its numbers.

use std::rc::Rc;

use super::arguments::Arguments;
use super::constant::Constant;
use super::tape::Tape;
use super::value::Value;
use crate::model::ModelError;
use crate::model::format::graph::int;
use crate::model::format::graph::proto::AttributeProto;

/// The numbers that PyTorch gives to half, float, double and bfloat16.
const FLOAT_TYPES: [i64; 4] = [5, 6, 7, 15];
/// The number of float.
const FLOAT: i64 = 6;

/// What the code asks of a row that the file does not say.
const WIDTH: &str = "the number of values in a row, which the file does not say";

/// What the operator makes of its arguments, where it is one of shapes, types and copies.
pub(super) fn call(
    tape: &mut Tape,
    name: &str,
    call: &Arguments,
) -> Result<Option<Value>, ModelError> {
    if let Some(Value::Constant(constant)) = call.values.first()
        && let Some(value) = of_constant(tape, name, call, constant)?
    {
        return Ok(Some(value));
    }
    Ok(Some(match name {
        "flatten" => flatten(tape, call)?,
        "view" | "reshape" | "_unsafe_view" => reshape(tape, call)?,
        "size" => size(tape, call)?,
        "dim" => dim(tape, call)?,
        "len" => Value::Batch,
        "is_floating_point" => Value::Bool(true),
        "dtype" => Value::Int(FLOAT),
        "device" => Value::Text(Rc::from("cpu")),
        "numel" => Value::Unknown("a number that depends on the input"),
        "contiguous" | "detach" | "data" | "alias" | "to" | "type_as" | "clone" => {
            same(tape, name, call)?
        }
        _ => return Ok(None),
    }))
}

/// Operators on a tensor of the file.
fn of_constant(
    tape: &mut Tape,
    name: &str,
    call: &Arguments,
    constant: &Rc<Constant>,
) -> Result<Option<Value>, ModelError> {
    let rank = constant.shape.len() as i64;
    let ints: Option<Vec<i64>> = call.values[1..]
        .iter()
        .map(|value| if let Value::Int(int) = value { Some(*int) } else { None })
        .collect();
    let seen = match (name, ints.as_deref()) {
        ("t" | "numpy_T" | "mT" | "matrix_H", Some([])) if rank < 2 => Some((**constant).clone()),
        ("t" | "numpy_T" | "mT", Some([])) if rank == 2 => constant.transposed(0, 1),
        ("transpose" | "swapaxes", Some([first, second])) => constant.transposed(*first, *second),
        ("permute", None) if rank == 2 => permuted(call, constant),
        ("unsqueeze", Some([axis])) => constant.unsqueezed(*axis),
        ("contiguous" | "detach" | "data" | "clone" | "alias" | "to" | "type_as", _) => {
            check_type(name, call)?;
            Some((**constant).clone())
        }
        ("dim", Some([])) => return Ok(Some(Value::Int(rank))),
        ("size", Some([])) => {
            let sizes = constant.shape.iter().map(|size| Value::Int(*size as i64));
            return Ok(Some(Value::list(sizes.collect())));
        }
        ("size", Some([axis])) => {
            let axis = usize::try_from(if *axis < 0 { axis + rank } else { *axis }).ok();
            let size = axis.and_then(|axis| constant.shape.get(axis));
            return Ok(size.map(|size| Value::Int(*size as i64)));
        }
        ("item", Some([])) => {
            return Ok(tape.number(&Value::Constant(Rc::clone(constant)))?.map(Value::Float));
        }
        _ => None,
    };
    Ok(seen.map(|constant| Value::Constant(Rc::new(constant))))
}

fn permuted(call: &Arguments, constant: &Constant) -> Option<Constant> {
    let [_, Value::List(axes)] = &call.values[..] else { return None };
    match axes.values[..] {
        [Value::Int(0), Value::Int(1)] => Some(constant.clone()),
        [Value::Int(1), Value::Int(0)] => constant.transposed(0, 1),
        _ => None,
    }
}

fn flatten(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, start, end] = call.named(["self", "start_dim", "end_dim"])?;
    let of = call.computed("self", &x)?;
    let (start, end) = (call.int("start_dim", &start, 0)?, call.int("end_dim", &end, -1)?);
    if start != 1 || end != -1 {
        let reason = format!("axes 1 to -1 keep rows apart and whole; {start} to {end} do not");
        return Err(call.refuse(reason));
    }
    let width = tape.width(of);
    shaped(tape, call, of, "Flatten", None, (vec![int("axis", 1)], width, true))
        .map(Value::Computed)
}

/// `[rows, values]`, or more axes after the rows.
fn reshape(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, shape] = call.named(["self", "shape"])?;
    let of = call.computed("self", &x)?;
    let Value::List(shape) = call.needed("shape", &shape)? else {
        return Err(call.refuse("only a shape can be asked for, no other type"));
    };
    let Some((batch, axes)) = shape.values.split_first().filter(|(_, axes)| !axes.is_empty())
    else {
        return Err(call.refuse("a shape of a batch axis and one more is needed"));
    };
    let mut sizes = vec![0];
    for axis in axes {
        sizes.push(call.int("shape", &Some(axis.clone()), 0)?);
    }
    match batch {
        Value::Batch => {}
        // Whatever is left after the other axes is the batch where these hold one row.
        Value::Int(-1) if !sizes.contains(&-1) => {
            if tape.width(of).is_none() {
                tape.note("a row is taken to have as many values as the code's first view says");
            }
        }
        Value::Int(size) => {
            let reason = format!("a first axis of {size} may mix rows; keep the batch axis first");
            return Err(call.refuse(reason));
        }
        other => return Err(call.wrong("the first axis", "the batch, or -1", other)),
    }
    if sizes[1..].contains(&0) {
        return Err(call.refuse("a shape with axes of no values cannot be run"));
    }
    let product = sizes[1..]
        .iter()
        .try_fold(1, |product: usize, size| product.checked_mul(usize::try_from(*size).ok()?));
    let (width, is_matrix) = (product.or(tape.width(of)), sizes.len() == 2);
    shaped(tape, call, of, "Reshape", Some(sizes), (vec![], width, is_matrix)).map(Value::Computed)
}

/// The tensor as rows of as many values as the constant has that it is computed with.
pub(super) fn with_width_of(
    tape: &mut Tape,
    call: &Arguments,
    of: usize,
    constant: &Constant,
) -> Result<usize, ModelError> {
    let Some(width) = constant.shape.last().filter(|_| tape.width(of).is_none()) else {
        return Ok(of);
    };
    let size = i64::try_from(*width).unwrap_or(i64::MAX);
    shaped(tape, call, of, "Reshape", Some(vec![0, size]), (vec![], Some(*width), true))
}

/// The same numbers in another shape, which is told by an operator.
fn shaped(
    tape: &mut Tape,
    call: &Arguments,
    of: usize,
    op: &str,
    sizes: Option<Vec<i64>>,
    (attributes, width, is_matrix): (Vec<AttributeProto>, Option<usize>, bool),
) -> Result<usize, ModelError> {
    let mut inputs = vec![tape.name(call, of)?];
    if let Some(sizes) = sizes {
        inputs.push(tape.integers(sizes)?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let id = tape.node(call, of, op, &inputs, attributes)?;
    tape.share(id, of);
    tape.shape(id, width, is_matrix);
    Ok(id)
}

fn size(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x, axis] = call.named(["self", "dim"])?;
    let of = call.computed("self", &x)?;
    let width = tape.width(of).and_then(|width| i64::try_from(width).ok()).map(Value::Int);
    let width = width.filter(|_| tape.is_matrix(of)).unwrap_or(Value::Unknown(WIDTH));
    Ok(match axis {
        None => Value::list(vec![Value::Batch, width]),
        Some(Value::Int(0)) => Value::Batch,
        Some(Value::Int(1 | -1)) => width,
        Some(_) => Value::Unknown(WIDTH),
    })
}

fn dim(tape: &mut Tape, call: &Arguments) -> Result<Value, ModelError> {
    let [x] = call.named(["self"])?;
    if !tape.is_matrix(call.computed("self", &x)?) {
        tape.note("the code asks for the axes of its input, which is taken as [rows, values]");
    }
    Ok(Value::Int(2))
}

/// The same tensor: as another view of it, or, by `clone`, as a copy.
fn same(tape: &mut Tape, name: &str, call: &Arguments) -> Result<Value, ModelError> {
    check_type(name, call)?;
    let Some(Value::Computed(of)) = call.values.first() else {
        return Err(call.refuse("it must be called with a tensor first"));
    };
    if casts(name, call) {
        tape.cast(*of);
    }
    tape.again(call, *of, name == "clone").map(Value::Computed)
}

/// Whether `to` or `type_as` changes the type, and not the device alone.
fn casts(name: &str, call: &Arguments) -> bool {
    let is_type = |value: &Value| matches!(value, Value::Int(_) | Value::Constant(_));
    let is_stated = call.values.iter().skip(1).any(is_type);
    let is_named = call.keywords.iter().any(|(name, value)| **name == *"dtype" && is_type(value));
    matches!(name, "to" | "type_as") && (is_stated || is_named)
}

/// Refuses `to` a type that rounds, which stands first, second after a device, or by its name, or
/// is that of another tensor.
fn check_type(name: &str, call: &Arguments) -> Result<(), ModelError> {
    let rounds = |value: &Value| matches!(value, Value::Constant(other) if !other.is_float());
    if matches!(name, "to" | "type_as") && call.values.iter().skip(1).any(rounds) {
        return check_float(call, &call.values.get(1).cloned());
    }
    if name != "to" {
        return Ok(());
    }
    let first = call.values.iter().skip(1).find(|value| matches!(value, Value::Int(_)));
    let named = call.keywords.iter().find(|(name, _)| **name == *"dtype");
    check_float(call, &first.cloned())?;
    check_float(call, &named.map(|(_, value)| value.clone()))
}

/// Refuses a type that is no floating-point one.
pub(super) fn check_float(call: &Arguments, dtype: &Option<Value>) -> Result<(), ModelError> {
    match dtype {
        None | Some(Value::None) => Ok(()),
        Some(Value::Int(number)) if FLOAT_TYPES.contains(number) => Ok(()),
        Some(_) => Err(call.refuse("values would be rounded to integers")),
    }
}
