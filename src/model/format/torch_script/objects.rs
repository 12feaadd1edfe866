//! The modules of the archive and their attributes, and the constants of its code.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::constant::Constant;
use super::value::Value;
use crate::model::format::pickle::{Id, Pickle, Value as Pickled};

/// How deep lists of attributes may nest, how many values one attribute may hold, and how long its
/// texts may be: an attribute is made anew each time that the code asks for it.
const DEPTH_MAX: usize = 4;
const VALUES_MAX: usize = 1 << 7;
const TEXT_BYTES_MAX: usize = 1 << 8;

/// A pickle, and the folder that its tensors' storages lie in.
pub(super) struct Objects<'p> {
    pickle: &'p Pickle<'p>,
    folder: &'static str,
    /// Attributes by name, of the states that were asked for.
    states: RefCell<HashMap<Id, HashMap<&'p str, Id>>>,
}

impl<'p> Objects<'p> {
    pub(super) fn new(pickle: &'p Pickle<'p>, folder: &'static str) -> Objects<'p> {
        Objects { pickle, folder, states: RefCell::new(HashMap::new()) }
    }

    pub(super) fn root(&self) -> Value {
        self.value(self.pickle.root())
    }

    /// The class of a module, where it is one of the archive's.
    pub(super) fn class(&self, object: Id) -> Option<&Rc<str>> {
        match self.pickle.get(object) {
            Pickled::Object { class, .. } => Some(class),
            _ => None,
        }
    }

    /// What a module has under this name.
    pub(super) fn attribute(&self, object: Id, name: &str) -> Option<Value> {
        let Pickled::Object { state: Some(state), .. } = self.pickle.get(object) else {
            return None;
        };
        let mut states = self.states.borrow_mut();
        let attributes = states.entry(*state).or_insert_with(|| self.by_name(*state));
        attributes.get(name).map(|id| self.value(*id))
    }

    /// The item of a tuple that is the whole pickle.
    pub(super) fn item(&self, index: usize) -> Option<Value> {
        match self.pickle.get(self.pickle.root()) {
            Pickled::Tuple(items) => items.get(index).map(|id| self.value(*id)),
            _ => None,
        }
    }

    fn by_name(&self, state: Id) -> HashMap<&'p str, Id> {
        let Pickled::Dict(entries) = self.pickle.get(state) else { return HashMap::new() };
        entries.iter().filter_map(|(key, id)| Some((self.pickle.text(*key)?, *id))).collect()
    }

    fn value(&self, id: Id) -> Value {
        let mut left = VALUES_MAX;
        self.value_at(id, 0, &mut left)
    }

    fn value_at(&self, id: Id, depth: usize, left: &mut usize) -> Value {
        match self.pickle.get(id) {
            Pickled::None => Value::None,
            Pickled::Bool(truth) => Value::Bool(*truth),
            Pickled::Int(int) => Value::Int(*int),
            Pickled::Float(float) => Value::Float(*float),
            Pickled::Text(text) if text.len() <= TEXT_BYTES_MAX => Value::Text(Rc::from(*text)),
            Pickled::Tensor(tensor) if tensor.storage.key.len() <= TEXT_BYTES_MAX => {
                Value::Constant(Rc::new(Constant::new(self.folder, tensor)))
            }
            Pickled::Object { .. } => Value::Object(id),
            Pickled::List(ids) | Pickled::Tuple(ids) => {
                if depth == DEPTH_MAX || ids.len() > *left {
                    return Value::Unknown("a list of many values");
                }
                *left -= ids.len();
                Value::list(ids.iter().map(|id| self.value_at(*id, depth + 1, left)).collect())
            }
            Pickled::Dict(_) => Value::Unknown("a dictionary"),
            _ => Value::Unknown("an attribute that no model depends on"),
        }
    }
}
