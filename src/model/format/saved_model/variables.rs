//! From a captured argument to the numbers of its variable, through the model's object graph.

use std::collections::HashMap;

use super::bundle::{Bundle, Stored};
use super::limits::{Decoder, TRACKABLE_OBJECTS};
use super::malformed;
use super::proto::{SavedObjectGraph, SerializedTensor, TrackableObjectGraph};
use crate::model::ModelError;

/// The key under which the checkpoint keeps which object has which key.
const OBJECTS: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";
/// What a variable's own value is called among its attributes.
const VALUE: &str = "VARIABLE_VALUE";

/// The variables of a model, found by number of object or by name.
pub(super) struct Variables<'f> {
    bundle: Bundle<'f>,
    /// The names of the objects that are variables, by number.
    names: Vec<Option<String>>,
    objects: TrackableObjectGraph,
    /// The objects that each function captures, in the order of its last arguments.
    captures: HashMap<String, Vec<i32>>,
}

impl<'f> Variables<'f> {
    pub(super) fn of(
        objects: SavedObjectGraph,
        mut bundle: Bundle<'f>,
        decoder: &mut Decoder,
    ) -> Result<Variables<'f>, ModelError> {
        let graph = bundle.string(decoder, OBJECTS)?;
        let functions = objects.concrete_functions.into_iter();
        let nodes = objects.nodes.into_iter();
        Ok(Variables {
            objects: decoder.decode(graph, &TRACKABLE_OBJECTS, "the checkpoint's objects")?,
            bundle,
            names: nodes.map(|node| node.variable.map(|variable| variable.name)).collect(),
            captures: functions
                .map(|entry| (entry.key, entry.value.unwrap_or_default().bound_inputs))
                .collect(),
        })
    }

    /// The object that a function of `arguments` arguments captures as its `argument`-th, where it
    /// is one.
    pub(super) fn captured(
        &self,
        function: &str,
        argument: usize,
        arguments: usize,
    ) -> Option<i32> {
        let captures = self.captures.get(function)?;
        let first = arguments.checked_sub(captures.len())?;
        captures.get(argument.checked_sub(first)?).copied()
    }

    /// The only variable of a name.
    pub(super) fn named(&self, name: &str) -> Option<i32> {
        let mut found = (0..).zip(&self.names).filter(|(_, known)| known.as_deref() == Some(name));
        match (found.next(), found.next()) {
            (Some((number, _)), None) => Some(number),
            _ => None,
        }
    }

    /// The numbers of an object that is a variable.
    pub(super) fn floats(
        &mut self,
        decoder: &mut Decoder,
        object: i32,
    ) -> Result<Stored, ModelError> {
        let at = format!("object {object}");
        let number = usize::try_from(object).unwrap_or(usize::MAX);
        let name = self.names.get(number).and_then(Option::as_ref);
        let name = name.ok_or_else(|| malformed(&at, "a variable", "none"))?;
        let attributes = self.objects.nodes.get(number).map_or(&[][..], |node| &node.attributes);
        let value = attributes.iter().find(|attribute| attribute.name == VALUE);
        let SerializedTensor { full_name, checkpoint_key, .. } =
            value.ok_or_else(|| malformed(&at, "a value in the checkpoint", "none"))?;
        // Both graphs number the same objects; a name that differs says that they do not.
        if !full_name.is_empty() && !name.is_empty() && full_name != name {
            let got = format!("'{full_name}' in the checkpoint");
            return Err(malformed(at, format!("the variable '{name}'"), got));
        }
        self.bundle.floats(decoder, checkpoint_key)
    }
}
