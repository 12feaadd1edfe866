//! Activations in pieces that exporters decompose: relu, leaky_relu, elu, selu, celu, hard_sigmoid
//! and clip, out of maxima, choices, sums, and each other.
//!
//! A value is worked out as a function of `x` that is `a + b x + c exp(s x)` between its breaks, so
//! that every way of writing the same function is recognised: `max(x, 0.1 x)`,
//! `relu(x) - 0.1 relu(-x)` and `where(x > 0, x, 0.1 x)` are one. Coefficients must be those of an
//! activation to one part in a million.

use std::cell::RefCell;
use std::collections::HashMap;

use super::direct;
use super::names::{Graph, VALUE_COST, is_standard};
use super::proto::NodeProto;
use crate::model::Activation;

/// How deep operators may nest in one activation.
const DEPTH_MAX: usize = 8;
/// How many values one activation may consist of.
const VALUES_MAX: usize = 16;
/// How many breaks a function may have on the way to one with two.
const BREAKS_MAX: usize = 8;

/// The activation that `value` is, and the value it is applied to.
pub(super) fn activation<'a>(graph: &Graph<'a>, value: &'a str) -> Option<(Activation, &'a str)> {
    // Before opset 7 broadcasting was an attribute, and nothing was decomposed.
    let node = graph.producer(value).filter(|node| graph.opset() >= 7 && may_end(node))?;
    let values = reach(graph, value, node);
    if !values.iter().any(|(_, node)| may_bend(node)) {
        return None;
    }
    // What is farthest leaves nothing to be folded.
    values.into_iter().skip(1).rev().find_map(|(x, _)| {
        let unknown = Unknown { graph, x, known: RefCell::default() };
        let function = unknown.function(value, 0)?;
        Some((function.simple().activation()?, x))
    })
}

/// Whether a node's operator may be the last of a decomposed activation.
fn may_end(node: &NodeProto) -> bool {
    let ends = ["Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Where"];
    is_standard(node) && ends.contains(&node.op_type.as_str())
}

fn may_bend(node: &NodeProto) -> bool {
    let bends = ["Max", "Min", "Where", "Abs", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Clip"];
    is_standard(node) && bends.contains(&node.op_type.as_str())
}

/// The values that `value` is computed from and their nodes, nearest first, itself before them.
fn reach<'a>(
    graph: &Graph<'a>,
    value: &'a str,
    node: &'a NodeProto,
) -> Vec<(&'a str, &'a NodeProto)> {
    let mut values = vec![(value, node)];
    let mut next = 0;
    while next < values.len() && values.len() < VALUES_MAX {
        let node = values[next].1;
        let is_part = may_end(node) || may_bend(node) || is_inner(node);
        // No operator here has more than three operands; a file may list more.
        for input in node.input.iter().take(if is_part { 3 } else { 0 }).map(String::as_str) {
            let is_new = values.iter().all(|(value, _)| *value != input);
            values.extend(graph.producer(input).filter(|_| is_new).map(|node| (input, node)));
        }
        next += 1;
    }
    values
}

fn is_inner(node: &NodeProto) -> bool {
    let inner = ["Exp", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];
    is_standard(node) && inner.contains(&node.op_type.as_str())
}

/// What stands for `x` while an expression is worked out.
struct Unknown<'g, 'a> {
    graph: &'g Graph<'a>,
    x: &'a str,
    /// What values were found to be: one may be reached on many ways.
    known: RefCell<HashMap<&'a str, Function>>,
}

