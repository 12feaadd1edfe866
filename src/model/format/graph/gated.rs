//! Activations that exporters decompose: a polynomial in `x` and one gate of `x`.
//!
//! | activation | gate `g` | of | is |
//! |---|---|---|---|
//! | gelu | erf | `x / sqrt(2)` | `0.5 x + 0.5 x g` |
//! | gelu_tanh | tanh | `k (x + 0.044715 x^3)`, `k = sqrt(2 / pi)` | `0.5 x + 0.5 x g` |
//! | silu | sigmoid | `x` | `x g` |
//! | mish | tanh | `softplus(x)` | `x g` |
//! | hard_swish | hard_sigmoid(1/6, 1/2) | `x` | `x g` |
//! | hard_swish | clip(0, 6) | `x + 3` | `x g / 6` |
//!
//! One more has no gate: softsign, `x / (1 + |x|)`.
//!
//! Both polynomials are worked out from the nodes, so that every order of the same products and
//! sums is recognised; coefficients must be those above to one part in a million.

use std::cell::RefCell;
use std::collections::HashMap;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::direct;
use super::names::{Graph, VALUE_COST, is_standard};
use super::proto::NodeProto;
use crate::model::Activation;

/// How deep products and sums may nest in one activation.
const DEPTH_MAX: usize = 7;
/// How many values one activation may consist of.
const VALUES_MAX: usize = 16;
/// The gates of one activation that are tried.
const GATES_MAX: usize = 4;

/// The activation that `value` is, and the value it is applied to.
pub(super) fn activation<'a>(graph: &Graph<'a>, value: &'a str) -> Option<(Activation, &'a str)> {
    // Before opset 7 broadcasting was an attribute, and nothing was decomposed.
    if graph.opset() < 7 || !is_arithmetic(graph.producer(value)?) {
        return None;
    }
    if let Some(x) = softsign(graph, value) {
        return Some((Activation::Softsign, x));
    }
    let leaves = reach(graph, value).filter_map(|name| Gate::of(graph, name));
    leaves.take(GATES_MAX).find_map(|gate| gate.activation(graph, value))
}

/// The `x` of which `value` is `x / (1 + |x|)`.
fn softsign<'a>(graph: &Graph<'a>, value: &str) -> Option<&'a str> {
    let [x, sum] = &graph.producer_of_kind(value, "Div")?.input[..] else { return None };
    let [a, b] = &graph.producer_of_kind(sum, "Add")?.input[..] else { return None };
    let is_one = |one: &str| graph.scalar(one) == Some(1.0);
    let is_size = |size: &str| {
        graph.producer_of_kind(size, "Abs").is_some_and(|abs| abs.input.first() == Some(x))
    };
    ((is_one(a) && is_size(b)) || (is_one(b) && is_size(a))).then_some(x)
}

fn is_arithmetic(node: &NodeProto) -> bool {
    let op = node.op_type.as_str();
    is_standard(node) && matches!(op, "Add" | "Sub" | "Mul" | "Div" | "Neg" | "Pow")
}

/// The values that `value` is computed from through sums and products, nearest first, itself too.
fn reach<'a>(graph: &Graph<'a>, value: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    let mut values = vec![value];
    let mut next = 0;
    while next < values.len() && values.len() < VALUES_MAX {
        if let Some(node) = graph.producer(values[next]).filter(|node| is_arithmetic(node)) {
            // Every sum and product has two operands; a file may list more.
            let inputs = node.input.iter().take(2).map(String::as_str);
            let new: Vec<_> = inputs.filter(|input| !values.contains(input)).collect();
            values.extend(new);
        }
        next += 1;
    }
    values.into_iter()
}

/// A function that squashes, and the value it is applied to.
struct Gate<'a> {
    kind: GateKind,
    output: &'a str,
    argument: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum GateKind {
    Erf,
    Tanh,
    TanhOfSoftplus,
    Sigmoid,
    HardSigmoid,
    ClipToSix,
}

