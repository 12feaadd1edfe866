//! Activations at every level, value by value, against the f64 formula.

use super::*;

/// What a level makes of `values`, through a network of one input and one weight of 1.
fn through(device: &dyn Device, activation: Activation, values: &[f32]) -> Vec<f32> {
    let layer = Dense::new(1, 1, vec![1.0], None, activation).unwrap();
    let model = Model::from_layers(vec![layer]).unwrap();
    scores(&*load(device, &model, &PlanOptions::default()), Rows::F32(values))
}

fn sweep() -> Vec<f32> {
    let wide = (-100_000..=100_000).map(|step| step as f32 / 1000.0);
    let near_0 = (-149..0).map(|power| 2.0_f32.powi(power));
    let near_0 = near_0.flat_map(|x| [x, -x, 1.3 * x, -1.3 * x]);
    wide.chain(near_0).chain([0.0, -0.0, 1e30, -1e30, f32::MAX, f32::MIN]).collect()
}

/// How far a kernel may be off, in units of f32's rounding of the result.
fn ulps(activation: Activation) -> f64 {
    match activation {
        Activation::Identity | Activation::Relu | Activation::Clip { .. } => 0.0,
        Activation::LeakyRelu { .. } => 0.5,
        _ => 6.0,
    }
}

/// How far a kernel may be off whatever the result's size.
fn absolute(activation: Activation) -> f64 {
    match activation {
        // What the f64 formula itself loses in 1 + tanh; and the rounding of the exponent in f32.
        Activation::GeluTanh => 3e-8,
        // The approximation of erfc, times x, where erfc is not yet 0.
        Activation::Gelu => 3e-7,
        // What the sum in f32 loses before it is clamped to 0, times x.
        Activation::HardSigmoid { .. } => 1e-7,
        Activation::HardSwish => 4e-7,
        // Results below f32's normal numbers, which count as 0; and such ones times x.
        _ => 2e-36,
    }
}

#[test]
fn every_activation_is_accurate() {
    let values = sweep();
    let mut more = Activation::ALL.to_vec();
    more.push(Activation::Selu { alpha: 0.7, gamma: 2.0 });
    more.push(Activation::Celu { alpha: 3.0 });
    more.push(Activation::Clip { min: f32::NEG_INFINITY, max: 2.0 });
    more.push(Activation::Clip { min: 3.0, max: -3.0 });
    for device in devices() {
        for activation in &more {
            let got = through(&*device, *activation, &values);
            let mut worst = (0.0, 0.0, 0.0);
            for (x, got) in values.iter().zip(got) {
                let expected = activation.apply(f64::from(*x));
                if (expected.abs() >= f64::from(f32::MAX) && got.is_infinite())
                    || (expected.is_nan() && got.is_nan())
                {
                    continue;
                }
                let off = (f64::from(got) - expected).abs() - absolute(*activation);
                let ulps = off / (expected.abs() * f64::from(f32::EPSILON)).max(1e-300);
                if ulps > worst.0 || got.is_nan() {
                    worst = (ulps, *x, got);
                }
            }
            let (off, x, got) = worst;
            let level = &device.info().detail;
            println!("{level} {activation:?}: {off:.2} ulp at {x}");
            assert!(off <= ulps(*activation), "{level} {activation:?}: {off} ulp at {x}: {got}");
            assert!(!got.is_nan(), "{level} {activation:?}: NaN at {x}");
        }
    }
}

#[test]
fn nan_and_infinities_are_those_of_the_formula() {
    for device in devices() {
        for activation in Activation::ALL {
            let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            let got = through(&*device, activation, &values);
            for (x, got) in values.iter().zip(got) {
                let expected = activation.apply(f64::from(*x)) as f32;
                let same = got == expected || got.is_nan() && expected.is_nan();
                let level = &device.info().detail;
                assert!(same, "{level} {activation:?}({x}) = {got}, not {expected}");
            }
        }
    }
}
