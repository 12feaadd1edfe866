//! Constants that are computed from constants, in double precision.
//!
//! Exporters leave such nodes where they do not fold them: a weight transposed before its product,
//! a mean divided by 255. Shapes are worked out when the graph is read, numbers when they are asked
//! for, and all of them count as work.

use half::{bf16, f16};

use super::attributes::{Attributes, cast_to, casts_to_float};
use super::proto::{NodeProto, data_type};
use super::refuse;
use super::tensor::{AXES_MAX, Tensor};
use crate::model::format::numbers::{element_count, transpose};
use crate::model::{Activation, ModelError};

/// How deep computed constants may nest.
const LEVELS_MAX: usize = 16;

/// A constant that a node computes.
pub(super) struct Computed<'a> {
    node: &'a NodeProto,
    dims: Vec<usize>,
    is_float: bool,
    level: usize,
}

/// What a constant is before its numbers are asked for.
pub(super) struct Outline {
    pub(super) dims: Vec<usize>,
    pub(super) is_float: bool,
    /// How deep the nodes nest that compute it.
    pub(super) level: usize,
}

/// What a node computes where its operands are constants and its operator is known here.
pub(super) fn outline<'a>(
    node: &'a NodeProto,
    operand: impl Fn(&str) -> Option<Outline>,
) -> Option<Computed<'a>> {
    let operand = |index: usize| operand(node.input.get(index)?);
    let Outline { dims: first, is_float, mut level } = operand(0)?;
    let mut dims = first.clone();
    let mut result_is_float = is_float;
    let is_plain = is_float && node.attribute.is_empty();
    match node.op_type.as_str() {
        "Identity" if node.input.len() == 1 => {}
        "Cast" if casts_to_float(node).ok()? => result_is_float = true,
        "Transpose" => {
            dims = order_of(node, first.len())?.iter().map(|axis| first[*axis]).collect()
        }
        op if is_plain && unary(op).is_some() => {}
        op if is_plain && (op == "MatMul" || binary(op).is_some()) && node.input.len() == 2 => {
            let second = operand(1).filter(|second| second.is_float)?;
            level = level.max(second.level);
            dims = match (op, &first[..], &second.dims[..]) {
                ("MatMul", [rows, inner], [same, columns]) if inner == same => {
                    vec![*rows, *columns]
                }
                ("MatMul", _, _) => return None,
                _ => broadcast(&first, &second.dims)?,
            };
        }
        _ => return None,
    }
    let is_sound = level < LEVELS_MAX && element_count(&dims).is_some();
    is_sound.then(|| Computed { node, dims, is_float: result_is_float, level: level + 1 })
}

impl<'a> Computed<'a> {
    pub(super) fn outline(&self) -> Outline {
        Outline { dims: self.dims.to_vec(), is_float: self.is_float, level: self.level }
    }

    /// The numbers, of operands by name; each number counts as work to `spend`.
    pub(super) fn evaluate(
        &self,
        spend: impl Fn(usize) -> Result<(), ModelError>,
        operand: impl Fn(&'a str) -> Result<Tensor, ModelError>,
    ) -> Result<Tensor, ModelError> {
        let operand = |index: usize| match self.node.input.get(index) {
            Some(name) => operand(name),
            None => Err(refuse(self.node, format!("input {index} is missing"))),
        };
        let count = element_count(&self.dims).unwrap_or(usize::MAX);
        spend(count.max(1))?;
        let first = operand(0)?;
        let dims = self.dims.clone();
        let each = |f: fn(f64) -> f64| first.values.iter().map(|x| f(*x)).collect();
        let values = match self.node.op_type.as_str() {
            "Transpose" => {
                let order = order_of(self.node, first.dims.len()).unwrap_or_default();
                permuted(&first, &order)
            }
            "MatMul" => {
                let second = operand(1)?;
                spend(count.saturating_mul(second.dims[0]))?;
                product(&first, &second)
            }
            "Cast" => each(match cast_to(self.node)? {
                data_type::FLOAT16 => |x| f16::from_f64(x).to_f64(),
                data_type::BFLOAT16 => |x| bf16::from_f64(x).to_f64(),
                data_type::FLOAT => |x| f64::from(x as f32),
                _ => |x| x,
            }),
            op => match (unary(op), binary(op)) {
                (Some(f), _) => each(f),
                (None, Some(f)) => {
                    let second = operand(1)?;
                    let pair = |at| f(spread(&first, &dims, at), spread(&second, &dims, at));
                    (0..count).map(pair).collect()
                }
                // Identity.
                (None, None) => first.values,
            },
        };
        Ok(Tensor { dims, values })
    }
}

/// What an operator makes of each number.
fn unary(op: &str) -> Option<fn(f64) -> f64> {
    Some(match op {
        "Neg" => |x| -x,
        "Abs" => f64::abs,
        "Sqrt" => f64::sqrt,
        "Reciprocal" => f64::recip,
        "Exp" => f64::exp,
        "Log" => f64::ln,
        "Relu" => |x| Activation::Relu.apply(x),
        "Softplus" => |x| Activation::Softplus.apply(x),
        _ => return None,
    })
}

/// What an operator makes of two numbers.
fn binary(op: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f64::powf,
        // Of a NaN and a number, the NaN.
        "Max" => |a, b| if a >= b || a.is_nan() { a } else { b },
        "Min" => |a, b| if a <= b || a.is_nan() { a } else { b },
        _ => return None,
    })
}