impl<'a> Gate<'a> {
    fn of(graph: &Graph<'a>, output: &'a str) -> Option<Gate<'a>> {
        let node = graph.producer(output).filter(|node| is_standard(node))?;
        let gate =
            |kind, node: &'a NodeProto| Some(Gate { kind, output, argument: node.input.first()? });
        match node.op_type.as_str() {
            "Erf" => gate(GateKind::Erf, node),
            "Sigmoid" => gate(GateKind::Sigmoid, node),
            "Tanh" => match graph.producer_of_kind(node.input.first()?, "Softplus") {
                Some(softplus) => gate(GateKind::TanhOfSoftplus, softplus),
                None => gate(GateKind::Tanh, node),
            },
            "HardSigmoid" => match direct::activation(graph, node)?.ok()? {
                Activation::HardSigmoid { alpha, beta }
                    if close(f64::from(alpha), 1.0 / 6.0) && beta == 0.5 =>
                {
                    gate(GateKind::HardSigmoid, node)
                }
                _ => None,
            },
            "Clip" => match direct::activation(graph, node)?.ok()? {
                Activation::Clip { min: 0.0, max: 6.0 } => gate(GateKind::ClipToSix, node),
                _ => None,
            },
            _ => None,
        }
    }

    /// Tries every value the gate's argument is computed from as `x`.
    fn activation(&self, graph: &Graph<'a>, value: &'a str) -> Option<(Activation, &'a str)> {
        let (activation, argument, whole) = self.form();
        reach(graph, self.argument).find_map(|x| {
            let unknowns = |gate| Unknowns { graph, x, gate, known: RefCell::default() };
            let matches = unknowns(None).polynomial(self.argument, 0)?.is(&argument)
                && unknowns(Some(self.output)).polynomial(value, 0)?.is(&whole);
            matches.then_some((activation, x))
        })
    }

    /// The activation this gate is part of, what it must be applied to, and what the whole must be.
    fn form(&self) -> (Activation, Polynomial, Polynomial) {
        let x = Polynomial::X;
        let product = Polynomial { gated: [0.0, 1.0, 0.0, 0.0], ..Polynomial::ZERO };
        let halves = Polynomial { plain: [0.0, 0.5, 0.0, 0.0], gated: [0.0, 0.5, 0.0, 0.0] };
        let plain = |plain| Polynomial { plain, ..Polynomial::ZERO };
        let k = (2.0 / PI).sqrt();
        match self.kind {
            GateKind::Erf => (Activation::Gelu, plain([0.0, FRAC_1_SQRT_2, 0.0, 0.0]), halves),
            GateKind::Tanh => (Activation::GeluTanh, plain([0.0, k, 0.0, k * 0.044715]), halves),
            GateKind::TanhOfSoftplus => (Activation::Mish, x, product),
            GateKind::Sigmoid => (Activation::Silu, x, product),
            GateKind::HardSigmoid => (Activation::HardSwish, x, product),
            GateKind::ClipToSix => {
                let sixth = Polynomial { gated: [0.0, 1.0 / 6.0, 0.0, 0.0], ..Polynomial::ZERO };
                (Activation::HardSwish, plain([3.0, 1.0, 0.0, 0.0]), sixth)
            }
        }
    }
}

/// What stands for `x` and for the gate while an expression is worked out.
struct Unknowns<'g, 'a> {
    graph: &'g Graph<'a>,
    x: &'a str,
    gate: Option<&'a str>,
    /// What values were found to be: one may be reached on many ways.
    known: RefCell<HashMap<&'a str, Polynomial>>,
}

