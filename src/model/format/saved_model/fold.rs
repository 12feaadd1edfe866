//! Operators between constants, worked out in double precision: how exports write a BatchNorm's
//! statistics.

use super::constant::Constant;
use crate::model::format::numbers::{element_count, transpose};

/// Numbers and their axes, row-major.
pub(super) struct Tensor {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<f64>,
}

/// How many numbers an operator makes of these constants, where it is one of those below.
pub(super) fn size(op: &str, operands: &[&Constant]) -> Option<usize> {
    match operands {
        [a] if unary(op).is_some() || op == "Transpose" => Some(a.len()),
        [a, b] if binary(op).is_some() => element_count(&joined(&a.dims, &b.dims)?),
        [a, shape] if op == "Reshape" && shape.integers().is_some() => Some(a.len()),
        _ => None,
    }
}

/// What the operator makes of the constants; `None` where they do not fit.
pub(super) fn apply(op: &str, operands: &[&Constant]) -> Option<Tensor> {
    match operands {
        [a] if op == "Transpose" => match a.dims[..] {
            [rows, columns] => {
                let values = transpose(&a.doubles(), rows, columns);
                Some(Tensor { dims: vec![columns, rows], values })
            }
            _ => None,
        },
        [a] => {
            let f = unary(op)?;
            let values = a.doubles().into_iter().map(f).collect();
            Some(Tensor { dims: a.dims.clone(), values })
        }
        [a, shape] if op == "Reshape" => reshaped(a, shape.integers()?),
        [a, b] => broadcast(a, b, binary(op)?),
        _ => None,
    }
}

fn unary(op: &str) -> Option<fn(f64) -> f64> {
    Some(match op {
        "Neg" => |x| -x,
        "Sqrt" => f64::sqrt,
        "Rsqrt" => |x| 1.0 / x.sqrt(),
        "Square" => |x| x * x,
        "Reciprocal" | "Inv" => |x| 1.0 / x,
        "Exp" => f64::exp,
        "Log" => f64::ln,
        "Abs" => f64::abs,
        "Relu" => |x| x.max(0.0),
        "Softplus" => |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
        _ => return None,
    })
}

fn binary(op: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        "Add" | "AddV2" | "BiasAdd" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "RealDiv" | "Div" => |a, b| a / b,
        "Maximum" => f64::max,
        "Minimum" => f64::min,
        "Pow" => f64::powf,
        _ => return None,
    })
}

/// The axes that two tensors have together; those of 1 stretch.
fn joined(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let axis =
        |dims: &[usize], at: usize| (at + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    (0..rank)
        .map(|at| match (axis(a, at), axis(b, at)) {
            (a, b) if a == b => Some(a),
            (1, other) | (other, 1) => Some(other),
            _ => None,
        })
        .collect()
}

fn broadcast(a: &Constant, b: &Constant, f: fn(f64, f64) -> f64) -> Option<Tensor> {
    let dims = joined(&a.dims, &b.dims)?;
    let count = element_count(&dims)?;
    let (left, right) = (a.doubles(), b.doubles());
    let value = |at: usize| {
        Some(f(*left.get(source(at, &a.dims, &dims))?, *right.get(source(at, &b.dims, &dims))?))
    };
    let values = (0..count).map(value).collect::<Option<Vec<f64>>>()?;
    Some(Tensor { dims, values })
}

/// Which number of a tensor of axes `dims` stands at `at` of one that it is stretched to.
fn source(at: usize, dims: &[usize], to: &[usize]) -> usize {
    let (mut rest, mut index, mut stride) = (at, 0, 1);
    for (axis, size) in to.iter().rev().enumerate() {
        let own = dims.len().checked_sub(axis + 1).map_or(1, |own| dims[own]);
        index += if own == 1 { 0 } else { rest % size * stride };
        rest /= size;
        stride *= own;
    }
    index
}

fn reshaped(a: &Constant, shape: &[i64]) -> Option<Tensor> {
    let stated = shape.iter().filter(|size| **size != -1);
    let stated = stated.map(|size| usize::try_from(*size).ok()).collect::<Option<Vec<_>>>()?;
    let product = element_count(&stated)?;
    let inferred = a.len().checked_div(product)?;
    let size = |size: &i64| usize::try_from(*size).unwrap_or(inferred);
    let dims: Vec<usize> = shape.iter().map(size).collect();
    let fits = stated.len() + 1 >= shape.len() && element_count(&dims) == Some(a.len());
    fits.then(|| Tensor { dims, values: a.doubles() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::graph::Numbers;

    fn constant(dims: &[usize], numbers: &[f64]) -> Constant {
        Constant::new(String::new(), dims.to_vec(), Numbers::Doubles(numbers.to_vec()))
    }

    fn ints(numbers: &[i64]) -> Constant {
        Constant::new(String::new(), vec![numbers.len()], Numbers::Integers(numbers.to_vec()))
    }

    #[test]
    fn by_hand() {
        let (column, row) = (constant(&[2, 1], &[10.0, 20.0]), constant(&[3], &[1.0, 2.0, 4.0]));
        let sum = apply("AddV2", &[&column, &row]).unwrap();
        assert_eq!(sum.dims, [2, 3]);
        assert_eq!(sum.values, [11.0, 12.0, 14.0, 21.0, 22.0, 24.0]);
        assert_eq!(size("AddV2", &[&column, &row]), Some(6));
        assert_eq!(apply("Rsqrt", &[&row]).unwrap().values[2], 0.5);
        assert!(apply("Sub", &[&constant(&[2], &[0.0; 2]), &row]).is_none());
        let matrix = constant(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(apply("Transpose", &[&matrix]).unwrap().values, [1.0, 3.0, 2.0, 4.0]);
        let flat = apply("Reshape", &[&matrix, &ints(&[1, -1])]).unwrap();
        assert_eq!(flat.dims, [1, 4]);
        for shape in [&[3, -1][..], &[-1, -1], &[0, -1], &[-2, 2], &[5]] {
            assert!(apply("Reshape", &[&matrix, &ints(shape)]).is_none(), "{shape:?}");
        }
    }
}
