//! What a model does to its input, as packing folds it into the first layer.

use super::{InputType, PlanError};
use crate::model::{Model, PerInput};

/// What stands between a row's raw values and the first layer: `x * scale * column[k] + offset[k]`.
///
/// The common factor stays out of the weights and is applied to the f32 sum, because weights that
/// were divided by 255 would lose bits in f16; the offsets end in the bias.
pub(super) struct Entry<'a> {
    /// What sums are multiplied by.
    pub(super) scale: f32,
    /// What else inputs are multiplied by, where they differ.
    pub(super) column: Option<Vec<f64>>,
    /// What is added to inputs.
    pub(super) offset: Option<&'a PerInput>,
}

impl<'a> Entry<'a> {
    /// The weight of input `k` as it is packed.
    pub(super) fn weight(&self, weight: f32, k: usize) -> f32 {
        flushed(self.unflushed(weight, k))
    }

    /// The same where a subnormal number is what it is.
    pub(super) fn unflushed(&self, weight: f32, k: usize) -> f32 {
        match &self.column {
            Some(column) => (f64::from(weight) * column[k]) as f32,
            None => weight,
        }
    }

    /// Nothing.
    pub(super) fn none() -> Entry<'a> {
        Entry { scale: 1.0, column: None, offset: None }
    }

    /// What the model says of rows of this type.
    pub(super) fn of(model: &'a Model, input: InputType) -> Result<Entry<'a>, PlanError> {
        let unit = match input {
            InputType::F32 | InputType::F16 | InputType::Bf16 => 1.0,
            InputType::U8 => match model.u8_scale().value() {
                Some(scale) => f64::from(scale),
                None => return Err(PlanError::U8ScaleUnknown),
            },
        };
        let offset = match &model.transform().offset {
            PerInput::Uniform(0.0) => None,
            offset => Some(offset),
        };
        Ok(match &model.transform().scale {
            PerInput::Uniform(scale) => {
                let scale = flushed((f64::from(*scale) * unit) as f32);
                Entry { scale, column: None, offset }
            }
            PerInput::Each(scales) => {
                let largest = scales.iter().fold(0.0_f32, |most, scale| most.max(scale.abs()));
                let largest = if largest == 0.0 { 1.0 } else { largest };
                let column = scales.iter().map(|s| f64::from(*s) / f64::from(largest)).collect();
                let scale = flushed((f64::from(largest) * unit) as f32);
                Entry { scale, column: Some(column), offset }
            }
        })
    }
}

/// A number, or 0 where it is subnormal: many processors compute with such numbers a hundred times
/// slower, and others take them for 0 already.
pub(super) fn flushed(number: f32) -> f32 {
    if number.is_subnormal() { 0.0 } else { number }
}