impl<'a> Unknowns<'_, 'a> {
    fn polynomial(&self, value: &'a str, depth: usize) -> Option<Polynomial> {
        if let Some(known) = self.known.borrow().get(value) {
            return Some(*known);
        }
        self.graph.spend(VALUE_COST).ok()?;
        let polynomial = self.computed(value, depth)?;
        self.known.borrow_mut().insert(value, polynomial);
        Some(polynomial)
    }

    fn computed(&self, value: &'a str, depth: usize) -> Option<Polynomial> {
        if Some(value) == self.gate {
            return Some(Polynomial { gated: [1.0, 0.0, 0.0, 0.0], ..Polynomial::ZERO });
        }
        if value == self.x {
            return Some(Polynomial::X);
        }
        if let Some(number) = self.graph.scalar(value) {
            return Some(Polynomial { plain: [number, 0.0, 0.0, 0.0], ..Polynomial::ZERO });
        }
        let node = self.graph.producer(value).filter(|node| is_arithmetic(node))?;
        if depth == DEPTH_MAX {
            return None;
        }
        let operand = |index: usize| self.polynomial(node.input.get(index)?, depth + 1);
        let scalar = |index: usize| self.graph.scalar(node.input.get(index)?);
        match node.op_type.as_str() {
            "Add" => Some(operand(0)?.plus(&operand(1)?, 1.0)),
            "Sub" => Some(operand(0)?.plus(&operand(1)?, -1.0)),
            "Mul" => operand(0)?.times(&operand(1)?),
            "Div" => Some(operand(0)?.scaled(1.0 / scalar(1)?)),
            "Neg" => Some(operand(0)?.scaled(-1.0)),
            "Pow" => operand(0)?.power(scalar(1)?),
            _ => None,
        }
    }
}

/// `plain(x) + gated(x) * g`, coefficients from degree 0 up.
#[derive(Clone, Copy)]
struct Polynomial {
    plain: [f64; 4],
    gated: [f64; 4],
}

impl Polynomial {
    const ZERO: Polynomial = Polynomial { plain: [0.0; 4], gated: [0.0; 4] };
    const X: Polynomial = Polynomial { plain: [0.0, 1.0, 0.0, 0.0], gated: [0.0; 4] };

    fn plus(&self, other: &Polynomial, sign: f64) -> Polynomial {
        let sum = |a: [f64; 4], b: [f64; 4]| std::array::from_fn(|i| a[i] + sign * b[i]);
        Polynomial { plain: sum(self.plain, other.plain), gated: sum(self.gated, other.gated) }
    }

    fn scaled(&self, factor: f64) -> Polynomial {
        let scaled = |numbers: [f64; 4]| numbers.map(|number| number * factor);
        Polynomial { plain: scaled(self.plain), gated: scaled(self.gated) }
    }

    /// The product, unless it has a degree above 3 or the gate squared.
    fn times(&self, other: &Polynomial) -> Option<Polynomial> {
        let square = product(&self.gated, &other.gated)?;
        if square != [0.0; 4] {
            return None;
        }
        let left = product(&self.gated, &other.plain)?;
        let right = product(&self.plain, &other.gated)?;
        Some(Polynomial {
            plain: product(&self.plain, &other.plain)?,
            gated: std::array::from_fn(|i| left[i] + right[i]),
        })
    }

    fn power(&self, exponent: f64) -> Option<Polynomial> {
        match exponent {
            2.0 => self.times(self),
            3.0 => self.times(self)?.times(self),
            _ => None,
        }
    }

    fn is(&self, other: &Polynomial) -> bool {
        let all = |a: &[f64; 4], b: &[f64; 4]| a.iter().zip(b).all(|(a, b)| close(*a, *b));
        all(&self.plain, &other.plain) && all(&self.gated, &other.gated)
    }
}

fn product(a: &[f64; 4], b: &[f64; 4]) -> Option<[f64; 4]> {
    let mut result = [0.0; 4];
    for (i, a) in a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
        for (j, b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            *result.get_mut(i + j)? += a * b;
        }
    }
    Some(result)
}

/// Equal as far as constants stored in single precision can be; zero only equals zero.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}
