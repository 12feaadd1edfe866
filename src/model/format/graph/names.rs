//! The graph with its names resolved: who writes a value, which values are constants.

use std::cell::Cell;
use std::collections::HashMap;

use super::attributes::casts_to_float;
use super::malformed;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfo};
use super::tensor::{AXES_MAX, Source, Tensor};
use crate::model::ModelError;
use crate::model::format::numbers::element_count;

/// The operator sets whose semantics are known here.
const OPSETS: std::ops::RangeInclusive<i64> = 6..=28;

/// How many `Identity`, `Cast` and `Transpose` may stand between a constant and its use.
const CONSTANT_HOPS_MAX: usize = 8;

/// A graph of one input and one output.
pub(super) struct Graph<'a> {
    proto: &'a GraphProto,
    opset: i64,
    producers: HashMap<&'a str, &'a NodeProto>,
    initializers: HashMap<&'a str, &'a TensorProto>,
    input: &'a ValueInfo,
    output: &'a str,
    /// Numbers that may still be decoded or computed. A tensor may be named by many nodes; without
    /// a bound a small file could ask for unbounded work.
    budget: Cell<usize>,
    budget_start: usize,
}

/// A constant and how it is used.
pub(super) struct Constant<'a> {
    pub(super) name: &'a str,
    pub(super) source: Source<'a>,
    pub(super) transposed: bool,
}

impl<'a> Graph<'a> {
    /// Resolves the graph of a model that was read from `file_bytes` bytes.
    pub(super) fn new(model: &'a ModelProto, file_bytes: usize) -> Result<Graph<'a>, ModelError> {
        let opset = opset_of(model)?;
        let proto = model.graph.as_ref().ok_or_else(|| malformed("model", "a graph", "none"))?;
        let initializers: HashMap<_, _> =
            proto.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        // Files of IR version 3 list initializers as inputs too.
        let is_free = |input: &&ValueInfo| !initializers.contains_key(input.name.as_str());
        let input = only(proto.input.iter().filter(is_free), "input")?;
        let output = only(proto.output.iter(), "output")?;
        // Four uses of every byte are more than any sound file needs; small files get a floor.
        let budget_start = file_bytes.saturating_mul(4).saturating_add(1 << 16);
        Ok(Graph {
            producers: producers_of(proto)?,
            budget: Cell::new(budget_start),
            output: &output.name,
            budget_start,
            proto,
            opset,
            initializers,
            input,
        })
    }

    pub(super) fn name(&self) -> &'a str {
        &self.proto.name
    }

