//! NaN, infinities and denormals: a bad row spoils only itself, and the same way on every backend.

use fusewire::backend::cpu::oracle;
use fusewire::backend::{Device, Executable, arg_max};
use fusewire::{Activation, Dense, Head, InputType, Model, PlanOptions, Precision};

use crate::common::{self, Batch, Random};
use crate::devices::{devices, load};

const ROWS: usize = 33;
const SPOILT: usize = 20;

fn scores(executable: &dyn Executable, values: &[f32]) -> Vec<f32> {
    let mut scores = vec![0.0; ROWS * executable.plan().classes()];
    let batch = Batch::of(executable.plan().input(), values);
    executable.run(batch.rows(), &mut scores).expect("the batch runs");
    scores
}

fn networks() -> Vec<Model> {
    let mut random = Random(3);
    let mut networks = Vec::new();
    for activation in Activation::ALL {
        networks.push(common::model(&mut random, &[50, 20, 30, 6], || activation));
    }
    let relu = || Activation::Relu;
    networks.push(common::model(&mut random, &[50, 700, 6], relu).with_head(Head::Softmax));
    networks.push(common::model(&mut random, &[50, 20, 6], relu).with_head(Head::LogSoftmax));
    // Nothing is left of these weights where the others are split in two.
    let halves = |outputs, inputs| {
        let weights = (0..inputs * outputs).map(|at| if at % 3 == 0 { -0.5 } else { 0.25 });
        Dense::new(inputs, outputs, weights.collect(), None, Activation::Relu).expect("sound")
    };
    networks.push(Model::from_layers(vec![halves(20, 50), halves(6, 20)]).expect("a sound chain"));
    networks
}

/// The other rows keep their bits; the spoilt one is NaN, infinite or finite where the oracle's is.
#[test]
fn a_bad_row_spoils_only_itself() {
    for (name, device) in devices() {
        for model in networks() {
            check(&*device, &model, &PlanOptions::default(), &name);
        }
    }
}

/// The same of halves, which meet weights of f32 and of their own type in ways of their own, and of
/// weights of bf16, for which some devices round all that layers read.
#[test]
fn a_bad_row_of_halves_spoils_only_itself() {
    use {InputType as Of, Precision as By};
    let halves = [(Of::F16, By::F32), (Of::F16, By::F16), (Of::Bf16, By::F32)];
    let types = halves.into_iter().chain([Of::Bf16, Of::F16, Of::F32].map(|of| (of, By::Bf16)));
    let types: Vec<_> = types.collect();
    for (name, device) in devices() {
        for (input, precision) in types.iter().copied() {
            let options = PlanOptions { input, precision, ..PlanOptions::default() };
            // A few activations, and the last ones: a wide layer and other heads.
            for model in networks().iter().rev().step_by(3) {
                check(&*device, model, &options, &name);
            }
        }
    }
}

fn check(device: &dyn Device, model: &Model, options: &PlanOptions, name: &str) {
    let clean = Random(5).values(ROWS * 50);
    let executable = load(device, model, options);
    let before = scores(&*executable, &clean);
    // The last two are denormal, one of them as an f16.
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, 6e-8] {
        let mut values = clean.clone();
        values[SPOILT * 50 + 17] = bad;
        let after = scores(&*executable, &values);
        let what = format!("{name}, {options:?}, {:?}, {bad}", model.layers()[0].activation());
        check_neighbours(&before, &after, &what);
        let batch = Batch::of(options.input, &values[SPOILT * 50..][..50]);
        let want = oracle(model, batch.rows());
        check_spoilt(&after[SPOILT * 6..][..6], &want, options.precision.tolerance(), &what);
    }
}

fn check_neighbours(before: &[f32], after: &[f32], what: &str) {
    for (row, (before, after)) in before.chunks(6).zip(after.chunks(6)).enumerate() {
        let same = before.iter().zip(after).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same || row == SPOILT, "{what}: row {row} changed: {before:?} {after:?}");
    }
}

fn check_spoilt(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    for (got, want) in got.iter().zip(want) {
        let got = f64::from(*got);
        let same = match want {
            want if want.is_nan() => got.is_nan(),
            want if want.is_infinite() => got == *want,
            want => (got - want).abs() <= tolerance * want.abs().max(1.0),
        };
        assert!(same, "{what}: {got} where the oracle says {want}");
    }
}

/// A row of int8 that holds no finite number is NaN, whatever its activations make of infinities.
#[test]
fn a_bad_row_of_int8_is_nan_and_alone() {
    let clean = Random(5).values(ROWS * 50);
    let options = PlanOptions { precision: Precision::Int8, ..PlanOptions::default() };
    let devices = devices().into_iter().filter(|(_, device)| common::has_int8(&**device));
    // The fake computes in double precision whatever is planned.
    for (name, device) in devices.filter(|(name, _)| name != "fake") {
        for model in networks() {
            let executable = load(&*device, &model, &options);
            let before = scores(&*executable, &clean);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = clean.clone();
                values[SPOILT * 50 + 17] = bad;
                let after = scores(&*executable, &values);
                let what = format!("{name}, {:?}, {bad}", model.layers()[0].activation());
                check_neighbours(&before, &after, &what);
                assert!(after[SPOILT * 6..][..6].iter().all(|score| score.is_nan()), "{what}");
            }
        }
    }
}

/// A NaN row has one class on every backend: the first NaN's.
#[test]
fn a_nan_row_is_class_zero_everywhere() {
    let mut values = Random(6).values(ROWS * 50);
    values[SPOILT * 50] = f32::NAN;
    for (name, device) in devices() {
        for model in networks() {
            let executable = load(&*device, &model, &PlanOptions::default());
            let after = scores(&*executable, &values);
            assert_eq!(arg_max(&after[SPOILT * 6..][..6]), 0, "{name}");
        }
    }
}
