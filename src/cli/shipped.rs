//! The model that comes with the program, so that a fresh binary has something to run.

use anyhow::{Context, Result};

use crate::model::{Activation, Dense, Model};

/// The shipped classifier.
pub(super) fn model() -> Result<Model> {
    let widths = [784, 32, 32, 32, 32, 10];
    let layer = |(index, pair): (usize, &[usize])| {
        let weight = |i: usize| ((i * 7919 + index) % 201) as f32 / 1000.0 - 0.1;
        let weights = (0..pair[0] * pair[1]).map(weight).collect();
        let last = index == widths.len() - 2;
        let activation = if last { Activation::Identity } else { Activation::Relu };
        Dense::new(pair[0], pair[1], weights, None, activation)
    };
    let layers = widths.windows(2).enumerate().map(layer).collect::<Result<Vec<_>, _>>();
    Ok(Model::from_layers(layers?).context("the shipped model")?.with_name("placeholder"))
}
