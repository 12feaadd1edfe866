//! The graph with its names resolved: who writes a value, which values are constants.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use super::fold::{self, Computed, Outline};
use super::malformed;
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfo, is_float};
use super::tensor::{AXES_MAX, Source, Tensor};
use crate::model::ModelError;
use crate::model::format::numbers::element_count;

/// The operator sets whose semantics are known here.
const OPSETS: std::ops::RangeInclusive<i64> = 6..=28;

/// What working out one value of a decomposed activation takes from the bound on work, in numbers.
pub(super) const VALUE_COST: usize = 4;
/// The numbers that may be decoded or computed for any file, however small.
const BUDGET_MIN: usize = 1 << 18;

/// A graph of one input and one output.
pub(super) struct Graph<'a> {
    proto: &'a GraphProto,
    opset: i64,
    producers: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, Constant<'a>>,
    input: &'a ValueInfo,
    output: &'a str,
    /// How many outputs are not read.
    ignored: usize,
    /// Numbers that may still be decoded or computed. A tensor may be named by many nodes; without
    /// a bound a small file could ask for unbounded work.
    budget: Cell<usize>,
    budget_start: usize,
}

/// A constant: what the file states, or what a node computes from constants.
pub(super) enum Constant<'a> {
    Stated { name: &'a str, source: Source<'a> },
    Computed(Computed<'a>),
}

impl Constant<'_> {
    pub(super) fn dims(&self) -> Result<Vec<usize>, ModelError> {
        Ok(self.outline()?.dims)
    }

    fn outline(&self) -> Result<Outline, ModelError> {
        match self {
            Constant::Stated { name, source } => {
                Ok(Outline { dims: source.dims(name)?, is_float: source.is_float(), level: 0 })
            }
            Constant::Computed(computed) => Ok(computed.outline()),
        }
    }
}