    /// How many nodes there are, on the chain or not.
    pub(super) fn nodes(&self) -> usize {
        self.proto.node.len()
    }

    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    pub(super) fn input(&self) -> &'a ValueInfo {
        self.input
    }

    pub(super) fn output(&self) -> &'a str {
        self.output
    }

    /// The node that writes `value`.
    pub(super) fn producer(&self, value: &str) -> Option<&'a NodeProto> {
        self.producers.get(value).copied()
    }

    /// The node that writes `value`, where it is of this operator in ONNX's own domain.
    pub(super) fn producer_of_kind(&self, value: &str, op: &str) -> Option<&'a NodeProto> {
        self.producer(value).filter(|node| node.op_type == op && is_standard(node))
    }

    /// The constant `value` stands for: an initializer or a `Constant` node, as it is or seen
    /// through `Identity`, `Cast` between floats and `Transpose` of a matrix.
    pub(super) fn constant(&self, value: &'a str) -> Option<Constant<'a>> {
        let (mut name, mut transposed) = (value, false);
        for _ in 0..=CONSTANT_HOPS_MAX {
            if let Some(tensor) = self.initializers.get(name) {
                return Some(Constant { name, source: Source::Tensor(tensor), transposed });
            }
            let node = self.producer(name).filter(|node| is_standard(node))?;
            match node.op_type.as_str() {
                "Constant" => {
                    return Some(Constant { name, source: constant_source(node)?, transposed });
                }
                "Identity" => {}
                "Cast" if casts_to_float(node).unwrap_or(false) => {}
                "Transpose" if exchanges_two_axes(node) => transposed = !transposed,
                _ => return None,
            }
            name = node.input.first()?;
        }
        None
    }

    /// The numbers of a constant.
    pub(super) fn decode(&self, constant: &Constant<'a>) -> Result<Tensor, ModelError> {
        // A size that overflows is refused by the decoder itself, in its own words.
        if let Some(count) = element_count(&constant.source.dims(constant.name)?) {
            self.spend(count)?;
        }
        let tensor = constant.source.decode(constant.name)?;
        Ok(if constant.transposed { tensor.transposed() } else { tensor })
    }

    /// The one number `value` stands for, where it is a constant scalar.
    pub(super) fn scalar(&self, value: &'a str) -> Option<f64> {
        let constant = self.constant(value)?;
        let dims = constant.source.dims(constant.name).ok()?;
        let is_scalar = matches!(dims[..], [] | [1]);
        is_scalar.then(|| self.decode(&constant).ok()?.scalar()).flatten()
    }

    /// The integers of a constant shape or list of axes.
    pub(super) fn integers(&self, value: &'a str) -> Option<Result<Vec<i64>, ModelError>> {
        let Constant { name, source, .. } = self.constant(value)?;
        let integers = || match element_count(&source.dims(name)?) {
            Some(0..=AXES_MAX) => source.integers(name),
            _ => Err(malformed(format!("tensor '{name}'"), "at most 16 axes", "more")),
        };
        Some(integers())
    }

    /// Takes `numbers` from the bound on the work a file may cause.
    pub(super) fn spend(&self, numbers: usize) -> Result<(), ModelError> {
        match self.budget.get().checked_sub(numbers) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(ModelError::too_large(
                "numbers in constants, each use counted, for a file of this size",
                self.budget_start,
                (self.budget_start - self.budget.get()).saturating_add(numbers),
            )),
        }
    }
}

/// Whether the node's operator is one of ONNX's own.
pub(super) fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}

fn opset_of(model: &ModelProto) -> Result<i64, ModelError> {
    let standard =
        |import: &&super::proto::OperatorSetId| matches!(import.domain.as_str(), "" | "ai.onnx");
    let import = model
        .opset_import
        .iter()
        .find(standard)
        .ok_or_else(|| malformed("opset_import", "the version of ONNX's operators", "none"))?;
    if OPSETS.contains(&import.version) {
        return Ok(import.version);
    }
    Err(ModelError::unsupported(
        "opset_import",
        format!("opset {}", import.version),
        format!("opsets {} to {} are read; export with one of them", OPSETS.start(), OPSETS.end()),
    ))
}

fn only<'a>(
    mut values: impl Iterator<Item = &'a ValueInfo>,
    what: &str,
) -> Result<&'a ValueInfo, ModelError> {
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(malformed("graph", format!("one {what}"), "none")),
        (Some(first), Some(second)) => Err(ModelError::unsupported(
            &second.name,
            what,
            format!("one {what} is read, and '{}' is there before it", first.name),
        )),
    }
}

fn producers_of(graph: &GraphProto) -> Result<HashMap<&str, &NodeProto>, ModelError> {
    let mut producers = HashMap::with_capacity(graph.node.len());
    for node in &graph.node {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if producers.insert(output.as_str(), node).is_some() {
                return Err(malformed(format!("value '{output}'"), "one node to write it", "two"));
            }
        }
    }
    Ok(producers)
}

fn constant_source(node: &NodeProto) -> Option<Source<'_>> {
    let [attribute] = &node.attribute[..] else { return None };
    match attribute.name.as_str() {
        "value" => attribute.t.as_ref().map(Source::Tensor),
        "value_float" => Some(Source::Float(attribute.f)),
        "value_floats" => Some(Source::Floats(&attribute.floats)),
        "value_int" => Some(Source::Int(attribute.i)),
        "value_ints" => Some(Source::Ints(&attribute.ints)),
        _ => None,
    }
}

/// Whether a `Transpose` is that of a matrix; without `perm` it reverses all axes, and a constant
/// of another rank is refused where it is used as a matrix.
fn exchanges_two_axes(node: &NodeProto) -> bool {
    match &node.attribute[..] {
        [] => true,
        [perm] => perm.name == "perm" && perm.ints == [1, 0],
        _ => false,
    }
}
