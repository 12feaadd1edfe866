//! What the code computes with.

use std::rc::Rc;

use super::constant::Constant;
use crate::model::format::pickle::Id;

/// How deep lists may nest in lists.
const LISTS_MAX: usize = 8;

/// A value of the code: known, or computed from the input.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// A list or a tuple.
    List(Rc<List>),
    /// A function, class or operator, by its dotted name.
    Path(Rc<str>),
    /// A module, by its place in the pickle.
    Object(Id),
    /// A tensor of the file.
    Constant(Rc<Constant>),
    /// A tensor computed from the input, by its number on the tape.
    Computed(usize),
    /// How many rows there are.
    Batch,
    /// What the file does not decide, in words.
    Unknown(&'static str),
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) values: Vec<Value>,
    depth: usize,
}

impl Value {
    /// A list of these; unknown where it nests deeper than any real one.
    pub(super) fn list(values: Vec<Value>) -> Value {
        let depth_of =
            |value: &Value| if let Value::List(list) = value { list.depth + 1 } else { 1 };
        let depth = values.iter().map(depth_of).max().unwrap_or(0);
        if depth > LISTS_MAX {
            return Value::Unknown("a list of lists");
        }
        Value::List(Rc::new(List { values, depth }))
    }

    pub(super) fn is_tensor(&self) -> bool {
        matches!(self, Value::Constant(_) | Value::Computed(_))
    }

    /// What the value is, in a few words for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a truth",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list or tuple",
            Value::Path(_) => "a function or class",
            Value::Object(_) => "a module",
            Value::Constant(_) => "a constant tensor",
            Value::Computed(_) => "a tensor computed from the input",
            Value::Batch => "the number of rows",
            Value::Unknown(what) => what,
        }
    }
}
