//! From the signature's output back to its input, every node in the language of the one matcher.
//!
//! A value is worked out once all that it is computed from is, on a stack of our own, so that no
//! file decides how deep calls of functions nest here.

use std::collections::HashMap;
use std::rc::Rc;

use super::body::{Body, Node, Source};
use super::calls::{Calls, Place, TOP};
use super::constant::{self, Constant};
use super::draft::{Draft, Value, refuse};
use super::limits::Decoder;
use super::variables::Variables;
use super::{malformed, ops};
use crate::model::format::graph::Builder;
use crate::model::{Model, ModelError};

/// The most nodes that lead to the output.
const NODES_MAX: usize = 1 << 16;
/// The most inputs a node may have.
const INPUTS_MAX: usize = 16;
enum State {
    /// What it is computed from is being worked out.
    Open,
    Known(Value),
}

/// A graph on its way to the matcher.
pub(super) struct Lowering<'f> {
    draft: Draft,
    calls: Calls,
    variables: Variables<'f>,
    states: HashMap<Place, State>,
    /// Constants of the file, by their graph and node.
    constants: HashMap<(*const Body, usize), Rc<Constant>>,
    /// TensorFlow's operators by the names of their nodes, for errors.
    operators: HashMap<String, String>,
}

impl<'f> Lowering<'f> {
    pub(super) fn new(
        builder: Builder,
        decoder: Decoder,
        calls: Calls,
        variables: Variables<'f>,
    ) -> Lowering<'f> {
        Lowering {
            draft: Draft::new(builder, decoder),
            calls,
            variables,
            states: HashMap::new(),
            constants: HashMap::new(),
            operators: HashMap::new(),
        }
    }

    /// The model that computes the top graph's tensor `output` from its tensor `input`.
    pub(super) fn model(mut self, input: &str, output: &str) -> Result<Model, ModelError> {
        let input = self.resolve(TOP, self.calls.body(TOP).source(input))?;
        self.states.insert(input, State::Known(Value::Computed(self.draft.builder.input())));
        let output = self.resolve(TOP, self.calls.body(TOP).source(output))?;
        let output = match self.value(output)? {
            Value::Computed(value) => value,
            Value::Constant(_) | Value::Variable(_) => {
                return Err(malformed("output", "a value computed from the input", "a constant"));
            }
        };
        let operators = self.operators;
        self.draft.builder.finish(&output).map_err(|error| in_tensorflow(error, &operators))
    }

    fn resolve(&mut self, scope: usize, source: Source) -> Result<Place, ModelError> {
        self.calls.resolve(&mut self.draft.decoder, &self.variables, scope, source)
    }

    /// Works out a place, and all that it is computed from before it.
    fn value(&mut self, output: Place) -> Result<Value, ModelError> {
        let mut stack = vec![output];
        while let Some(place) = stack.pop() {
            if matches!(self.states.get(&place), Some(State::Known(_))) {
                continue;
            }
            let body = self.calls.body(place.scope);
            let node = &body.nodes[place.node];
            let operands = self.operands(place, node)?;
            self.states.insert(place, State::Open);
            let mut missing = Vec::new();
            for operand in &operands {
                match self.states.get(operand) {
                    Some(State::Known(_)) => {}
                    Some(State::Open) => {
                        let at = format!("node '{}'", node.name);
                        return Err(malformed(at, "a graph without cycles", "a cycle"));
                    }
                    None => missing.push(*operand),
                }
            }
            if missing.is_empty() {
                let known = operands.iter().filter_map(|operand| self.known(operand)).collect();
                let value = self.compute(place, node, known)?;
                self.states.insert(place, State::Known(value));
            } else {
                stack.push(place);
                // The first operand is next, so that errors speak of what runs first.
                stack.extend(missing.into_iter().rev());
            }
        }
        self.known(&output).ok_or_else(|| malformed("output", "a value", "none"))
    }

    fn known(&self, place: &Place) -> Option<Value> {
        match self.states.get(place) {
            Some(State::Known(value)) => Some(value.clone()),
            _ => None,
        }
    }

    /// The places that a node's inputs come from.
    fn operands(&mut self, place: Place, node: &Node) -> Result<Vec<Place>, ModelError> {
        if self.states.len() > NODES_MAX {
            let what = "nodes that lead to the output";
            return Err(ModelError::too_large(what, NODES_MAX, self.states.len()));
        }
        if node.inputs.len() > INPUTS_MAX {
            let what = format!("inputs of node '{}'", node.name);
            return Err(ModelError::too_large(what, INPUTS_MAX, node.inputs.len()));
        }
        if place.output != 0 {
            let reason = format!("its extra output {} cannot be run", place.output);
            return Err(refuse(node, reason));
        }
        node.inputs.iter().map(|source| self.resolve(place.scope, *source)).collect()
    }

    fn compute(
        &mut self,
        place: Place,
        node: &Node,
        operands: Vec<Value>,
    ) -> Result<Value, ModelError> {
        match (node.op.as_str(), &operands[..]) {
            ("Const", _) => self.constant(place, node),
            ("VarHandleOp", _) => self.variable(place, node),
            ("ReadVariableOp", [Value::Variable(constant)]) => {
                Ok(Value::Constant(constant.clone()))
            }
            (_, operands) => {
                self.operators.insert(node.name.clone(), node.op.clone());
                ops::lower(&mut self.draft, node, operands)
            }
        }
    }

    /// A constant of the file, which is the same one in every call of its function.
    fn constant(&mut self, place: Place, node: &Node) -> Result<Value, ModelError> {
        let key = (Rc::as_ptr(&self.calls.body(place.scope)), place.node);
        if let Some(constant) = self.constants.get(&key) {
            return Ok(Value::Constant(constant.clone()));
        }
        let value = node.attribute(&mut self.draft.decoder, "value")?;
        let at = format!("node '{}'", node.name);
        let tensor = value.and_then(|value| value.tensor);
        let tensor = tensor.ok_or_else(|| malformed(&at, "a constant", "none"))?;
        let is_stated = !tensor.tensor_content.is_empty();
        let stored = constant::decode(&at, tensor, |count| match is_stated {
            true => Ok(()),
            false => self.draft.allow(count),
        })?;
        let constant = self.draft.keep(&node.name, stored);
        self.constants.insert(key, constant.clone());
        Ok(Value::Constant(constant))
    }

    /// The variable that a handle stands for: the object that is captured in its place, or else the
    /// only one of its name.
    fn variable(&mut self, place: Place, node: &Node) -> Result<Value, ModelError> {
        let captured = self.calls.handles.get(&place.node).filter(|_| place.scope == TOP);
        let object = match captured {
            Some(object) => *object,
            None => {
                let name =
                    node.attribute(&mut self.draft.decoder, "shared_name")?.unwrap_or_default().s;
                let name = String::from_utf8_lossy(&name);
                let reason =
                    || format!("no one variable is called '{name}'; is it TensorFlow 1's?");
                self.variables.named(&name).ok_or_else(|| refuse(node, reason()))?
            }
        };
        let stored = self.variables.floats(&mut self.draft.decoder, object)?;
        let shape = node.attribute(&mut self.draft.decoder, "shape")?.unwrap_or_default().shape;
        if let Some(shape) = shape.filter(|shape| !shape.unknown_rank) {
            let stated: Vec<i64> = shape.dim.iter().map(|dim| dim.size).collect();
            let fits =
                |(stated, dim): (&i64, &usize)| *stated < 0 || usize::try_from(*stated) == Ok(*dim);
            let is_same =
                stated.len() == stored.dims.len() && stated.iter().zip(&stored.dims).all(fits);
            if !is_same {
                let at = format!("variable '{}'", node.name);
                return Err(malformed(
                    at,
                    format!("shape {stated:?}"),
                    format!("{:?}", stored.dims),
                ));
            }
        }
        Ok(Value::Variable(self.draft.keep(&node.name, stored)))
    }
}

/// The matcher's refusal in the words of TensorFlow.
fn in_tensorflow(error: ModelError, operators: &HashMap<String, String>) -> ModelError {
    match error {
        ModelError::Unsupported { node, op, reason } => {
            let op = operators.get(&node).cloned().unwrap_or(op);
            ModelError::Unsupported { node, op, reason }
        }
        other => other,
    }
}