/// The order of the axes after a `Transpose`, which reverses them where none is stated.
fn order_of(node: &NodeProto, rank: usize) -> Option<Vec<usize>> {
    let stated = Attributes::of(node, &["perm"]).ok()?.ints("perm").ok()?;
    let order: Vec<usize> = match stated {
        Some(axes) => axes.iter().map(|axis| usize::try_from(*axis).ok()).collect::<Option<_>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..rank).then_some(order)
}

fn permuted(tensor: &Tensor, order: &[usize]) -> Vec<f64> {
    if let ([1, 0], [rows, columns]) = (order, &tensor.dims[..]) {
        return transpose(&tensor.values, *rows, *columns);
    }
    let strides = strides(&tensor.dims);
    let dims: Vec<usize> = order.iter().map(|axis| tensor.dims[*axis]).collect();
    let source = |at: usize| {
        let (mut rest, mut from) = (at, 0);
        for (axis, dim) in order.iter().zip(&dims).rev() {
            from += rest % dim * strides[*axis];
            rest /= dim;
        }
        tensor.values[from]
    };
    (0..tensor.values.len()).map(source).collect()
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// The shape that two shapes broadcast to, each from its last axis on.
fn broadcast(first: &[usize], second: &[usize]) -> Option<Vec<usize>> {
    let rank = first.len().max(second.len());
    let at = |dims: &[usize], axis: usize| match (axis + dims.len()).checked_sub(rank) {
        Some(axis) => dims[axis],
        None => 1,
    };
    let joined = |axis| match (at(first, axis), at(second, axis)) {
        (a, b) if a == b => Some(a),
        (1, other) | (other, 1) => Some(other),
        _ => None,
    };
    (0..rank).map(joined).collect::<Option<_>>().filter(|_| rank <= AXES_MAX)
}

/// The tensor's number for place `at` of the shape it is broadcast to.
fn spread(tensor: &Tensor, dims: &[usize], at: usize) -> f64 {
    if tensor.dims == dims {
        return tensor.values[at];
    }
    let (mut rest, mut from, mut stride) = (at, 0, 1);
    let mut own = tensor.dims.iter().rev();
    for dim in dims.iter().rev() {
        if let Some(size) = own.next() {
            from += if *size == 1 { 0 } else { rest % dim * stride };
            stride *= size;
        }
        rest /= dim;
    }
    tensor.values[from]
}

fn product(first: &Tensor, second: &Tensor) -> Vec<f64> {
    let (inner, columns) = (second.dims[0], second.dims[1]);
    let row = |row: usize| {
        (0..columns).map(move |column| {
            let term =
                |k: usize| first.values[row * inner + k] * second.values[k * columns + column];
            (0..inner).map(term).sum()
        })
    };
    (0..first.dims[0]).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dims: &[usize], values: &[f64]) -> Tensor {
        Tensor { dims: dims.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn shapes_broadcast_from_the_last_axis() {
        assert_eq!(broadcast(&[2, 1], &[3]), Some(vec![2, 3]));
        assert_eq!(broadcast(&[], &[3]), Some(vec![3]));
        assert_eq!(broadcast(&[2], &[3]), None);
        let column = tensor(&[2, 1], &[1.0, 2.0]);
        let got: Vec<f64> = (0..6).map(|at| spread(&column, &[2, 3], at)).collect();
        assert_eq!(got, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn axes_are_exchanged_by_hand() {
        let numbers = tensor(&[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(permuted(&numbers, &[2, 0, 1]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(permuted(&numbers, &[0, 1, 2]), numbers.values);
    }

    #[test]
    fn numbers_by_hand() {
        let of = |op, x: f64| unary(op).map(|f| f(x));
        assert_eq!([of("Neg", 4.0), of("Abs", -4.0)], [Some(-4.0), Some(4.0)]);
        assert_eq!([of("Sqrt", 4.0), of("Reciprocal", 4.0)], [Some(2.0), Some(0.25)]);
        assert_eq!([of("Exp", 0.0), of("Log", 1.0)], [Some(1.0), Some(0.0)]);
        assert_eq!([of("Relu", -4.0), of("Softplus", 0.0)], [Some(0.0), Some(2.0_f64.ln())]);
        let of = |op, a: f64, b: f64| binary(op).map(|f| f(a, b));
        assert_eq!([of("Sub", 2.0, 3.0), of("Div", 2.0, 4.0)], [Some(-1.0), Some(0.5)]);
        assert_eq!([of("Pow", 2.0, 3.0), of("Max", 2.0, 3.0)], [Some(8.0), Some(3.0)]);
        assert_eq!(of("Min", 2.0, 3.0), Some(2.0));
        for (op, a, b) in [("Max", f64::NAN, 1.0), ("Min", 1.0, f64::NAN)] {
            assert!(of(op, a, b).is_some_and(f64::is_nan), "{op}");
        }
        assert_eq!((of("Erf", 1.0, 1.0), unary("Erf").is_none()), (None, true));
    }

    #[test]
    fn products_by_hand() {
        let square = tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let column = tensor(&[2, 1], &[5.0, 6.0]);
        assert_eq!(product(&square, &column), [17.0, 39.0]);
    }
}
