//! Where two models part: what decides the scores, compared in the order it is computed.

use std::fmt;

use super::{Activation, Dense, Head, Model, PerInput, U8Scale};

/// The first difference between two models, named left and right.
///
/// Models without one have the same content hash, and those with one have different ones.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Difference {
    /// Their widths from input to output, such as `784-32-10`.
    Architecture {
        /// Of the left model.
        left: String,
        /// Of the right model.
        right: String,
    },
    /// What one step of a byte stands for.
    U8Scale {
        /// Of the left model.
        left: U8Scale,
        /// Of the right model.
        right: U8Scale,
    },
    /// Numbers at the same place: of the input transform, or of a layer's weights or biases.
    Numbers {
        /// Whose numbers they are.
        of: Part,
        /// Where the first pair that differs stands: the input, the output, or `[output, input]`.
        at: Vec<usize>,
        /// The left model's number there.
        left: f32,
        /// The right model's number there.
        right: f32,
        /// How many pairs differ.
        differing: usize,
        /// Of how many.
        all: usize,
        /// By how much at most.
        largest: f32,
    },
    /// What follows a layer.
    Activation {
        /// The layer, counted from 0.
        layer: usize,
        /// Of the left model.
        left: Activation,
        /// Of the right model.
        right: Activation,
    },
    /// What turns the last layer's outputs into scores.
    Head {
        /// Of the left model.
        left: Head,
        /// Of the right model.
        right: Head,
    },
}

/// A part of a model that is numbers; layers are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// What a row's values are multiplied by.
    InputScale,
    /// What is then added.
    InputOffset,
    /// The weights of a layer, `[outputs, inputs]`.
    Weights(usize),
    /// The biases of a layer, `[outputs]`; missing ones are zeros.
    Biases(usize),
}

impl Difference {
    /// The first difference between two models, in the order of computation.
    pub(super) fn first(left: &Model, right: &Model) -> Option<Difference> {
        if left.architecture() != right.architecture() {
            let (left, right) = (left.architecture(), right.architecture());
            return Some(Difference::Architecture { left, right });
        }
        let scales = (left.u8_scale(), right.u8_scale());
        if scales.0.value() != scales.1.value() {
            let (left, right) = scales;
            return Some(Difference::U8Scale { left, right });
        }
        let transforms = || {
            let (a, b) = (left.transform(), right.transform());
            of_inputs(Part::InputScale, &a.scale, &b.scale, left.inputs())
                .or_else(|| of_inputs(Part::InputOffset, &a.offset, &b.offset, left.inputs()))
        };
        let layers = || {
            let pairs = left.layers().iter().zip(right.layers()).enumerate();
            pairs.map(|(index, (a, b))| of_layers(index, a, b)).find_map(|difference| difference)
        };
        let heads = || {
            let (left, right) = (left.head(), right.head());
            (left != right).then_some(Difference::Head { left, right })
        };
        transforms().or_else(layers).or_else(heads)
    }
}

fn of_inputs(of: Part, left: &PerInput, right: &PerInput, inputs: usize) -> Option<Difference> {
    of_numbers(of, inputs, |at| (left.at(at), right.at(at)), |at| vec![at])
}

fn of_layers(layer: usize, a: &Dense, b: &Dense) -> Option<Difference> {
    let weight = |at: usize| (a.weight()[at], b.weight()[at]);
    let place = |at: usize| vec![at / a.inputs(), at % a.inputs()];
    let bias = |dense: &Dense, at: usize| dense.bias().map_or(0.0, |bias| bias[at]);
    let biases = |at: usize| (bias(a, at), bias(b, at));
    let activations = || {
        let (left, right) = (a.activation(), b.activation());
        (left != right).then_some(Difference::Activation { layer, left, right })
    };
    of_numbers(Part::Weights(layer), a.weight().len(), weight, place)
        .or_else(|| of_numbers(Part::Biases(layer), a.outputs(), biases, |at| vec![at]))
        .or_else(activations)
}

