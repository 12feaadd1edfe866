//! Values across calls: every call is a scope of its own, and a value is an output of a node in a
//! scope.

use std::collections::HashMap;
use std::rc::Rc;

use super::body::{Body, Library, Node, Source};
use super::limits::Decoder;
use super::malformed;
use super::variables::Variables;
use crate::model::ModelError;

/// How deep calls may nest.
const DEPTH_MAX: usize = 32;
/// The most calls that are followed: one a layer, and some more.
const CALLS_MAX: usize = 1 << 12;
/// The most steps from value to value through calls and what leaves values as they are.
const STEPS_MAX: usize = 1 << 20;

/// The scope of the top graph.
pub(super) const TOP: usize = 0;

/// An output of a node in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) scope: usize,
    pub(super) node: usize,
    pub(super) output: usize,
}

struct Scope {
    body: Rc<Body>,
    function: String,
    /// The call that the scope is of: its scope and its node.
    caller: Option<(usize, usize)>,
    depth: usize,
}

/// All calls that have been followed.
pub(super) struct Calls {
    library: Library,
    scopes: Vec<Scope>,
    by_call: HashMap<(usize, usize), usize>,
    /// The objects that handles of the top graph stand for, by node.
    pub(super) handles: HashMap<usize, i32>,
    steps: usize,
}

impl Calls {
    pub(super) fn new(top: Rc<Body>, library: Library) -> Calls {
        let top = Scope { body: top, function: String::new(), caller: None, depth: 0 };
        let (by_call, handles) = (HashMap::new(), HashMap::new());
        Calls { library, scopes: vec![top], by_call, handles, steps: 0 }
    }

    /// The graph that a scope runs.
    pub(super) fn body(&self, scope: usize) -> Rc<Body> {
        self.scopes[scope].body.clone()
    }

    /// Follows a source, as seen from a scope, to the node that computes it.
    pub(super) fn resolve(
        &mut self,
        decoder: &mut Decoder,
        variables: &Variables<'_>,
        mut scope: usize,
        mut source: Source,
    ) -> Result<Place, ModelError> {
        let mut captured = None;
        loop {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                let what = "steps through the SavedModel's functions";
                return Err(ModelError::too_large(what, STEPS_MAX, self.steps));
            }
            let body = self.body(scope);
            match source {
                Source::Nowhere => {
                    let at = self.name_of(scope);
                    return Err(malformed(at, "inputs that are there", "an unknown name"));
                }
                Source::Argument(argument) => {
                    let Scope { caller, function, .. } = &self.scopes[scope];
                    let (from, call) = caller.ok_or_else(|| self.no_caller(scope))?;
                    if from == TOP {
                        captured = variables.captured(function, argument, body.arguments);
                    }
                    source = self.input(from, call, argument)?;
                    scope = from;
                }
                Source::Output { node, index } => {
                    let place = Place { scope, node, output: index };
                    let Some((next, into)) = self.through(decoder, place, &body.nodes[node])?
                    else {
                        return self.arrive(place, captured);
                    };
                    (scope, source) = (into, next);
                }
            }
        }
    }

    /// What a node passes on unchanged, and in which scope.
    fn through(
        &mut self,
        decoder: &mut Decoder,
        place: Place,
        node: &Node,
    ) -> Result<Option<(Source, usize)>, ModelError> {
        let Place { scope, node: index, output } = place;
        Ok(match node.op.as_str() {
            "Identity" | "StopGradient" | "PreventGradient" | "Snapshot" | "EnsureShape" => {
                Some((self.input(scope, index, 0)?, scope))
            }
            "IdentityN" => Some((self.input(scope, index, output)?, scope)),
            "PartitionedCall" | "StatefulPartitionedCall" => {
                let callee = self.enter(decoder, scope, index, node)?;
                let returned = self.scopes[callee].body.outputs.get(output).copied();
                Some((returned.unwrap_or(Source::Nowhere), callee))
            }
            _ => None,
        })
    }

    /// The scope of a call.
    fn enter(
        &mut self,
        decoder: &mut Decoder,
        scope: usize,
        index: usize,
        call: &Node,
    ) -> Result<usize, ModelError> {
        if let Some(callee) = self.by_call.get(&(scope, index)) {
            return Ok(*callee);
        }
        let at = format!("node '{}'", call.name);
        let function = call.attribute(decoder, "f")?.and_then(|attribute| attribute.func);
        let function = function.ok_or_else(|| malformed(&at, "a function to call", "none"))?.name;
        let depth = self.scopes[scope].depth + 1;
        if self.is_running(scope, &function) {
            return Err(malformed(at, "calls without cycles", format!("'{function}' again")));
        }
        if depth > DEPTH_MAX {
            return Err(ModelError::too_large("calls in calls", DEPTH_MAX, depth));
        }
        if self.scopes.len() > CALLS_MAX {
            return Err(ModelError::too_large("calls of functions", CALLS_MAX, self.scopes.len()));
        }
        let body = self.library.function(decoder, &function)?;
        if body.arguments != call.inputs.len() {
            let expected = format!("{} arguments for '{function}'", body.arguments);
            return Err(malformed(at, expected, call.inputs.len()));
        }
        let callee = self.scopes.len();
        self.scopes.push(Scope { body, function, caller: Some((scope, index)), depth });
        self.by_call.insert((scope, index), callee);
        Ok(callee)
    }

    /// Whether a scope, or one that it was called from, is of a function.
    fn is_running(&self, mut scope: usize, function: &str) -> bool {
        // As many hops as calls may nest.
        while let Scope { caller: Some((from, _)), function: running, .. } = &self.scopes[scope] {
            if running == function {
                return true;
            }
            scope = *from;
        }
        false
    }

    /// Where an input of a node comes from.
    pub(super) fn input(
        &self,
        scope: usize,
        node: usize,
        input: usize,
    ) -> Result<Source, ModelError> {
        let node = &self.scopes[scope].body.nodes[node];
        node.inputs.get(input).copied().ok_or_else(|| {
            malformed(format!("node '{}'", node.name), format!("an input {input}"), "none")
        })
    }

    /// Remembers which object a handle stands for.
    fn arrive(&mut self, place: Place, captured: Option<i32>) -> Result<Place, ModelError> {
        if let (TOP, Some(object)) = (place.scope, captured) {
            let known = *self.handles.entry(place.node).or_insert(object);
            if known != object {
                let at = format!("node '{}'", self.scopes[TOP].body.nodes[place.node].name);
                return Err(malformed(at, format!("object {known}"), format!("object {object}")));
            }
        }
        Ok(place)
    }

    fn name_of(&self, scope: usize) -> String {
        match self.scopes[scope].function.as_str() {
            "" => String::from("the top graph"),
            function => format!("function '{function}'"),
        }
    }

    fn no_caller(&self, scope: usize) -> ModelError {
        malformed(self.name_of(scope), "no arguments", "one")
    }
}
