//! One fully-connected layer.

use super::weights::Weights;
use super::{Activation, ModelError, WIDTH_MAX};

/// One fully-connected layer: `activation(weight · x + bias)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    inputs: usize,
    outputs: usize,
    weight: Weights,
    bias: Option<Weights>,
    activation: Activation,
}

impl Dense {
    /// A layer from its `weight`, `[outputs, inputs]` row-major, and `bias`, `[outputs]`.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] where a width is 0, a length does not match the widths, or a number
    /// is not finite; [`ModelError::TooLarge`] where a width is past [`WIDTH_MAX`].
    pub fn new(
        inputs: usize,
        outputs: usize,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        activation: Activation,
    ) -> Result<Dense, ModelError> {
        Dense::of_weights(inputs, outputs, weight.into(), bias.map(Weights::from), activation)
    }

    /// As [`Dense::new`], with numbers wherever they lie.
    pub(super) fn of_weights(
        inputs: usize,
        outputs: usize,
        weight: Weights,
        bias: Option<Weights>,
        activation: Activation,
    ) -> Result<Dense, ModelError> {
        for (what, width) in [("layer inputs", inputs), ("layer outputs", outputs)] {
            if width == 0 {
                return Err(ModelError::invalid(what, "at least 1", width));
            }
            if width > WIDTH_MAX {
                return Err(ModelError::too_large(what, WIDTH_MAX, width));
            }
        }
        // Both are at most 2^20, so the product cannot overflow.
        check_numbers("weights", &weight, inputs * outputs)?;
        if let Some(bias) = &bias {
            check_numbers("biases", bias, outputs)?;
        }
        activation.check()?;
        Ok(Dense { inputs, outputs, weight, bias, activation })
    }

    /// Values the layer reads.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values the layer writes.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights, `[outputs, inputs]` row-major.
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// The biases, `[outputs]`; `None` is the same network as zeros.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// What follows the affine part.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Weights and biases, counted.
    pub fn parameters(&self) -> usize {
        self.weight.len() + self.bias.as_ref().map_or(0, |bias| bias.len())
    }
}

fn check_numbers(what: &str, numbers: &Weights, expected: usize) -> Result<(), ModelError> {
    if numbers.len() != expected {
        return Err(ModelError::invalid(what, expected, numbers.len()));
    }
    if let Some(at) = numbers.first_not_finite() {
        return Err(ModelError::invalid(
            what,
            "finite numbers",
            format!("{} at index {at}", numbers[at]),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_checked() {
        let new = |weight, bias| Dense::new(2, 1, weight, bias, Activation::Identity);
        assert!(new(vec![1.0, 2.0], None).is_ok());
        assert_eq!(new(vec![1.0], None).unwrap_err().to_string(), "weights: expected 2, got 1");
        assert!(new(vec![1.0, f32::NAN], None).is_err());
        assert!(new(vec![1.0, 2.0], Some(vec![])).is_err());
        assert!(Dense::new(0, 1, vec![], None, Activation::Identity).is_err());
        assert!(Dense::new(usize::MAX, usize::MAX, vec![], None, Activation::Identity).is_err());
    }
}
