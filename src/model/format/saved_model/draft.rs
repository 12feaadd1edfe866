//! The graph in the making, and what is counted while it is made.

use std::collections::HashSet;
use std::fmt::Display;
use std::rc::Rc;

use super::body::Node;
use super::bundle::Stored;
use super::constant::Constant;
use super::limits::Decoder;
use crate::model::ModelError;
use crate::model::format::graph::{Builder, Numbers};

/// The numbers that constants may repeat, however few are stored.
const REPEATED_MIN: usize = 1 << 16;
/// How many numbers constants may repeat for each that is stored.
const REPEATED_PER_NUMBER: usize = 8;

/// What a place holds.
#[derive(Clone)]
pub(super) enum Value {
    /// A value of the graph that is built.
    Computed(String),
    Constant(Rc<Constant>),
    /// What holds a constant until it is read.
    Variable(Rc<Constant>),
}

/// What the nodes are told to.
pub(super) struct Draft {
    pub(super) builder: Builder,
    pub(super) decoder: Decoder,
    /// Names of constants that are taken.
    names: HashSet<String>,
    /// Numbers that constants may still repeat.
    repeatable: usize,
}

impl Draft {
    pub(super) fn new(builder: Builder, decoder: Decoder) -> Draft {
        Draft { builder, decoder, names: HashSet::new(), repeatable: REPEATED_MIN }
    }

    /// Takes numbers from the bound on what constants may repeat.
    pub(super) fn allow(&mut self, numbers: usize) -> Result<(), ModelError> {
        let left = self.repeatable.checked_sub(numbers);
        self.repeatable = left.ok_or_else(|| {
            ModelError::too_large("numbers that constants repeat", self.repeatable, numbers)
        })?;
        Ok(())
    }

    /// A constant of this node, under a name that no other constant has.
    pub(super) fn keep(&mut self, name: &str, stored: Stored) -> Rc<Constant> {
        if let Numbers::Stored(element, bytes) = &stored.numbers {
            self.repeatable += bytes.len() / element.bytes() * REPEATED_PER_NUMBER;
        }
        let mut unique = name.to_owned();
        if self.names.contains(name) {
            unique = format!("{name} ({})", self.names.len());
        }
        self.names.insert(unique.clone());
        Rc::new(Constant::new(unique, stored.dims, stored.numbers))
    }
}

/// Refuses a node by TensorFlow's names.
pub(super) fn refuse(node: &Node, reason: impl Display) -> ModelError {
    ModelError::unsupported(&node.name, &node.op, reason)
}
