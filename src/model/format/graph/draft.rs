//! A layer in the making, which takes up the scales and offsets around it.

use super::affine::{Affine, PerFeature};
use super::label;
use super::proto::NodeProto;
use super::tensor::Tensor;
use crate::model::{Activation, Dense, ModelError};

/// A layer that may still take up scales and offsets.
pub(super) struct Draft<'a> {
    node: &'a NodeProto,
    weight: Weight,
    /// `[outputs]`, what the affine steps before the layer add.
    bias: Option<Vec<f64>>,
    /// What follows before the activation.
    pub(super) after: Affine,
    pub(super) activation: Option<Activation>,
}

/// What a layer multiplies by.
pub(super) enum Weight {
    /// `[outputs, inputs]`
    Matrix(Tensor),
    /// Ones on the diagonal of so many rows and columns.
    Identity(usize),
}

impl<'a> Draft<'a> {
    pub(super) fn new(node: &'a NodeProto, weight: Weight) -> Draft<'a> {
        Draft { node, weight, bias: None, after: Affine::default(), activation: None }
    }

    /// Folds an affine step before the layer: `W (s x + o) + b = (W s) x + (W o + b)`.
    pub(super) fn take_up(&mut self, before: &Affine) {
        let weight = match &mut self.weight {
            Weight::Identity(_) => {
                self.after = before.then(&self.after);
                return;
            }
            Weight::Matrix(weight) => weight,
        };
        let inputs = weight.dims[1].max(1);
        let rows = weight.values.chunks_exact_mut(inputs);
        let shift = rows.map(|weights| {
            let mut sum = 0.0;
            for (index, weight) in weights.iter_mut().enumerate() {
                sum += *weight * before.offset.at(index);
                *weight *= before.scale.at(index);
            }
            sum
        });
        self.bias = Some(shift.collect());
    }

    /// The layer, once nothing more can be folded into it; rounded to f32 once.
    pub(super) fn complete(self) -> Result<Dense, ModelError> {
        let after = &self.after;
        let (outputs, inputs, weight) = match &self.weight {
            Weight::Identity(width) => (*width, *width, diagonal(*width, &after.scale)),
            Weight::Matrix(weight) => {
                (weight.dims[0], weight.dims[1], scaled(weight, &after.scale))
            }
        };
        let has_bias = self.bias.is_some() || after.offset != PerFeature::Uniform(0.0);
        let bias = has_bias.then(|| {
            let own = |index: usize| self.bias.as_ref().map_or(0.0, |bias| bias[index]);
            let bias = |index| own(index) * after.scale.at(index) + after.offset.at(index);
            (0..outputs).map(|index| bias(index) as f32).collect()
        });
        Dense::new(inputs, outputs, weight, bias, self.activation.unwrap_or_default())
            .map_err(|error| at_node(self.node, error))
    }
}

fn scaled(weight: &Tensor, scale: &PerFeature) -> Vec<f32> {
    let inputs = weight.dims[1];
    let values = weight.values.iter();
    match scale {
        PerFeature::Uniform(1.0) => values.map(|weight| *weight as f32).collect(),
        scale => {
            let scaled = |(at, weight): (usize, &f64)| (weight * scale.at(at / inputs)) as f32;
            values.enumerate().map(scaled).collect()
        }
    }
}

fn diagonal(width: usize, scale: &PerFeature) -> Vec<f32> {
    let mut weight = vec![0.0; width * width];
    let diagonal = weight.iter_mut().step_by(width + 1);
    diagonal.enumerate().for_each(|(index, weight)| *weight = scale.at(index) as f32);
    weight
}

/// The same error with the node it belongs to.
fn at_node(node: &NodeProto, error: ModelError) -> ModelError {
    match error {
        ModelError::Invalid { what, expected, got } => {
            ModelError::Invalid { what: format!("node '{}': {what}", label(node)), expected, got }
        }
        other => other,
    }
}