impl<'a> Unknown<'_, 'a> {
    fn function(&self, value: &'a str, depth: usize) -> Option<Function> {
        if let Some(known) = self.known.borrow().get(value) {
            return Some(known.clone());
        }
        self.graph.spend(VALUE_COST).ok()?;
        let function = self.computed(value, depth)?;
        self.known.borrow_mut().insert(value, function.clone());
        Some(function)
    }

    fn computed(&self, value: &'a str, depth: usize) -> Option<Function> {
        if value == self.x {
            return Some(Function::line(0.0, 1.0));
        }
        if let Some(number) = self.graph.scalar(value) {
            return Some(Function::line(number, 0.0));
        }
        let node = self.graph.producer(value).filter(|node| is_standard(node))?;
        if depth == DEPTH_MAX {
            return None;
        }
        let of = |index: usize| self.function(node.input.get(index)?, depth + 1);
        match node.op_type.as_str() {
            "Add" => of(0)?.plus(&of(1)?),
            "Sub" => of(0)?.plus(&of(1)?.times(-1.0)),
            "Neg" => Some(of(0)?.times(-1.0)),
            "Mul" => match (of(0)?, of(1)?) {
                (f, g) if f.number().is_some() => Some(g.times(f.number()?)),
                (f, g) => Some(f.times(g.number()?)),
            },
            "Div" => Some(of(0)?.times(1.0 / of(1)?.number()?)),
            "Exp" => of(0)?.exp(),
            "Abs" => of(0)?.then(|f| (f.clone(), f.times(-1.0))),
            "Max" | "Min" if node.input.len() == 2 => {
                let (f, g) = (of(0)?, of(1)?);
                let difference = f.plus(&g.times(-1.0))?;
                let is_max = node.op_type == "Max";
                if is_max { difference.choose(&f, &g) } else { difference.choose(&g, &f) }
            }
            "Where" => self.condition(node.input.first()?, depth + 1)?.choose(&of(1)?, &of(2)?),
            _ => {
                let activation = direct::activation(self.graph, node)?.ok()?;
                of(0)?.activated(activation)
            }
        }
    }

    /// A function that is above 0 where a comparison holds.
    fn condition(&self, value: &'a str, depth: usize) -> Option<Function> {
        let node = self.graph.producer(value).filter(|node| is_standard(node))?;
        let of = |index: usize| self.function(node.input.get(index)?, depth + 1);
        match node.op_type.as_str() {
            "Greater" | "GreaterOrEqual" => of(0)?.plus(&of(1)?.times(-1.0)),
            "Less" | "LessOrEqual" => of(1)?.plus(&of(0)?.times(-1.0)),
            _ => None,
        }
    }
}

/// `a + b x + c exp(s x)`
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    a: f64,
    b: f64,
    c: f64,
    s: f64,
}

impl Part {
    fn line(a: f64, b: f64) -> Part {
        Part { a, b, c: 0.0, s: 0.0 }
    }

    fn at(&self, x: f64) -> f64 {
        let curve = if self.c == 0.0 { 0.0 } else { self.c * (self.s * x).exp() };
        self.a + self.b * x + curve
    }

    fn plus(&self, other: &Part) -> Option<Part> {
        let (a, b) = (self.a + other.a, self.b + other.b);
        let (c, s) = match (self.c == 0.0, other.c == 0.0) {
            (_, true) => (self.c, self.s),
            (true, _) => (other.c, other.s),
            _ if self.s == other.s => (self.c + other.c, self.s),
            _ => return None,
        };
        Some(Part { a, b, c, s })
    }

    /// Where the part is 0, if it is somewhere; `None` where that cannot be told.
    fn root(&self) -> Option<Option<f64>> {
        match (self.b == 0.0, self.c == 0.0) {
            (true, true) => Some(None),
            (false, true) => Some(Some(-self.a / self.b)),
            (true, false) if self.s != 0.0 => {
                let power = -self.a / self.c;
                Some((power > 0.0).then(|| power.ln() / self.s))
            }
            _ => None,
        }
    }
}

/// One part before, between and after the breaks, which ascend.
#[derive(Clone, Debug, PartialEq)]
struct Function {
    breaks: Vec<f64>,
    parts: Vec<Part>,
}

impl Function {
    fn line(a: f64, b: f64) -> Function {
        Function { breaks: vec![], parts: vec![Part::line(a, b)] }
    }

    /// The one number that the function is everywhere.
    fn number(&self) -> Option<f64> {
        match self.parts[..] {
            [Part { a, b: 0.0, c: 0.0, .. }] => Some(a),
            _ => None,
        }
    }

