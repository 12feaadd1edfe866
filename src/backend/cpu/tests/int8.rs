//! Whole numbers: every level against a scalar version that can be read, bit for bit, and against
//! the oracle.

use half::{bf16, f16};

use super::*;
use crate::backend::BackendError;
use crate::model::{InputTransform, PerInput};
use crate::plan::{PlanError, PlannedLayer};

/// Activations that are clamps, whose bits are the same on every level.
fn clamps() -> [Activation; 4] {
    let clip = |min, max| Activation::Clip { min, max };
    [Activation::Relu, Activation::Identity, clip(-0.5, 0.75), clip(0.25, 2.0)]
}

/// A layer's weights as whole numbers and what one step of them is, for one output.
fn whole(weights: &[f32]) -> (Vec<i64>, f32) {
    let weights: Vec<f32> = weights.iter().copied().map(flushed).collect();
    let largest = weights.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
    let step = if largest == 0.0 { 0.0 } else { (largest / 127.0).max(f32::MIN_POSITIVE) };
    let steps = |weight: &f32| (f64::from(*weight) / f64::from(step)).round_ties_even() as i64;
    (weights.iter().map(|weight| if step == 0.0 { 0 } else { steps(weight) }).collect(), step)
}

/// A row as bytes, the byte that is 0, and what a step is.
fn measured(row: &[f32]) -> (Vec<i64>, i64, f32) {
    if !row.iter().all(|value| value.is_finite()) {
        return (vec![0; row.len()], 0, f32::NAN);
    }
    let row: Vec<f32> = row.iter().copied().map(flushed).collect();
    let high = row.iter().fold(0.0_f32, |most, value| most.max(*value));
    let low = row.iter().fold(0.0_f32, |least, value| least.min(*value));
    let step = high * (1.0 / 255.0) - low * (1.0 / 255.0);
    let small = || ((high - low) * (1.0 / 255.0)).max(f32::MIN_POSITIVE);
    let step = if step < 1e-30 { small() } else { step };
    let inverse = 1.0 / step;
    let zero = (-low * inverse).round_ties_even() as i64;
    let byte = |value: &f32| (((value * inverse).round_ties_even() as i64) + zero).min(255);
    (row.iter().map(byte).collect(), zero, step)
}

/// What a network of clamps makes of one row, one product at a time. `scale` is what the first
/// layer's sums are multiplied by.
fn by_hand(model: &Model, plan: &Plan, values: &[f32], first: (Vec<i64>, i64, f32)) -> Vec<f32> {
    let mut row = first;
    let mut outputs = values.to_vec();
    for (index, layer) in model.layers().iter().enumerate() {
        if index > 0 {
            row = measured(&outputs);
        }
        let (values, (bytes, zero, step)) = (&outputs, &row);
        let PlannedLayer { scale, exact_inputs, .. } = &plan.layers()[index];
        let neuron = |output: usize| {
            let mut weights = layer.weight()[output * layer.inputs()..][..layer.inputs()].to_vec();
            let exact: Vec<f32> = exact_inputs
                .iter()
                .map(|k| flushed(values[*k]) * (scale * std::mem::take(&mut weights[*k])))
                .collect();
            let (weights, weight_step) = whole(&weights);
            let sum: i64 = bytes.iter().zip(&weights).map(|(x, w)| (x - zero) * w).sum();
            assert_eq!(i64::from(sum as i32), sum, "sums fit");
            let bias = layer.bias().map_or(0.0, |bias| bias[output]);
            let scale = flushed(step * flushed(scale * weight_step));
            let value = flushed(flushed((sum as i32) as f32 * scale) + flushed(bias));
            let value = exact.iter().fold(value, |sum, product| flushed(sum + flushed(*product)));
            match layer.activation() {
                _ if value.is_nan() => value,
                Activation::Relu => value.max(0.0),
                Activation::Clip { min, max } => value.max(min).min(max),
                _ => value,
            }
        };
        outputs = (0..layer.outputs()).map(neuron).collect();
    }
    outputs
}

/// Fails where a level's scores are not those of the scalar version, to the last bit.
fn assert_same(model: &Model, rows: Rows<'_>, what: &str) {
    let inputs = model.inputs();
    let floats: Vec<f32> = match rows {
        Rows::F32(values) => values.to_vec(),
        Rows::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
        Rows::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
        Rows::U8(bytes) => bytes.iter().map(|byte| f32::from(*byte)).collect(),
    };
    let first = |row: &[f32]| match rows {
        Rows::U8(_) => (row.iter().map(|byte| *byte as i64).collect(), 0, 1.0),
        _ => measured(row),
    };
    for device in devices() {
        let executable = load(&*device, model, &options(rows.input(), Precision::Int8));
        let plan = executable.plan();
        let expected: Vec<f32> =
            floats.chunks(inputs).flat_map(|row| by_hand(model, plan, row, first(row))).collect();
        let got = scores(&*executable, rows);
        for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
            let level = &device.info().detail;
            assert!(same, "{level}, {what}: score {at} is {got}, not {expected}");
        }
    }
}

