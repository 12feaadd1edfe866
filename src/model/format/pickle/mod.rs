//! Python pickles read as data: nothing in them is ever executed.
//!
//! A pickle is a program for a machine with a stack. This one knows what plain data, state_dicts
//! and checkpoints need; every other instruction is refused by its name, and so is every class or
//! function outside a short list, by its own. No name is looked up anywhere: a function of the list
//! is a case of an enum, and calling it makes a [`Value`].
//!
//! ```text
//! opcode   instructions by name         globals  classes and functions that are known
//! heap     values, and their limits     calls    what calling one of them makes
//! machine  the stack, the memo, the loop
//! ```
//!
//! [`Reader::read`] gives a [`Pickle`]: values by [`Id`], and the root's. What a pickle holds twice
//! is one value with one id, so that reading takes time and memory in proportion to its bytes.
//! Whoever walks it as a tree has to bound that walk: values may be shared a millionfold, and a
//! list may hold itself.
//!
//! * Text is `Value::Text`, whether Python 2 or 3 wrote it. Sets are lists, bytearrays are bytes.
//! * `OrderedDict`, `defaultdict` and `Counter` are `Value::Dict`, entries in their order, a key
//!   maybe more than once (the last counts). What `BUILD` adds to one, such as a state_dict's
//!   `_metadata`, is left out.
//! * A storage, which a pickle names by a persistent id, is `Value::Storage`. A tensor is
//!   `Value::Tensor`, wrapped as a parameter or not, and points into a storage by element; its
//!   numbers are stated by the pickle and checked by nobody yet.
//! * With [`Reader::objects`], instances of TorchScript's classes, whose names begin with
//!   `__torch__.`, are `Value::Object`. Without it they are refused like any class.

mod calls;
mod globals;
mod heap;
mod machine;
mod opcode;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use super::numbers::Element;
use crate::model::{Format, ModelError};

/// How a pickle is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'n> {
    /// The format that errors name.
    pub(super) format: Format,
    /// The pickle's name for errors: a member of an archive, or a part of a file.
    pub(super) source: &'n str,
    /// Whether instances of TorchScript's classes are read.
    pub(super) objects: bool,
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
    length: usize,
}

/// The place of a value in its pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// A value, which borrows its text and bytes from the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond an `i64`: its two's complement, little-endian.
    Long(&'a [u8]),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Storage(Box<StorageRef<'a>>),
    Tensor(Box<TensorRef<'a>>),
    /// A class, function or constant that was named and not called.
    Global(Global),
    /// An instance: of a TorchScript class, with the attributes it was built from, or of a class
    /// that no model depends on (`torch.device`), with the arguments it was called with.
    Object {
        class: Rc<str>,
        state: Option<Id>,
    },
}

/// A storage, by the key it is stored under.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StorageRef<'a> {
    pub(super) kind: &'static StorageType,
    pub(super) key: &'a str,
    pub(super) elements: usize,
}

/// A tensor: a view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorRef<'a> {
    pub(super) storage: StorageRef<'a>,
    /// The first element, counted in elements of the storage.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// What a step along each axis is, in elements; as many as there are axes.
    pub(super) stride: Vec<usize>,
}

/// What the elements of a storage are.
#[derive(Debug, PartialEq)]
pub(super) struct StorageType {
    /// PyTorch's name of the element type: `float32`.
    pub(super) name: &'static str,
    /// Bytes of one element.
    pub(super) bytes: usize,
    /// The element, where it is one that weights are read from.
    pub(super) element: Option<Element>,
}

/// A class, function or constant that a pickle may name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Global {
    /// A function or class, and what calling it makes.
    Call(Call),
    /// A class of storages.
    Storage(&'static StorageType),
    /// A constant, such as `torch.float32`.
    Constant(&'static str),
    /// A TorchScript class, by its qualified name.
    Class(Rc<str>),
}

/// What calling a known function or class makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A dictionary: an empty one, or one of the pairs in a list.
    Dict,
    /// The only argument: `torch.Size`, `set`, typed lists of TorchScript.
    Same,
    /// The first of several arguments: a parameter's tensor, a list with its type's name.
    First,
    /// A tensor.
    Tensor,
    /// An instance that no model depends on, by its class's name.
    Inert(&'static str),
}

impl Reader<'_> {
    /// Reads the pickle that the bytes begin with; what comes after it is left alone.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] where the bytes are no sound pickle, [`ModelError::Unsupported`]
    /// where it needs an instruction, class or function that is not known, and
    /// [`ModelError::TooLarge`] where it holds more than any model's does.
    pub(super) fn read<'a>(&self, bytes: &'a [u8]) -> Result<Pickle<'a>, ModelError> {
        machine::run(self, bytes)
    }
}

impl<'a> Pickle<'a> {
    /// The whole of what was pickled.
    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// The value of an id, which this pickle gave.
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    /// The bytes that the pickle takes up.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Every storage that the pickle names, in any order, as often as it is named.
    pub(super) fn storages(&self) -> impl Iterator<Item = &StorageRef<'a>> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// The text of an id, where it is text.
    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What a dictionary holds under a text.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.get(dict) else { return None };
        let is_key = |(id, _): &&(Id, Id)| self.text(*id) == Some(key);
        entries.iter().rev().find(is_key).map(|(_, value)| *value)
    }
}

impl Value<'_> {
    /// What the value is, in a word or two, for errors.
    pub(super) fn kind(&self) -> String {
        let word = match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) | Value::Long(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dictionary",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
            Value::Global(Global::Class(name)) => return format!("the class {name}"),
            Value::Global(_) => "a class or function",
            Value::Object { class, .. } => return format!("an instance of {class}"),
        };
        word.to_owned()
    }
}