    fn times(&self, factor: f64) -> Function {
        let scaled = |part: &Part| {
            let Part { a, b, c, s } = *part;
            Part { a: a * factor, b: b * factor, c: c * factor, s }
        };
        Function { breaks: self.breaks.clone(), parts: self.parts.iter().map(scaled).collect() }
    }

    fn plus(&self, other: &Function) -> Option<Function> {
        let breaks = merged(&[&self.breaks, &other.breaks])?;
        let sum = |x: f64| self.part(x).plus(other.part(x));
        let parts = samples(&breaks).into_iter().map(sum).collect::<Option<_>>()?;
        Some(Function { breaks, parts })
    }

    fn exp(&self) -> Option<Function> {
        let exp = |part: &Part| match *part {
            Part { a, b: 0.0, c: 0.0, .. } => Some(Part::line(a.exp(), 0.0)),
            Part { a, b, c: 0.0, .. } => Some(Part { a: 0.0, b: 0.0, c: a.exp(), s: b }),
            _ => None,
        };
        let parts = self.parts.iter().map(exp).collect::<Option<_>>()?;
        Some(Function { breaks: self.breaks.clone(), parts })
    }

    /// The part that holds at `x`.
    fn part(&self, x: f64) -> &Part {
        &self.parts[self.breaks.iter().take_while(|at| **at < x).count()]
    }

    /// `above` where this function is above 0, and `below` where it is below.
    fn choose(&self, above: &Function, below: &Function) -> Option<Function> {
        let mut roots = Vec::new();
        for part in &self.parts {
            roots.extend(part.root()?);
        }
        let breaks = merged(&[&self.breaks, &above.breaks, &below.breaks, &roots])?;
        let chosen = |x: f64| {
            let (sign, above, below) = (self.part(x).at(x), above.part(x), below.part(x));
            if sign > 0.0 || above == below { Some(*above) } else { (sign < 0.0).then_some(*below) }
        };
        let parts = samples(&breaks).into_iter().map(chosen).collect::<Option<_>>()?;
        Some(Function { breaks, parts })
    }

    /// One function of this where this is above 0, and another where it is below.
    fn then(&self, both: impl Fn(&Function) -> (Function, Function)) -> Option<Function> {
        let (above, below) = both(self);
        self.choose(&above, &below)
    }

    fn activated(&self, activation: Activation) -> Option<Function> {
        let curve = |factor: f64, scale: f64| {
            self.times(1.0 / scale).exp()?.plus(&Function::line(-1.0, 0.0)).map(|f| f.times(factor))
        };
        let bounded = |f: &Function, low: f32, high: f32| {
            let bound = |f: &Function, bound: f32, sign: f64| {
                if bound.is_infinite() {
                    return Some(f.clone());
                }
                let bound = Function::line(f64::from(bound), 0.0);
                f.plus(&bound.times(-1.0))?.times(sign).choose(f, &bound)
            };
            bound(&bound(f, low, 1.0)?, high, -1.0)
        };
        match activation {
            Activation::Relu => bounded(self, 0.0, f32::INFINITY),
            Activation::Clip { min, max } if min <= max => bounded(self, min, max),
            Activation::LeakyRelu { alpha } => self.choose(self, &self.times(f64::from(alpha))),
            Activation::Elu { alpha } => self.choose(self, &curve(f64::from(alpha), 1.0)?),
            Activation::Celu { alpha } => {
                self.choose(self, &curve(f64::from(alpha), f64::from(alpha))?)
            }
            Activation::Selu { alpha, gamma } => {
                let gamma = f64::from(gamma);
                self.choose(&self.times(gamma), &curve(gamma * f64::from(alpha), 1.0)?)
            }
            Activation::HardSigmoid { alpha, beta } => {
                let line = Function::line(f64::from(beta), 0.0);
                bounded(&self.times(f64::from(alpha)).plus(&line)?, 0.0, 1.0)
            }
            _ => None,
        }
    }

