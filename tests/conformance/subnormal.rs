//! Subnormal numbers of f32, nearer to 0 than 2^-126: weights are 0 wherever they are planned, and
//! rows and results may be. The oracle takes all of them for 0.

use fusewire::backend::cpu::oracle;
use fusewire::{Activation, Dense, InputType, Model, PlanOptions};

use crate::common::{self, Batch, Random};
use crate::devices::{devices, load};

const INPUTS: usize = 50;
const ROWS: usize = 33;

/// Every third number made subnormal.
fn with_subnormals(numbers: &[f32]) -> Vec<f32> {
    let number = |(at, number): (usize, &f32)| match at % 3 {
        0 => number * 1e-38,
        _ => *number,
    };
    numbers.iter().enumerate().map(number).collect()
}

#[test]
fn networks_and_rows_with_subnormals_agree_with_the_oracle() {
    let mut random = Random(41);
    let model = common::model(&mut random, &[INPUTS, 40, 200, 6], || Activation::Relu);
    let layer = |layer: &Dense| {
        let (weight, bias) = (with_subnormals(layer.weight()), layer.bias().map(with_subnormals));
        let (inputs, outputs) = (layer.inputs(), layer.outputs());
        Dense::new(inputs, outputs, weight, bias, layer.activation()).expect("a sound layer")
    };
    let layers = model.layers().iter().map(layer).collect();
    let model = Model::from_layers(layers).expect("a sound chain");
    let values = with_subnormals(&random.values(ROWS * INPUTS));
    for (name, device) in devices() {
        for precision in common::precisions(&*device) {
            for input in [InputType::F32, InputType::F16, InputType::Bf16] {
                let options = PlanOptions { input, precision, ..PlanOptions::default() };
                let executable = load(&*device, &model, &options);
                let batch = Batch::of(input, &values);
                let mut scores = vec![f32::NAN; ROWS * 6];
                executable.run(batch.rows(), &mut scores).expect("the batch runs");
                for (got, want) in scores.iter().zip(oracle(&model, batch.rows())) {
                    let error = (f64::from(*got) - want).abs() / want.abs().max(1.0);
                    let what = format!("{name}, {input:?} {precision:?}");
                    assert!(error <= precision.tolerance(), "{what}: {got}, expected {want}");
                }
            }
        }
    }
}

/// A subnormal row times huge weights: the oracle's 0, or the product where a device computes with
/// such numbers, and nothing else. A subnormal weight is 0 everywhere, however large the row.
#[test]
fn huge_numbers_times_subnormal_ones_are_bounded() {
    let model = |weight: f32| {
        let bias = Some(vec![0.5; 3]);
        let layer = Dense::new(4, 3, vec![weight; 12], bias, Activation::Identity);
        Model::from_layers(vec![layer.expect("a sound layer")]).expect("a sound chain")
    };
    let (huge, tiny) = (model(1e38), model(1e-39));
    for (name, device) in devices() {
        for count in [1, ROWS] {
            let run = |model: &Model, value: f32| {
                let executable = load(&*device, model, &PlanOptions::default());
                let mut scores = vec![f32::NAN; count * 3];
                let rows = Batch::F32(vec![value; count * 4]);
                executable.run(rows.rows(), &mut scores).expect("the batch runs");
                let want = oracle(model, rows.rows());
                assert!(want.iter().all(|score| *score == 0.5), "{name}");
                scores
            };
            // What four products of a number below 2^-126 by 1e38 come to at most.
            let bound = 0.5..0.5 + 4.0 * 1e38 * f32::MIN_POSITIVE;
            let scores = run(&huge, 1e-39);
            assert!(scores.iter().all(|score| bound.contains(score)), "{name}: {scores:?}");
            let scores = run(&tiny, 1e38);
            assert!(scores.iter().all(|score| *score == 0.5), "{name}: {scores:?}");
        }
    }
}
