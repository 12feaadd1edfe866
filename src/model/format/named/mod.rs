//! Tensors by name to a model: what files of weights alone are read by.
//!
//! Such a file says which numbers there are, and in part what they are for; what it does not say is
//! taken from [`LoadOptions`], and never guessed.
//!
//! * Modules, by name: `P.weight` and `P.bias`, or `P/kernel` and `P/bias`, are a layer. With
//!   `P.running_mean` and `P.running_var`, or `P/gamma`, `P/beta`, `P/moving_mean` and
//!   `P/moving_variance`, they are a BatchNorm. An array of two axes under any other name is a
//!   layer without biases.
//! * Order: `LoadOptions::order`; else the order of registration, where the format keeps it and
//!   widths chain in it; else the only order in which widths chain. Without `LoadOptions::order`,
//!   names that speak against one chain are refused.
//! * Activations, and what comes last: `LoadOptions::order`, or `LoadOptions::activation` and
//!   `LoadOptions::ending`.
//! * Layout: `LoadOptions::layout`; else the format's; else the only one that fits.
//! * Epsilon of a BatchNorm: `LoadOptions::epsilon`; else PyTorch's default under PyTorch's names,
//!   Keras's under Keras's, with a note.
//!
//! Every tensor is part of the model, or a note says why it is left out, or the file is refused.
//!
//! ```text
//! words    a name -> its words              pairs  W1 and b1
//! modules  names -> layers, norms, others   clues  names against one chain   copies  two networks
//! chain    the only order in which widths chain
//! order    modules in order, activations between them, layout
//! left     what an order leaves out         build  all of it -> model
//! ```

mod build;
mod chain;
mod clues;
mod copies;
mod left;
mod modules;
mod order;
mod pairs;
mod seen;
#[cfg(test)]
mod tests;
mod words;

use bytes::Bytes;
pub(super) use clues::says_adapter;

use super::numbers::{Element, element_count};
use crate::model::{Format, LAYERS_MAX, Layout, LoadOptions, Model, ModelError};

/// The most tensors that are read: a layer, a norm and a counter per layer.
const TENSORS_MAX: usize = 8 * LAYERS_MAX;

/// The longest name of a tensor, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// How a caller says an order.
const SAY_ORDER: &str = "name the layers in their order, with --order, as order in a model.toml or \
                         in LoadOptions::order";

/// What programs that wrap a model put before all of its names.
const WRAPPERS: [&str; 4] = ["module.", "model.", "net.", "_orig_mod."];

/// A tensor of a file.
#[derive(Clone, Debug)]
pub(super) struct NamedTensor {
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
    pub(super) kind: Kind,
    /// The numbers, row-major and little-endian; anything where the kind is another.
    pub(super) bytes: Bytes,
}

/// What a tensor's numbers are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Number(Element),
    /// Numbers that no weight is read from, by the format's own name.
    Other(String),
    /// Numbers of a layer that is not known, and why.
    Unknown(&'static str),
}

/// All tensors of a file, and what the format says about all of them.
#[derive(Debug)]
pub(super) struct NamedTensors {
    pub(super) format: Format,
    pub(super) tensors: Vec<NamedTensor>,
    /// Whether they come in the order in which the program that wrote them registered them.
    pub(super) is_registered: bool,
    /// Which axis comes first by the format's convention, where it has one.
    pub(super) layout: Option<Layout>,
}