    /// The same function without breaks between equal parts.
    fn simple(&self) -> Function {
        let mut simple = Function { breaks: vec![], parts: vec![self.parts[0]] };
        for (at, part) in self.breaks.iter().zip(&self.parts[1..]) {
            if simple.parts.last() != Some(part) {
                simple.breaks.push(*at);
                simple.parts.push(*part);
            }
        }
        simple
    }

    /// The activation that this is, where it is one.
    fn activation(&self) -> Option<Activation> {
        let jumps = self.breaks.iter().zip(self.parts.windows(2)).any(|(at, pair)| {
            let (before, after) = (pair[0].at(*at), pair[1].at(*at));
            (before - after).abs() > 1e-6 * before.abs().max(1.0) || before.is_nan()
        });
        let flat = |part: &Part| (part.b == 0.0 && part.c == 0.0).then_some(part.a as f32);
        let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
        match (&self.breaks[..], &self.parts[..]) {
            _ if jumps => None,
            ([at], [left, right]) if *at == 0.0 && *right == Part::line(0.0, right.b) => {
                bent(left, right.b)
            }
            ([_], [left, right]) if is_x(right) => {
                Some(Activation::Clip { min: flat(left)?, max: high })
            }
            ([_], [left, right]) if is_x(left) => {
                Some(Activation::Clip { min: low, max: flat(right)? })
            }
            ([_, _], [left, middle, right]) => {
                let (min, max) = (flat(left)?, flat(right)?);
                if is_x(middle) {
                    return Some(Activation::Clip { min, max });
                }
                let is_unit = min == 0.0 && close(f64::from(max), 1.0) && middle.c == 0.0;
                let (alpha, beta) = (middle.b as f32, middle.a as f32);
                is_unit.then_some(Activation::HardSigmoid { alpha, beta })
            }
            _ => None,
        }
    }
}

/// The activation that is `left` below 0 and `slope * x` above.
fn bent(left: &Part, slope: f64) -> Option<Activation> {
    let Part { a, b, c, s } = *left;
    let (is_plain, is_line) = (close(slope, 1.0), c == 0.0 && a == 0.0);
    match (is_line, is_plain) {
        (true, true) if b == 0.0 => Some(Activation::Relu),
        (true, true) => Some(Activation::LeakyRelu { alpha: b as f32 }),
        (true, false) => None,
        _ if b != 0.0 || !close(-a, c) => None,
        (false, true) if close(s, 1.0) => Some(Activation::Elu { alpha: c as f32 }),
        (false, true) if close(c * s, 1.0) => Some(Activation::Celu { alpha: c as f32 }),
        (false, false) if close(s, 1.0) => {
            Some(Activation::Selu { alpha: (c / slope) as f32, gamma: slope as f32 })
        }
        _ => None,
    }
}

fn is_x(part: &Part) -> bool {
    *part == Part::line(0.0, part.b) && close(part.b, 1.0)
}

/// All breaks in order, each once; `None` where one is no number or there are too many.
fn merged(lists: &[&Vec<f64>]) -> Option<Vec<f64>> {
    let mut all: Vec<f64> = lists.iter().flat_map(|list| list.iter().map(|at| at + 0.0)).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let is_sound = all.len() <= BREAKS_MAX && all.iter().all(|at| at.is_finite());
    is_sound.then_some(all)
}

/// A point inside each of the ranges that breaks leave.
fn samples(breaks: &[f64]) -> Vec<f64> {
    let (Some(first), Some(last)) = (breaks.first(), breaks.last()) else { return vec![0.0] };
    let between = breaks.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 2.0);
    std::iter::once(first - 1.0).chain(between).chain([last + 1.0]).collect()
}

