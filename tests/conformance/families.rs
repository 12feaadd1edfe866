//! A few networks, small, that every kind of kernel has a part in: what tools which watch a device
//! closely, and slow it down for it, have the time for.

use fusewire::backend::cpu::oracle;
use fusewire::{Activation, Head, InputType, PlanOptions, Precision};

use crate::common::{self, Batch, Random};
use crate::devices::{devices, load};

/// Fused layers of each width that kernels are made for, the paper's model among them, and wide
/// layers with a head behind them.
const NETWORKS: [(&[usize], Head); 5] = [
    (&[33, 16, 9], Head::Logits),
    (&[784, 32, 32, 32, 32, 10], Head::Logits),
    (&[40, 64, 5], Head::Softmax),
    (&[31, 128, 7], Head::LogSoftmax),
    (&[50, 300, 70], Head::Softmax),
];
/// The few, the first that are not, and as many as there is room for, no whole number of tiles.
const BATCHES: [usize; 4] = [1, 16, 17, 100];

const INPUTS: [InputType; 4] = [InputType::F32, InputType::U8, InputType::F16, InputType::Bf16];

fn check(precision: Precision) {
    for (name, device) in devices() {
        if !common::precisions(&*device).contains(&precision) {
            continue;
        }
        for ((widths, head), input) in
            NETWORKS.iter().flat_map(|it| INPUTS.map(|input| (it, input)))
        {
            let mut random = Random(21);
            let model = common::model(&mut random, widths, || Activation::Relu).with_head(*head);
            let options = PlanOptions { input, precision, rows_max: 100 };
            let executable = load(&*device, &model, &options);
            for rows in BATCHES {
                let batch = Batch::random(input, rows * widths[0], &mut random);
                let batch = batch.rows();
                let mut scores = vec![f32::NAN; rows * model.classes()];
                executable.run(batch, &mut scores).expect("the batch runs");
                let want = oracle(&model, batch);
                let largest = want.iter().fold(1.0_f64, |most, score| most.max(score.abs()));
                for (got, want) in scores.iter().zip(want) {
                    let error = (f64::from(*got) - want).abs() / largest;
                    let what = format!("{name}, {widths:?}, {rows} rows, {input:?}, {precision:?}");
                    assert!(error <= precision.tolerance(), "{what}: {got}, expected {want}");
                }
            }
        }
    }
}

#[test]
fn of_f32_weights() {
    check(Precision::F32);
}

#[test]
fn of_f16_weights() {
    check(Precision::F16);
}

#[test]
fn of_int8_weights() {
    check(Precision::Int8);
}

#[test]
fn of_bf16_weights() {
    check(Precision::Bf16);
}
