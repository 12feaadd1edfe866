//! The order of a functional model's layers: from its output to its input, one layer each.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::model::{Format, ModelError};

/// A layer of one model before it has its place in the chain.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) class: String,
    /// Its path in an archive: classes and counters.
    pub(super) path: String,
    /// What it is applied to, in a functional model.
    pub(super) inbound: Option<Value>,
    /// All else that the configuration says of it.
    pub(super) object: Map<String, Value>,
}

/// The layers of the model `name` in the order of computation, where they are a chain.
pub(super) fn chain(
    entries: Vec<Entry>,
    config: &Map<String, Value>,
    name: &str,
    format: Format,
) -> Result<Vec<Entry>, ModelError> {
    let malformed = |what: &str, expected: &str, got: &str| {
        ModelError::malformed(format, format!("{what} of '{name}'"), expected, got)
    };
    let only = |what: &str| {
        let ends = ends(config.get(what));
        match ends[..] {
            [end] => Ok(end.to_owned()),
            [] => Err(malformed(what, "a layer", "none")),
            _ => {
                let reason = format!("it has {} {what}; only a chain can be run", ends.len());
                Err(ModelError::unsupported(name, "Functional", reason))
            }
        }
    };
    let (first, mut next) = (only("input_layers")?, only("output_layers")?);
    let total = entries.len();
    let mut left: HashMap<String, Entry> = HashMap::with_capacity(total);
    for entry in entries {
        if let Some(twice) = left.insert(entry.name.clone(), entry) {
            return Err(malformed("layers", "names that differ", &twice.name));
        }
    }
    let mut chain = Vec::with_capacity(total);
    loop {
        let Some(entry) = left.remove(&next) else {
            let got = shown(&next);
            return Err(malformed("inbound_nodes", "a layer that is there, once", &got));
        };
        let before = before(&entry)?;
        let name = entry.name.clone();
        chain.push(entry);
        match before {
            Some(before) => next = before,
            None if name == first => break,
            None => {
                let got = shown(&first);
                return Err(malformed("input_layers", &name, &got));
            }
        }
    }
    if let Some(aside) = left.values().min_by_key(|entry| &entry.path) {
        let reason = "it is no part of the chain from input to output; only a chain can be run";
        return Err(ModelError::unsupported(&aside.name, &aside.class, reason));
    }
    chain.reverse();
    Ok(chain)
}

/// The beginning of a text from a file, as an error shows it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// The names of input or output layers: `["name", 0, 0]`, or a list of such.
fn ends(ends: Option<&Value>) -> Vec<&str> {
    let Some(Value::Array(ends)) = ends else { return Vec::new() };
    match ends.first() {
        Some(Value::String(name)) => vec![name],
        _ => ends.iter().filter_map(|end| end.as_array()?.first()?.as_str()).collect(),
    }
}

/// The layer that a layer is applied to; `None` for an input.
fn before(entry: &Entry) -> Result<Option<String>, ModelError> {
    let refuse = |reason: &str| Err(ModelError::unsupported(&entry.name, &entry.class, reason));
    let nodes = match &entry.inbound {
        Some(Value::Array(nodes)) => nodes.as_slice(),
        _ => &[],
    };
    let node = match nodes {
        [] => return Ok(None),
        [node] => node,
        _ => return refuse("it is applied more than once; only a chain can be run"),
    };
    let mut tensors = Vec::new();
    let mut switches = Vec::new();
    match node {
        // Keras 3: tensors among positional arguments, switches by name.
        Value::Object(node) => {
            node.get("args").into_iter().for_each(|args| gather(args, &mut tensors));
            switches.extend(node.get("kwargs"));
        }
        // Keras 2: `[name, node, tensor, switches]` for each tensor.
        Value::Array(node) => {
            for tensor in node {
                let Some(tensor) = tensor.as_array() else { continue };
                tensors.extend(Some((tensor.first(), tensor.get(2))));
                switches.extend(tensor.get(3));
            }
        }
        _ => {}
    }
    let mut switches = switches.into_iter().filter_map(Value::as_object).flatten();
    if let Some((switch, _)) = switches.find(|(_, value)| !is_off(value)) {
        let switch = shown(switch);
        let reason = format!("it is applied with '{switch}', which changes what it computes");
        return refuse(&reason);
    }
    match tensors[..] {
        [(Some(Value::String(before)), tensor)] if tensor.and_then(Value::as_u64) == Some(0) => {
            Ok(Some(before.clone()))
        }
        [_, _, ..] => refuse("it joins two computed values; only a chain of layers can be run"),
        _ => refuse("what it is applied to is no layer's only output"),
    }
}

fn is_off(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
}

/// The layers and output numbers of all tensors in an argument of Keras 3.
fn gather<'a>(argument: &'a Value, tensors: &mut Vec<(Option<&'a Value>, Option<&'a Value>)>) {
    match argument {
        Value::Array(values) => values.iter().for_each(|value| gather(value, tensors)),
        Value::Object(object) => {
            let history = object.get("config").and_then(|config| config.get("keras_history"));
            if let Some(history) = history.and_then(Value::as_array) {
                tensors.push((history.first(), history.get(2)));
            }
        }
        _ => {}
    }
}