/// Equal as far as constants stored in single precision can be.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Format;
    use crate::model::format::graph::{Builder, Numbers};

    /// The activation of a layer that `tell` says, or the matcher's refusal.
    fn told(tell: impl Fn(&mut Builder, &str) -> String) -> Result<Activation, String> {
        let mut builder = Builder::new(Format::Onnx, "pieces", Some(&[2]));
        let weight = Numbers::Doubles(vec![1.0, 2.0, 3.0, 4.0]);
        let weight = builder.constant("weight", &[2, 2], weight);
        let sums = builder.node("sums", "MatMul", &[&builder.input(), &weight], vec![]);
        let scores = tell(&mut builder, &sums);
        let model = builder.finish(&scores).map_err(|error| error.to_string())?;
        Ok(model.layers()[0].activation())
    }

    fn op(builder: &mut Builder, op: &str, inputs: &[&str]) -> String {
        builder.node(op, op, inputs, vec![])
    }

    #[test]
    fn one_activation_in_many_words() {
        let slope = Activation::LeakyRelu { alpha: 0.25 };
        let max = told(|b, x| {
            let quarter = b.scalar(0.25);
            let line = op(b, "Mul", &[&quarter, x]);
            op(b, "Max", &[x, &line])
        });
        assert_eq!(max, Ok(slope));
        let choice = told(|b, x| {
            let (quarter, zero) = (b.scalar(0.25), b.scalar(0.0));
            let line = op(b, "Mul", &[x, &quarter]);
            let is_below = op(b, "Less", &[x, &zero]);
            op(b, "Where", &[&is_below, &line, x])
        });
        assert_eq!(choice, Ok(slope));
        let two = told(|b, x| {
            let (relu, negated) = (op(b, "Relu", &[x]), op(b, "Neg", &[x]));
            let (mirrored, quarter) = (op(b, "Relu", &[&negated]), b.scalar(0.25));
            let line = op(b, "Mul", &[&mirrored, &quarter]);
            op(b, "Sub", &[&relu, &line])
        });
        assert_eq!(two, Ok(slope));
        // The other way round it is the smaller of the two: steeper below 0 than above.
        let min = told(|b, x| {
            let quarter = b.scalar(0.25);
            let line = op(b, "Mul", &[&quarter, x]);
            op(b, "Min", &[x, &line])
        });
        assert!(min.unwrap_err().contains("no activation that is known"));
    }

    #[test]
    fn curves_and_bounds() {
        let celu = |alpha: f64, scale: f64| {
            told(move |b, x| {
                let (zero, one) = (b.scalar(0.0), b.scalar(1.0));
                let (alpha, scale) = (b.scalar(alpha), b.scalar(scale));
                let (above, below) = (op(b, "Max", &[x, &zero]), op(b, "Min", &[x, &zero]));
                let scaled = op(b, "Div", &[&below, &scale]);
                let exp = op(b, "Exp", &[&scaled]);
                let curve = op(b, "Sub", &[&exp, &one]);
                let curve = op(b, "Mul", &[&alpha, &curve]);
                op(b, "Add", &[&above, &curve])
            })
        };
        assert_eq!(celu(0.5, 0.5), Ok(Activation::Celu { alpha: 0.5 }));
        assert_eq!(celu(0.5, 1.0), Ok(Activation::Elu { alpha: 0.5 }));
        assert!(celu(0.5, 0.7).unwrap_err().contains("joins two computed values"));
        let hard = told(|b, x| {
            let (three, six) = (b.scalar(3.0), b.scalar(6.0));
            let raised = op(b, "Add", &[x, &three]);
            let clipped = b.activation("relu6", &raised, Activation::Clip { min: 0.0, max: 6.0 });
            op(b, "Div", &[&clipped, &six])
        });
        assert_eq!(hard, Ok(Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }));
        let bounds = told(|b, x| {
            let (low, high) = (b.scalar(-1.0), b.scalar(2.0));
            let lower = op(b, "Min", &[x, &high]);
            op(b, "Max", &[&lower, &low])
        });
        assert_eq!(bounds, Ok(Activation::Clip { min: -1.0, max: 2.0 }));
    }

    #[test]
    fn jumps_are_no_activation() {
        let threshold = told(|b, x| {
            let (one, zero) = (b.scalar(1.0), b.scalar(0.0));
            let is_above = op(b, "Greater", &[x, &one]);
            op(b, "Where", &[&is_above, x, &zero])
        });
        assert!(threshold.is_err(), "{threshold:?}");
    }
}
