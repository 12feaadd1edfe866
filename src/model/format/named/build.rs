//! Modules in their order to a model.

use std::mem;

use super::modules::{Layer, Module, Norm, Part};
use super::order::{Sequence, Step};
use super::{Format, Layout, ModelError, NamedTensor};
use crate::model::format::graph::{Builder, Numbers, float, int};
use crate::model::format::numbers::transpose;
use crate::model::weights::Weights;
use crate::model::{Activation, Dense, Head, Model};

/// The model of modules in a sequence; norms are folded into layers, in double precision.
pub(super) fn model(
    format: Format,
    modules: Vec<Module>,
    sequence: &Sequence,
) -> Result<Model, ModelError> {
    let has_norm = modules.iter().any(|module| matches!(module.part, Part::Norm(_)));
    let note = biases_missing(&modules);
    let model = if has_norm {
        folded(format, &modules, sequence)?
    } else {
        plain(format, modules, sequence)?
    };
    Ok(match note {
        Some(note) => model.with_note(note),
        None => model,
    })
}

/// A note where layers have no bias, which may be meant so, or an array of another kind.
fn biases_missing(modules: &[Module]) -> Option<String> {
    let layers = modules.iter().filter_map(|module| match &module.part {
        Part::Layer(layer) => Some((&module.name[..], layer.bias.is_some())),
        Part::Norm(_) => None,
    });
    let (with, without): (Vec<_>, Vec<_>) = layers.partition(|(_, has_bias)| *has_bias);
    match &without[..] {
        [] => None,
        _ if with.is_empty() => Some(String::from("there are no biases")),
        [(name, _)] => Some(format!("'{name}' has no bias")),
        [(name, _), rest @ ..] => Some(format!("'{name}' and {} more have no bias", rest.len())),
    }
}

/// A chain of layers alone: numbers go from the file to the model as they are.
fn plain(format: Format, modules: Vec<Module>, sequence: &Sequence) -> Result<Model, ModelError> {
    let mut modules: Vec<Option<Module>> = modules.into_iter().map(Some).collect();
    let mut drafts: Vec<(Layer, Activation)> = Vec::with_capacity(modules.len());
    let mut head = Head::Logits;
    for step in &sequence.steps {
        match step {
            Step::Module(index) => {
                // Each module stands in the sequence once.
                if let Some(Module { part: Part::Layer(layer), .. }) =
                    mem::take(&mut modules[*index])
                {
                    drafts.push((layer, Activation::Identity));
                }
            }
            Step::Activation(Activation::Identity) => {}
            Step::Activation(activation) => {
                if let Some((_, follows)) = drafts.last_mut() {
                    *follows = *activation;
                }
            }
            Step::Head(last) => head = *last,
        }
    }
    let layer = |(layer, activation)| dense(format, layer, activation, sequence.layout);
    let layers = drafts.into_iter().map(layer).collect::<Result<_, _>>()?;
    Ok(Model::from_layers(layers)?.with_head(head))
}

fn dense(
    format: Format,
    layer: Layer,
    activation: Activation,
    layout: Layout,
) -> Result<Dense, ModelError> {
    let (inputs, outputs) = layer.widths(layout);
    let mut weight = weights(format, &layer.weight)?;
    if layout == Layout::InputsFirst {
        weight = transpose(&weight, inputs, outputs).into();
    }
    let bias = layer.bias.as_ref().map(|bias| weights(format, bias)).transpose()?;
    let wrong = |error| {
        ModelError::malformed(format, format!("tensor '{}'", layer.weight.name), "a layer", error)
    };
    Dense::of_weights(inputs, outputs, weight, bias, activation).map_err(wrong)
}

fn weights(format: Format, tensor: &NamedTensor) -> Result<Weights, ModelError> {
    Ok(tensor.element(format)?.weights(tensor.bytes.clone()))
}