impl<'a> Graph<'a> {
    /// Resolves the graph of a model that was read from `file_bytes` bytes.
    pub(super) fn new(model: &'a ModelProto, file_bytes: usize) -> Result<Graph<'a>, ModelError> {
        let opset = opset_of(model)?;
        let proto = model.graph.as_ref().ok_or_else(|| malformed("model", "a graph", "none"))?;
        let constants = constants_of(proto);
        // Files of IR version 3 list initializers as inputs too.
        let is_free = |input: &&ValueInfo| !constants.contains_key(input.name.as_str());
        let input = only(proto.input.iter().filter(is_free), "input")?;
        let output = scores_of(proto)?;
        // Four uses of every byte are more than any sound file needs; small files get a floor.
        let budget_start = file_bytes.saturating_mul(4).saturating_add(BUDGET_MIN);
        Ok(Graph {
            producers: producers_of(proto)?,
            budget: Cell::new(budget_start),
            output: &output.name,
            ignored: proto.output.len() - 1,
            budget_start,
            proto,
            opset,
            constants,
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

    /// What to remark on how the graph was read.
    pub(super) fn notes(&self) -> Option<String> {
        let (output, ignored) = (self.output, self.ignored);
        (ignored > 0).then(|| {
            format!("of {} outputs '{output}', the only one of floats, is read", ignored + 1)
        })
    }

    /// A note on the stored tensors that the output does not depend on, where there are any.
    pub(super) fn unused(&self) -> Option<String> {
        const SHOWN: usize = 40;
        let mut used = HashSet::from([self.output]);
        let mut open = vec![self.output];
        while let Some(value) = open.pop() {
            let inputs = self.producer(value).map_or(&[][..], |node| &node.input[..]);
            open.extend(inputs.iter().map(String::as_str).filter(|input| used.insert(input)));
        }
        let stored = self.proto.initializer.iter().map(|tensor| tensor.name.as_str());
        let mut unused = stored.filter(|name| !used.contains(name));
        let first: String = unused.next()?.chars().take(SHOWN).collect();
        let count = 1 + unused.count();
        let first = first.escape_debug();
        Some(format!("left out: {count} tensors that no score depends on, such as '{first}'"))
    }

    /// The constant `value` stands for.
    pub(super) fn constant(&self, value: &str) -> Option<&Constant<'a>> {
        self.constants.get(value)
    }

    /// The numbers of a constant.
    pub(super) fn decode(&self, constant: &Constant<'a>) -> Result<Tensor, ModelError> {
        match constant {
            Constant::Stated { name, source } => {
                // A size that overflows is refused by the decoder itself, in its own words.
                if let Some(count) = element_count(&source.dims(name)?) {
                    self.spend(count)?;
                }
                source.decode(name)
            }
            Constant::Computed(computed) => {
                let operand = |name: &str| match self.constant(name) {
                    Some(constant) => self.decode(constant),
                    None => Err(malformed(format!("value '{name}'"), "a constant", "none")),
                };
                computed.evaluate(|numbers| self.spend(numbers), operand)
            }
        }
    }

    /// The one number `value` stands for, where it is a constant scalar.
    pub(super) fn scalar(&self, value: &str) -> Option<f64> {
        let constant = self.constant(value)?;
        let dims = constant.dims().ok()?;
        let is_scalar = matches!(dims[..], [] | [1]);
        is_scalar.then(|| self.decode(constant).ok()?.scalar()).flatten()
    }

    /// The one number of a constant that has no other, whatever its axes.
    pub(super) fn only_number(&self, value: &str) -> Option<f64> {
        let constant = self.constant(value)?;
        let is_one = element_count(&constant.dims().ok()?) == Some(1);
        is_one.then(|| self.decode(constant).ok()?.values.first().copied()).flatten()
    }

    /// The integers of a constant shape or list of axes.
    pub(super) fn integers(&self, value: &str) -> Option<Result<Vec<i64>, ModelError>> {
        let constant = self.constant(value)?;
        let at = || format!("tensor '{value}'");
        let integers = || {
            let outline = constant.outline()?;
            match (element_count(&outline.dims), constant) {
                (Some(0..=AXES_MAX), Constant::Stated { name, source }) => source.integers(name),
                (Some(0..=AXES_MAX), Constant::Computed(_)) if !outline.is_float => {
                    // Integers are only passed on, so that a size is as exact as it needs to be.
                    let numbers = self.decode(constant)?.values;
                    Ok(numbers.into_iter().map(|number| number as i64).collect())
                }
                (Some(0..=AXES_MAX), _) => Err(malformed(at(), "int64", "floats")),
                _ => Err(malformed(at(), "at most 16 axes", "more")),
            }
        };
        Some(integers())
    }

    /// Lets the graph be worked through once more.
    pub(super) fn start_again(&self) {
        self.budget.set(self.budget_start);
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
    let import =
        model.opset_import.iter().find(standard).ok_or_else(|| no_standard_operators(model))?;
    if OPSETS.contains(&import.version) {
        return Ok(import.version);
    }
    Err(ModelError::unsupported(
        "opset_import",
        format!("opset {}", import.version),
        format!("opsets {} to {} are read; export with one of them", OPSETS.start(), OPSETS.end()),
    ))
}

fn no_standard_operators(model: &ModelProto) -> ModelError {
    match model.opset_import.first() {
        None => malformed("opset_import", "the version of ONNX's operators", "none"),
        Some(import) => ModelError::unsupported(
            "opset_import",
            &import.domain,
            "only ONNX's own operators are known, and the model does not use them",
        ),
    }
}

fn only<'a>(
    mut values: impl Iterator<Item = &'a ValueInfo>,
    what: &str,
) -> Result<&'a ValueInfo, ModelError> {
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(ModelError::unsupported("graph", what, "there is none to run")),
        (Some(first), Some(second)) => Err(ModelError::unsupported(
            &second.name,
            what,
            format!("one {what} is read, and '{}' is there before it", first.name),
        )),
    }
}

/// The output that holds scores: the only one, or, beside labels and masks, the only one of floats.
fn scores_of(graph: &GraphProto) -> Result<&ValueInfo, ModelError> {
    let is_of_floats = |output: &&ValueInfo| match &output.r#type {
        None => true,
        Some(kind) => kind
            .tensor_type
            .as_ref()
            .is_some_and(|tensor| tensor.elem_type == 0 || is_float(tensor.elem_type)),
    };
    match &graph.output[..] {
        [] | [_] => only(graph.output.iter(), "output"),
        outputs => {
            let mut floats = outputs.iter().filter(is_of_floats).peekable();
            if floats.peek().is_none() {
                let reason = "none of the outputs holds floats; export the scores as a tensor";
                return Err(ModelError::unsupported(&outputs[0].name, "output", reason));
            }
            only(floats, "output")
        }
    }
}

/// Initializers, `Constant` nodes, and what nodes compute from these. Nodes stand in the order they
/// are computed in; one that stands before its inputs is no constant here.
fn constants_of(graph: &GraphProto) -> HashMap<&str, Constant<'_>> {
    let stated = |name, source| (name, Constant::Stated { name, source });
    let tensors = graph.initializer.iter();
    let mut constants: HashMap<&str, Constant<'_>> =
        tensors.map(|tensor| stated(tensor.name.as_str(), Source::Tensor(tensor))).collect();
    for node in graph.node.iter().filter(|node| is_standard(node)) {
        let [output] = &node.output[..] else { continue };
        if node.op_type == "Constant" {
            constants.extend(constant_source(node).map(|source| stated(output.as_str(), source)));
        } else if let Some(computed) =
            fold::outline(node, |name| constants.get(name)?.outline().ok())
        {
            constants.insert(output, Constant::Computed(computed));
        }
    }
    constants
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