/// Widths that are no multiples of a group, a panel or a line, and batches of few rows and many.
#[test]
fn every_level_sums_what_the_scalar_version_does() {
    let mut random = Random(31);
    let widths = [1, 3, 4, 16, 17, 63, 64, 65, 128, 785];
    for (round, inputs) in widths.into_iter().enumerate() {
        let hidden = widths[(round * 3 + 2) % widths.len()];
        let activation = clamps()[round % 4];
        let model = network(&mut random, &[inputs, hidden, 5, 33], activation);
        for count in [1, 2, 3, 5, 7, 12, 31, 33] {
            let floats = random.units(count * inputs);
            let bytes: Vec<u8> = floats.iter().map(|value| (value * 900.0) as u8).collect();
            let halves: Vec<f16> = floats.iter().copied().map(f16::from_f32).collect();
            let brains: Vec<bf16> = floats.iter().copied().map(bf16::from_f32).collect();
            let batches =
                [Rows::F32(&floats), Rows::U8(&bytes), Rows::F16(&halves), Rows::Bf16(&brains)];
            for rows in batches {
                let what = format!("{inputs}-{hidden} {activation:?}, {count} {:?}", rows.input());
                assert_same(&model, rows, &what);
            }
        }
    }
}

/// One weight in each layer far above the others.
fn with_outliers(model: &Model, outlier: f32) -> Model {
    let layer = |(index, layer): (usize, &Dense)| {
        let mut weight = layer.weight().to_vec();
        weight[(index + 1) * layer.inputs() + 5] = outlier;
        let bias = layer.bias().map(<[f32]>::to_vec);
        Dense::new(layer.inputs(), layer.outputs(), weight, bias, layer.activation()).unwrap()
    };
    Model::from_layers(model.layers().iter().enumerate().map(layer).collect()).unwrap()
}

/// Their inputs keep weights of f32, which every level adds alike, in batches of few rows and many.
#[test]
fn outliers_are_added_alike_on_every_level() {
    let mut random = Random(34);
    for (round, activation) in clamps().into_iter().enumerate() {
        let inputs = [64, 65, 100, 785][round];
        let model = network(&mut random, &[inputs, 40, 33, 17], activation);
        let model = with_outliers(&model, -300.0);
        for count in [1, 5, 33] {
            let floats = random.units(count * inputs);
            let bytes: Vec<u8> = floats.iter().map(|value| (value * 900.0) as u8).collect();
            let halves: Vec<f16> = floats.iter().copied().map(f16::from_f32).collect();
            let brains: Vec<bf16> = floats.iter().copied().map(bf16::from_f32).collect();
            let batches =
                [Rows::F32(&floats), Rows::U8(&bytes), Rows::F16(&halves), Rows::Bf16(&brains)];
            for rows in batches {
                let what = format!("{inputs} {activation:?}, {count} {:?}", rows.input());
                assert_same(&model, rows, &what);
            }
        }
    }
}

/// Beside an outlier the other weights of its output keep their steps: a row with a zero before it
/// has the scores it would have without it.
#[test]
fn an_outlier_takes_nothing_from_the_other_weights() {
    let mut random = Random(35);
    for activation in [Activation::Identity, Activation::Tanh] {
        let model = with_outliers(&network(&mut random, &[200, 32], activation), 1e6);
        let mut rows = random.units(20 * 200);
        rows.chunks_mut(200).for_each(|row| row[5] = 0.0);
        for device in devices() {
            let options = options(InputType::F32, Precision::Int8);
            let executable = load(&*device, &model, &options);
            assert_eq!(executable.plan().layers()[0].exact_inputs, [5]);
            assert!(!executable.plan().layers()[0].rounding.is_large());
            let (got, want) =
                (scores(&*executable, Rows::F32(&rows)), oracle(&model, Rows::F32(&rows)));
            for (got, want) in got.iter().zip(want) {
                let off = (f64::from(*got) - want).abs();
                assert!(off < 0.05, "{}: {got}, not {want}", device.info().detail);
            }
        }
    }
}