fn of_numbers(
    of: Part,
    all: usize,
    pair: impl Fn(usize) -> (f32, f32),
    place: impl Fn(usize) -> Vec<usize>,
) -> Option<Difference> {
    let differs = |at: &usize| pair(*at).0 != pair(*at).1;
    let first = (0..all).find(differs)?;
    let by = |at: usize| (pair(at).0 - pair(at).1).abs();
    let (left, right) = pair(first);
    Some(Difference::Numbers {
        of,
        at: place(first),
        left,
        right,
        differing: (first..all).filter(differs).count(),
        all,
        largest: (first..all).map(by).fold(0.0, f32::max),
    })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Architecture { left, right } => {
                write!(f, "architecture: {left} and {right}")
            }
            Difference::U8Scale { left, right } => write!(f, "u8_scale: {left} and {right}"),
            Difference::Numbers { of, at, left, right, differing, all, largest } => write!(
                f,
                "{of} at {at:?}: {left} and {right}; {differing} of {all} differ, by {largest} at \
                 most"
            ),
            Difference::Activation { layer, left, right } => {
                write!(f, "activation of layer {layer}: {left} and {right}")
            }
            Difference::Head { left, right } => {
                write!(f, "head: {} and {}", left.name(), right.name())
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::InputScale => f.write_str("input scale"),
            Part::InputOffset => f.write_str("input offset"),
            Part::Weights(layer) => write!(f, "weights of layer {layer}"),
            Part::Biases(layer) => write!(f, "biases of layer {layer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InputTransform;

    fn layer(weight: [f32; 2], bias: Option<f32>, activation: Activation) -> Dense {
        Dense::new(2, 1, weight.to_vec(), bias.map(|bias| vec![bias]), activation).unwrap()
    }

    fn model(weight: [f32; 2], bias: Option<f32>, activation: Activation) -> Model {
        Model::from_layers(vec![layer(weight, bias, activation)]).unwrap()
    }

    fn with_scale(scale: PerInput) -> Model {
        let transform = InputTransform { scale, offset: PerInput::Uniform(0.0) };
        model([1.0, 2.0], None, Activation::Relu).with_transform(transform).unwrap()
    }

    /// Models in pairs: each is itself, and differs from every other as the hash does.
    #[test]
    fn models_differ_where_their_hashes_do() {
        let base = || model([1.0, 2.0], None, Activation::Relu);
        let models = [
            base(),
            base().with_name("renamed"),
            model([1.0, 2.0], Some(0.0), Activation::Relu),
            model([1.0, 2.0], Some(-0.0), Activation::Relu),
            model([1.0, 2.5], None, Activation::Relu),
            model([1.0, 2.0], Some(0.25), Activation::Relu),
            model([1.0, 2.0], None, Activation::Elu { alpha: 0.5 }),
            model([1.0, 2.0], None, Activation::Elu { alpha: 0.25 }),
            base().with_head(Head::Softmax),
            base().with_u8_scale(1.0).unwrap(),
            with_scale(PerInput::Uniform(0.5)),
            with_scale(PerInput::Each(vec![0.5, 0.5])),
            with_scale(PerInput::Each(vec![0.5, 0.75])),
            with_scale(PerInput::Each(vec![1.0, 1.0])),
            Model::from_layers(vec![layer([1.0, 2.0], None, Activation::Relu); 1]).unwrap(),
        ];
        for left in &models {
            for right in &models {
                let same = left.content_hash() == right.content_hash();
                assert_eq!(left.difference(right).is_none(), same, "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn the_first_difference_is_told_in_a_line() {
        let base = model([1.0, 2.0], None, Activation::Relu);
        let table = [
            (
                model([1.0, 2.5], Some(1.0), Activation::Tanh),
                "weights of layer 0 at [0, 1]: 2 and 2.5; 1 of 2 differ, by 0.5 at most",
            ),
            (
                model([1.0, 2.0], Some(1.0), Activation::Tanh),
                "biases of layer 0 at [0]: 0 and 1; 1 of 1 differ, by 1 at most",
            ),
            (model([1.0, 2.0], None, Activation::Tanh), "activation of layer 0: relu and tanh"),
            (base.clone().with_head(Head::Softmax), "head: logits and softmax"),
            (
                Model::from_layers(vec![
                    layer([1.0, 2.0], None, Activation::Relu),
                    Dense::new(1, 1, vec![1.0], None, Activation::Relu).unwrap(),
                ])
                .unwrap(),
                "architecture: 2-1 and 2-1-1",
            ),
        ];
        for (other, line) in table {
            assert_eq!(base.difference(&other).unwrap().to_string(), line);
        }
    }
}
