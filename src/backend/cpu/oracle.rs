//! The scalar oracle: slow, readable, in double precision. Everything else is tested against it.
//!
//! Subnormal numbers count as 0: a row's values, weights, biases and what layers hand to each
//! other, wherever they are nearer to 0 than [`f32::MIN_POSITIVE`], 2^-126.

use crate::backend::Rows;
use crate::model::{Dense, Model};

/// The scores of `rows`, `[n, classes]` row-major, computed one value at a time in f64. Numbers
/// nearer to 0 than 2^-126 count as 0. NaN for rows of bytes where what one stands for is unknown.
///
/// # Panics
/// Where the values are no whole number of the model's rows.
pub fn oracle(model: &Model, rows: Rows<'_>) -> Vec<f64> {
    assert!(rows.values().is_multiple_of(model.inputs()), "a whole number of rows");
    let values: Vec<f64> = match rows {
        Rows::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Rows::U8(values) => {
            let scale = number(model.u8_scale().value().unwrap_or(f32::NAN));
            values.iter().map(|byte| f64::from(*byte) * scale).collect()
        }
        Rows::F16(values) => values.iter().map(|value| value.to_f64()).collect(),
        Rows::Bf16(values) => values.iter().map(|value| value.to_f64()).collect(),
    };
    values.chunks_exact(model.inputs()).flat_map(|row| score(model, row)).collect()
}

/// A number as it counts.
fn number(x: impl Into<f64>) -> f64 {
    let x = x.into();
    if x.abs() < f64::from(f32::MIN_POSITIVE) { 0.0 } else { x }
}

fn score(model: &Model, row: &[f64]) -> Vec<f64> {
    let transform = model.transform();
    let affine = |(k, x): (usize, &f64)| {
        number(*x) * number(transform.scale.at(k)) + number(transform.offset.at(k))
    };
    let mut x: Vec<f64> = row.iter().enumerate().map(affine).collect();
    for layer in model.layers() {
        x = (0..layer.outputs()).map(|output| neuron(layer, output, &x)).collect();
    }
    model.head().apply(&mut x);
    x
}

fn neuron(layer: &Dense, output: usize, x: &[f64]) -> f64 {
    let weights = &layer.weight()[output * layer.inputs()..][..layer.inputs()];
    let sum: f64 = weights.iter().zip(x).map(|(weight, x)| number(*weight) * x).sum();
    number(layer.activation().apply(sum + layer.bias().map_or(0.0, |bias| number(bias[output]))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Head, InputTransform, PerInput};

    /// 2 inputs, 2 hidden relu, 2 classes; every number below worked out by hand.
    fn by_hand() -> Model {
        let hidden = vec![1.0, 2.0, -1.0, 0.5];
        let hidden = Dense::new(2, 2, hidden, Some(vec![0.5, 0.0]), Activation::Relu).unwrap();
        let last = vec![1.0, -1.0, 2.0, 4.0];
        let last = Dense::new(2, 2, last, Some(vec![0.0, 1.0]), Activation::Identity).unwrap();
        Model::from_layers(vec![hidden, last]).unwrap()
    }

    #[test]
    fn a_network_by_hand() {
        // h = relu([3 + 4 + 0.5, -3 + 1]) = [7.5, 0]; y = [7.5, 15 + 1].
        assert_eq!(oracle(&by_hand(), Rows::F32(&[3.0, 2.0])), [7.5, 16.0]);
        // h = relu([-1 + 4 + 0.5, 1 + 1]) = [3.5, 2]; y = [1.5, 7 + 8 + 1].
        assert_eq!(oracle(&by_hand(), Rows::F32(&[-1.0, 2.0])), [1.5, 16.0]);
    }

    #[test]
    fn bytes_and_transform_by_hand() {
        let transform = InputTransform {
            scale: PerInput::Each(vec![1.0, 2.0]),
            offset: PerInput::Uniform(-1.0),
        };
        let model = by_hand().with_transform(transform).unwrap().with_u8_scale(0.5).unwrap();
        // Bytes 8, 3 are 4, 1.5; transformed 3, 2: the first case above.
        assert_eq!(oracle(&model, Rows::U8(&[8, 3])), [7.5, 16.0]);
    }

    #[test]
    fn softmax_by_hand() {
        let model = by_hand().with_head(Head::Softmax);
        let got = oracle(&model, Rows::F32(&[3.0, 2.0]));
        let expected = 1.0 / (1.0 + (8.5_f64).exp());
        assert!((got[0] - expected).abs() < 1e-15 && (got[1] - (1.0 - expected)).abs() < 1e-15);
    }
}