/// Rows and weights as large as they come, whose sums are as large as they come; and as small.
#[test]
fn extreme_rows_and_weights_are_summed_exactly() {
    for weight in [1.0, -1.0, f32::MAX, 1e-38, 1e-45, 0.0] {
        let layer = Dense::new(3001, 2, vec![weight; 6002], None, Activation::Identity).unwrap();
        let model = Model::from_layers(vec![layer]).unwrap().with_u8_scale(1.0).unwrap();
        assert_same(&model, Rows::U8(&[255; 3001 * 2]), &format!("bytes times {weight}"));
        for value in [1.0, -1.0, 1e-38, -1e-44, 0.0] {
            let mut row = [value; 3001];
            assert_same(&model, Rows::F32(&row), &format!("{value} times {weight}"));
            row[7] = -value;
            assert_same(&model, Rows::F32(&row), &format!("{value} and less times {weight}"));
        }
    }
    let layer = Dense::new(20, 3, vec![0.5; 60], Some(vec![1.0; 3]), Activation::Relu).unwrap();
    let model = Model::from_layers(vec![layer]).unwrap();
    for value in [f32::MAX, f32::MIN] {
        let row: Vec<f32> =
            (0..20).map(|k| if k % 2 == 0 { value } else { -value / 3.0 }).collect();
        assert_same(&model, Rows::F32(&row), &format!("{value}"));
    }
}

/// No step measures a NaN or an infinity: the row is NaN, whatever its activations would make of
/// it, and the others keep their bits.
#[test]
fn a_row_that_has_no_range_is_nan_and_alone() {
    let mut random = Random(32);
    for activation in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
        for inputs in [33, 64, 100] {
            let model = network(&mut random, &[inputs, 40, 10], activation);
            let clean = random.units(inputs * 30);
            for device in devices() {
                let options = options(InputType::F32, Precision::Int8);
                let executable = load(&*device, &model, &options);
                let before = scores(&*executable, Rows::F32(&clean));
                assert!(before.iter().all(|score| score.is_finite()));
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    for (row, at) in [(0, 0), (13, inputs - 1), (29, 20)] {
                        let mut rows = clean.clone();
                        rows[row * inputs + at] = bad;
                        let after = scores(&*executable, Rows::F32(&rows));
                        for (index, (a, b)) in after.chunks(10).zip(before.chunks(10)).enumerate() {
                            let nan = a.iter().all(|score| score.is_nan());
                            assert!(
                                if index == row { nan } else { a == b },
                                "row {index} of {bad}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Infinite outputs of a hidden layer, too.
#[test]
fn a_row_that_overflows_inside_is_nan() {
    let layer = |weight| Dense::new(2, 2, vec![weight; 4], None, Activation::Relu).unwrap();
    let model = Model::from_layers(vec![layer(3e38), layer(1.0)]).unwrap();
    for device in devices() {
        let executable = load(&*device, &model, &options(InputType::F32, Precision::Int8));
        let got = scores(&*executable, Rows::F32(&[2.0, 2.0, 0.25, 0.25]));
        assert!(got[0].is_nan() && got[1].is_nan() && (got[2] - 3e38).abs() < 1e36, "{got:?}");
    }
}

#[test]
fn every_activation_transform_and_input_agrees_with_the_oracle() {
    let mut random = Random(33);
    for (round, activation) in Activation::ALL.into_iter().enumerate() {
        let inputs = [784, 50, 65][round % 3];
        let transform = InputTransform {
            scale: PerInput::Each(random.units(inputs)),
            offset: PerInput::Each(random.units(inputs)),
        };
        let model = network(&mut random, &[inputs, 40, 35, 10], activation);
        let model =
            model.with_transform(transform).unwrap().with_u8_scale(Model::U8_SCALE).unwrap();
        let bytes: Vec<u8> = (0..inputs * 40).map(|_| random.next() as u8).collect();
        let floats = random.units(inputs * 40);
        for (device, rows) in devices()
            .iter()
            .flat_map(|device| [Rows::U8(&bytes), Rows::F32(&floats)].map(|rows| (device, rows)))
        {
            let executable = load(&**device, &model, &options(rows.input(), Precision::Int8));
            check(&model, &*executable, rows);
        }
    }
}

#[test]
fn a_layer_whose_sums_may_not_fit_is_refused() {
    let model = |inputs: usize| {
        let layer = Dense::new(inputs, 1, vec![1.0; inputs], None, Activation::Identity).unwrap();
        Model::from_layers(vec![layer]).unwrap().with_u8_scale(1.0).unwrap()
    };
    let options = options(InputType::U8, Precision::Int8);
    let limits = *devices()[0].limits();
    let error = Plan::new(&model(66_312), &limits, &options).unwrap_err();
    assert!(matches!(error, PlanError::PrecisionWidth { inputs_max: 66_311, .. }), "{error}");
    // The widest that is not: every byte and every weight the largest.
    let widest = model(66_311);
    for device in devices() {
        let got = scores(&*load(&*device, &widest, &options), Rows::U8(&[255; 66_311]));
        assert!((f64::from(got[0]) / (66_311.0 * 255.0) - 1.0).abs() < 1e-6, "{got:?}");
    }
}

#[test]
fn a_refusal_says_what_to_do_instead() {
    let error = BackendError::NoKernels { device: String::from("X"), precision: Precision::Int8 };
    assert_eq!(error.to_string(), "X: no kernels for int8 weights; use --backend cpu, or f32");
}
