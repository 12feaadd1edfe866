//! NaN, infinities and denormals: a bad row spoils only itself, and the same way on every backend.

use fusewire::backend::cpu::oracle;
use fusewire::backend::{Executable, arg_max};
use fusewire::{Activation, Head, Model, PlanOptions, Rows};

use crate::common::{self, Random};
use crate::devices::{devices, load};

const ROWS: usize = 33;
const SPOILT: usize = 20;

fn scores(executable: &dyn Executable, values: &[f32]) -> Vec<f32> {
    let mut scores = vec![0.0; ROWS * executable.plan().classes()];
    executable.run(Rows::F32(values), &mut scores).expect("the batch runs");
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
    networks
}

/// The other rows keep their bits; the spoilt one is NaN, infinite or finite where the oracle's is.
#[test]
fn a_bad_row_spoils_only_itself() {
    let clean = Random(5).values(ROWS * 50);
    for (name, device) in devices() {
        for model in networks() {
            let executable = load(&*device, &model, &PlanOptions::default());
            let before = scores(&*executable, &clean);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40] {
                let mut values = clean.clone();
                values[SPOILT * 50 + 17] = bad;
                let after = scores(&*executable, &values);
                let what = format!("{name}, {:?}, {bad}", model.layers()[0].activation());
                check_neighbours(&before, &after, &what);
                let row = Rows::F32(&values[SPOILT * 50..][..50]);
                check_spoilt(&after[SPOILT * 6..][..6], &oracle(&model, row), &what);
            }
        }
    }
}

fn check_neighbours(before: &[f32], after: &[f32], what: &str) {
    for (row, (before, after)) in before.chunks(6).zip(after.chunks(6)).enumerate() {
        let same = before.iter().zip(after).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same || row == SPOILT, "{what}: row {row} changed: {before:?} {after:?}");
    }
}

fn check_spoilt(got: &[f32], want: &[f64], what: &str) {
    for (got, want) in got.iter().zip(want) {
        let got = f64::from(*got);
        let same = match want {
            want if want.is_nan() => got.is_nan(),
            want if want.is_infinite() => got == *want,
            want => (got - want).abs() <= 1e-4 * want.abs().max(1.0),
        };
        assert!(same, "{what}: {got} where the oracle says {want}");
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
