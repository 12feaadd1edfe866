//! Random networks, heads, input types and precisions.

use super::*;
use crate::model::{Head, InputTransform, PerInput};

#[test]
fn random_networks_agree_with_the_oracle() {
    let mut random = Random(1);
    for round in 0..120 {
        let layers = random.between(1, 12);
        let widths: Vec<usize> = (0..=layers).map(|_| random.between(1, 90)).collect();
        let activation = Activation::ALL[round % Activation::ALL.len()];
        let model = network(&mut random, &widths, activation);
        let count = random.between(1, 40);
        let rows = random.units(count * widths[0]);
        for device in devices() {
            let executable = load(&*device, &model, &PlanOptions::default());
            check(&model, &*executable, Rows::F32(&rows));
        }
    }
}

#[test]
fn wide_and_narrow_layers_mix() {
    let shapes: [&[usize]; 6] = [
        &[784, 32, 32, 32, 32, 10],
        &[1, 3000, 7],
        &[3000, 1],
        &[300, 700, 40, 33, 500, 3],
        &[1024, 257, 256],
        &[20, 2000],
    ];
    let mut random = Random(2);
    for widths in shapes {
        let model = network(&mut random, widths, Activation::Relu);
        for count in [1, 13, 100] {
            let rows = random.units(count * widths[0]);
            for device in devices() {
                let executable = load(&*device, &model, &PlanOptions::default());
                check(&model, &*executable, Rows::F32(&rows));
            }
        }
    }
}

#[test]
fn a_batch_of_several_blocks() {
    let mut random = Random(3);
    let model = network(&mut random, &[5, 600, 9], Activation::Tanh);
    let rows = random.units(5 * 2500);
    for device in devices() {
        let executable = load(&*device, &model, &PlanOptions::default());
        check(&model, &*executable, Rows::F32(&rows));
    }
}

#[test]
fn heads_are_applied_by_narrow_and_by_wide_layers() {
    let mut random = Random(4);
    for widths in [&[30, 20, 10][..], &[30, 700], &[7, 5]] {
        for head in [Head::Logits, Head::Softmax, Head::LogSoftmax] {
            let model = network(&mut random, widths, Activation::Identity).with_head(head);
            let rows = random.units(widths[0] * 29);
            for device in devices() {
                let executable = load(&*device, &model, &PlanOptions::default());
                check(&model, &*executable, Rows::F32(&rows));
            }
        }
    }
}

#[test]
fn bytes_and_rounded_weights_stay_within_their_precision() {
    let mut random = Random(5);
    let transform =
        InputTransform { scale: PerInput::Uniform(2.0), offset: PerInput::Each(random.units(77)) };
    let model = network(&mut random, &[77, 40, 35, 10], Activation::Silu);
    let model = model.with_transform(transform).unwrap();
    let bytes: Vec<u8> = (0..77 * 50).map(|_| random.next() as u8).collect();
    let floats = random.units(77 * 50);
    for device in devices() {
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            let executable = load(&*device, &model, &options(InputType::U8, precision));
            check(&model, &*executable, Rows::U8(&bytes));
            let executable = load(&*device, &model, &options(InputType::F32, precision));
            check(&model, &*executable, Rows::F32(&floats));
        }
    }
}
