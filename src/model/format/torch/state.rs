//! What is pickled, to tensors by name.

use std::collections::HashSet;

use super::malformed;
use super::storage::{Gatherer, Storages};
use crate::model::format::named::{Kind, NamedTensor, NamedTensors, says_adapter};
use crate::model::format::pickle::{Id, Pickle, Value};
use crate::model::{Format, Layout, LoadOptions, Model, ModelError};

/// Where checkpoints hold the state_dict of their model.
const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// The tensors of a state_dict, and a note where it is part of a checkpoint.
pub(super) struct State {
    pub(super) tensors: NamedTensors,
    note: Option<String>,
}

impl State {
    /// The model that the tensors and the caller's options are.
    pub(super) fn model(
        self,
        options: &LoadOptions,
        fallback_name: &str,
    ) -> Result<Model, ModelError> {
        let model = self.tensors.model(options, fallback_name)?;
        Ok(match self.note {
            Some(note) => model.with_note(note),
            None => model,
        })
    }
}

/// What a pickled state_dict or checkpoint holds.
pub(super) fn read(pickle: &Pickle<'_>, storages: &mut dyn Storages) -> Result<State, ModelError> {
    let (entries, key) = state_dict(pickle)?;
    let mut gatherer = Gatherer::new(storages);
    let mut names = HashSet::new();
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let Some(name) = pickle.text(*name) else {
            let got = pickle.get(*name).kind();
            return Err(malformed("state_dict", "names as keys", got));
        };
        if !names.insert(name) {
            return Err(malformed("state_dict", "each name once", name.escape_debug()));
        }
        tensors.push(tensor(pickle, name, *value, &mut gatherer)?);
    }
    let tensors = NamedTensors {
        format: Format::TorchStateDict,
        tensors,
        is_registered: true,
        layout: Some(Layout::OutputsFirst),
    };
    let note = key.map(|key| beside(pickle, key)).transpose()?;
    Ok(State { tensors, note })
}

/// A note on which part of a checkpoint is its model, and on what else there is.
///
/// # Errors
/// [`ModelError::Unsupported`] where something else changes the model's layers.
fn beside(pickle: &Pickle<'_>, model: &str) -> Result<String, ModelError> {
    let mut note = format!("a checkpoint; the model is what '{model}' holds");
    let Value::Dict(entries) = pickle.get(pickle.root()) else { return Ok(note) };
    let is_other = |(key, _): &&(Id, Id)| pickle.text(*key) != Some(model);
    let others: Vec<(Id, Id)> = entries.iter().filter(is_other).copied().collect();
    let mut networks = others.clone();
    networks.retain(|(_, value)| match pickle.get(*value) {
        Value::Dict(entries) => holds_tensors(pickle, entries),
        _ => false,
    });
    for (key, value) in &networks {
        let Value::Dict(entries) = pickle.get(*value) else { continue };
        let names = entries.iter().map(|(name, _)| name).chain([key]);
        if let Some(name) =
            names.filter_map(|name| pickle.text(*name)).find(|name| says_adapter(name))
        {
            let reason = "it belongs to an adapter of the model's layers; merge it before saving";
            return Err(ModelError::unsupported(name.escape_debug(), "tensor", reason));
        }
    }
    if !others.is_empty() {
        note += &format!("; left out: {}", keys_of(pickle, &others));
    }
    if !networks.is_empty() {
        note += &format!("; tensors by name are in {}, too", keys_of(pickle, &networks));
    }
    Ok(note)
}

type Entries = [(Id, Id)];

/// The entries of the state_dict, and the key that a checkpoint holds it under.
fn state_dict<'p>(
    pickle: &'p Pickle<'_>,
) -> Result<(&'p Entries, Option<&'static str>), ModelError> {
    let Value::Dict(entries) = pickle.get(pickle.root()) else {
        let got = pickle.get(pickle.root()).kind();
        return Err(malformed("pickle", "a state_dict, a dictionary of tensors", got));
    };
    if holds_tensors(pickle, entries) {
        return Ok((entries, None));
    }
    let held = |key: &&'static str| match pickle.get(pickle.entry(pickle.root(), key)?) {
        Value::Dict(entries) if holds_tensors(pickle, entries) => Some((&entries[..], Some(*key))),
        _ => None,
    };
    let found: Vec<_> = KEYS.iter().filter_map(held).collect();
    match &found[..] {
        [one] => Ok(*one),
        [] => {
            let expected = format!("tensors by name, or a state_dict under {}", KEYS.join(", "));
            let got = format!("a dictionary of {}", keys_of(pickle, entries));
            Err(malformed("pickle", expected, got))
        }
        several => {
            let keys: Vec<_> = several.iter().filter_map(|(_, key)| *key).collect();
            Err(ModelError::undeclared(
                Format::TorchStateDict,
                format!("which of {} is its model", keys.join(", ")),
                "save the model's state_dict alone",
            ))
        }
    }
}

fn holds_tensors(pickle: &Pickle<'_>, entries: &Entries) -> bool {
    entries.iter().any(|(_, value)| matches!(pickle.get(*value), Value::Tensor(_)))
}

/// The first keys of a dictionary, for errors and notes.
fn keys_of(pickle: &Pickle<'_>, entries: &Entries) -> String {
    let key = |(key, _): &(Id, Id)| match pickle.get(*key) {
        Value::Text(text) => {
            let start: String = text.chars().take(40).collect();
            format!("'{}'", start.escape_debug())
        }
        other => other.kind(),
    };
    let keys: Vec<String> = entries.iter().take(8).map(key).collect();
    let more = if entries.len() > keys.len() { ", .." } else { "" };
    format!("{}{more}", keys.join(", "))
}

fn tensor(
    pickle: &Pickle<'_>,
    name: &str,
    value: Id,
    gatherer: &mut Gatherer<'_>,
) -> Result<NamedTensor, ModelError> {
    let Value::Tensor(tensor) = pickle.get(value) else {
        let at = format!("entry '{}'", name.escape_debug());
        return Err(malformed(at, "a tensor", pickle.get(value).kind()));
    };
    let of = tensor.storage.kind;
    // Counters and the like are never read.
    let (kind, bytes) = match of.element {
        Some(element) => (Kind::Number(element), gatherer.gather(name, tensor)?),
        None => (Kind::Other(of.name.to_owned()), Default::default()),
    };
    Ok(NamedTensor { name: name.to_owned(), dims: tensor.shape.clone(), kind, bytes })
}
