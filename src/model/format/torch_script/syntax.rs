//! What the code consists of, once it is read.

use std::collections::HashMap;
use std::rc::Rc;

/// What a file defines, by name.
pub(super) type File = HashMap<Rc<str>, Item>;

/// What a file of code defines.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A class, by its methods: its attributes stand in the pickle.
    Class(Rc<HashMap<Rc<str>, Rc<Function>>>),
    Function(Rc<Function>),
}

#[derive(Debug)]
pub(super) struct Function {
    /// The file it stands in, for errors to point at.
    pub(super) file: Rc<str>,
    pub(super) name: Rc<str>,
    pub(super) line: u32,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Vec<Statement>,
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: Rc<str>,
    /// Whether its type is that of a tensor and nothing else.
    pub(super) is_tensor: bool,
    pub(super) default: Option<Expr>,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) line: u32,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// `name = value`
    Assign(Rc<str>, Expr),
    /// `first, second, = value`
    Unpack(Vec<Rc<str>>, Expr),
    /// `value`
    Evaluate(Expr),
    If(Box<If>),
    Return(Expr),
    /// What says nothing: `pass`, and what a class states of its attributes.
    Nothing,
    /// What cannot be run, by its word: `while`. It may well stand where nobody comes by.
    Refused(&'static str),
}

#[derive(Debug)]
pub(super) struct If {
    pub(super) condition: Expr,
    pub(super) then: Vec<Statement>,
    pub(super) otherwise: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    Name(Rc<str>),
    /// `of.name`
    Attribute(Box<Expr>, Rc<str>),
    /// `of[index]`
    Item(Box<(Expr, Expr)>),
    Call(Box<Call>),
    /// A list or a tuple.
    List(Vec<Expr>),
    /// A dictionary, which no step of a chain takes or makes.
    Dict,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) line: u32,
    pub(super) callee: Expr,
    pub(super) arguments: Vec<Expr>,
    pub(super) keywords: Vec<(Rc<str>, Expr)>,
}