impl NamedTensors {
    /// The model that the tensors and the caller's options are.
    ///
    /// # Errors
    /// [`ModelError::Undeclared`] where something has to be said that neither says.
    pub(super) fn model(
        mut self,
        options: &LoadOptions,
        fallback_name: &str,
    ) -> Result<Model, ModelError> {
        if self.tensors.len() > TENSORS_MAX {
            let what = format!("tensors of the {}", self.format);
            return Err(ModelError::too_large(what, TENSORS_MAX, self.tensors.len()));
        }
        self.check_names()?;
        let mut notes = Vec::new();
        self.strip_wrappers(&mut notes);
        let told = order::Told {
            format: self.format,
            is_registered: self.is_registered,
            layout: self.layout,
            options,
        };
        let grouped = modules::group(self.format, self.tensors)?;
        if grouped.counters > 0 {
            let counters = counted(grouped.counters, "counter");
            notes.push(format!("left out: {counters} of batches, which no score depends on"));
        }
        let (mut modules, steps, left) = told.chosen(grouped)?;
        let sequence = told.sequence(&modules, steps, &mut notes)?;
        notes.extend(left.note(&sequence.named(&modules, self.is_registered))?);
        build::state_epsilon(&mut modules, options.epsilon, &mut notes)?;
        let model = build::model(self.format, modules, &sequence)?.with_name(fallback_name);
        Ok(notes.into_iter().fold(model, Model::with_note))
    }

    /// Names stand in errors and notes, which are one line each.
    fn check_names(&self) -> Result<(), ModelError> {
        let is_odd = |name: &str| name.len() > NAME_BYTES_MAX || name.contains(char::is_control);
        match self.tensors.iter().find(|tensor| is_odd(&tensor.name)) {
            Some(tensor) => {
                let start: String = tensor.name.chars().take(20).collect();
                let expected = format!("at most {NAME_BYTES_MAX} bytes without control characters");
                let got = format!("'{}..'", start.escape_debug());
                Err(ModelError::malformed(self.format, "a tensor's name", expected, got))
            }
            None => Ok(()),
        }
    }

    /// Leaves out what a wrapper put before every name.
    fn strip_wrappers(&mut self, notes: &mut Vec<String>) {
        let wrapped = |tensor: &NamedTensor, wrapper: &str| tensor.name.starts_with(wrapper);
        let is_common = |tensors: &[NamedTensor], wrapper: &str| {
            let mut rest = tensors.iter().filter(|tensor| !modules::is_counter(tensor)).peekable();
            rest.peek().is_some() && rest.all(|tensor| wrapped(tensor, wrapper))
        };
        while let Some(wrapper) =
            WRAPPERS.into_iter().find(|wrapper| is_common(&self.tensors, wrapper))
        {
            for tensor in self.tensors.iter_mut().filter(|tensor| wrapped(tensor, wrapper)) {
                tensor.name.drain(..wrapper.len());
            }
            notes.push(format!("'{wrapper}' before all names was left out"));
        }
    }
}

impl NamedTensor {
    /// Whether the numbers are one row or one column.
    fn is_vector(&self) -> bool {
        matches!(self.dims[..], [_] | [1, _] | [_, 1])
    }

    /// Makes one axis of a row or column; the numbers are in the same order in all of them.
    fn flatten_vector(&mut self) {
        if self.is_vector() {
            self.dims = vec![self.dims.iter().product()];
        }
    }

    /// The element, once it is known to be one that weights are read from and that there are as
    /// many as the dimensions say.
    fn element(&self, format: Format) -> Result<Element, ModelError> {
        let element = match &self.kind {
            Kind::Number(element) => *element,
            Kind::Unknown(reason) => {
                return Err(ModelError::unsupported(&self.name, "tensor", reason));
            }
            Kind::Other(name) => {
                let reason = "weights are read from f16, bf16, f32 and f64 alone";
                return Err(ModelError::unsupported(&self.name, name, reason));
            }
        };
        let expected = element_count(&self.dims).and_then(|n| n.checked_mul(element.bytes()));
        if expected != Some(self.bytes.len()) {
            let at = format!("tensor '{}'", self.name);
            let expected = format!("as many bytes as shape {:?} needs", self.dims);
            return Err(ModelError::malformed(format, at, expected, self.bytes.len()));
        }
        Ok(element)
    }
}

/// Names in quotes, as many as fit a line.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let shown = names.iter().take(SHOWN).map(|name| format!("'{}'", shortened((*name).to_owned())));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// How many of something there are.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A text that fits a line.
fn shortened(text: String) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{} ..", &text[..end]),
        None => text,
    }
}