/// Gives norms the epsilon that the caller states, and notes which one they have.
pub(super) fn state_epsilon(
    modules: &mut [Module],
    said: Option<f32>,
    notes: &mut Vec<String>,
) -> Result<(), ModelError> {
    let norms = modules.iter_mut().filter_map(|module| match &mut module.part {
        Part::Norm(norm) => Some(norm),
        Part::Layer(_) => None,
    });
    let mut norms: Vec<_> = norms.collect();
    match said {
        Some(epsilon) if !(epsilon.is_finite() && epsilon >= 0.0) => {
            Err(ModelError::invalid("epsilon", "a finite number of at least 0", epsilon))
        }
        Some(_) if norms.is_empty() => {
            Err(ModelError::invalid("epsilon", "nothing, because there is no BatchNorm", "one"))
        }
        Some(epsilon) => {
            norms.iter_mut().for_each(|norm| norm.epsilon = epsilon);
            notes.push(format!("epsilon of each BatchNorm is {epsilon}: said by the caller"));
            Ok(())
        }
        None => {
            let mut assumed: Vec<String> =
                norms.iter().map(|norm| norm.epsilon.to_string()).collect();
            assumed.dedup();
            if !assumed.is_empty() {
                let assumed = assumed.join(", then ");
                notes.push(format!(
                    "epsilon of each BatchNorm is {assumed}: assumed, the default where its names \
                     are from; --epsilon says another"
                ));
            }
            Ok(())
        }
    }
}

/// A chain with norms in it, as a graph.
fn folded(format: Format, modules: &[Module], sequence: &Sequence) -> Result<Model, ModelError> {
    let inputs = sequence.steps.iter().find_map(|step| match step {
        Step::Module(index) => Some(match &modules[*index].part {
            Part::Layer(layer) => layer.widths(sequence.layout).0,
            Part::Norm(norm) => norm.width(),
        }),
        _ => None,
    });
    let row = inputs.map(|inputs| [inputs]);
    let mut told = Graph {
        builder: Builder::new(format, "", row.as_ref().map(|row| &row[..])),
        format,
        layout: sequence.layout,
    };
    let mut value = told.builder.input();
    for (at, step) in sequence.steps.iter().enumerate() {
        value = match step {
            Step::Module(index) => told.module(&value, &modules[*index])?,
            Step::Activation(activation) => {
                told.builder.activation(&format!("{activation} {at}"), &value, *activation)
            }
            Step::Head(head) => told.builder.head(head.name(), &value, *head),
        };
    }
    told.builder.finish(&value)
}

struct Graph {
    builder: Builder,
    format: Format,
    layout: Layout,
}

impl Graph {
    fn module(&mut self, value: &str, module: &Module) -> Result<String, ModelError> {
        match &module.part {
            Part::Layer(layer) => self.layer(value, &module.name, layer),
            Part::Norm(norm) => self.norm(value, &module.name, norm),
        }
    }

    fn layer(&mut self, value: &str, name: &str, layer: &Layer) -> Result<String, ModelError> {
        let weight = self.constant(&layer.weight)?;
        let bias = layer.bias.as_ref().map(|bias| self.constant(bias)).transpose()?;
        let is_outputs_first = i64::from(self.layout == Layout::OutputsFirst);
        let mut inputs = vec![value, &weight[..]];
        inputs.extend(bias.as_deref());
        Ok(self.builder.node(name, "Gemm", &inputs, vec![int("transB", is_outputs_first)]))
    }

    fn norm(&mut self, value: &str, name: &str, norm: &Norm) -> Result<String, ModelError> {
        let width = norm.width();
        let scale = match &norm.scale {
            Some(scale) => self.constant(scale)?,
            None => self.uniform(&format!("{name} scale"), width, 1.0),
        };
        let offset = match &norm.offset {
            Some(offset) => self.constant(offset)?,
            None => self.uniform(&format!("{name} offset"), width, 0.0),
        };
        let (mean, variance) = (self.constant(&norm.mean)?, self.constant(&norm.variance)?);
        let inputs = [value, &scale, &offset, &mean, &variance];
        let attributes = vec![float("epsilon", norm.epsilon)];
        Ok(self.builder.node(name, "BatchNormalization", &inputs, attributes))
    }

    fn constant(&mut self, tensor: &NamedTensor) -> Result<String, ModelError> {
        let numbers = Numbers::Stored(tensor.element(self.format)?, tensor.bytes.clone());
        Ok(self.builder.constant(&tensor.name, &tensor.dims, numbers))
    }

    fn uniform(&mut self, name: &str, width: usize, number: f64) -> String {
        self.builder.constant(name, &[width], Numbers::Doubles(vec![number; width]))
    }
}
