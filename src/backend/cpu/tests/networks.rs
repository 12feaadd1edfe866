//! Random networks, heads, input types and precisions.

use half::{bf16, f16};

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
    let model = model.with_transform(transform).unwrap().with_u8_scale(Model::U8_SCALE).unwrap();
    let bytes: Vec<u8> = (0..77 * 50).map(|_| random.next() as u8).collect();
    let floats = random.units(77 * 50);
    let halves: Vec<f16> = floats.iter().copied().map(f16::from_f32).collect();
    let brains: Vec<bf16> = floats.iter().copied().map(bf16::from_f32).collect();
    let batches = [Rows::F32(&floats), Rows::F16(&halves), Rows::Bf16(&brains), Rows::U8(&bytes)];
    for (device, rows) in devices().iter().flat_map(|device| batches.map(|rows| (device, rows))) {
        for precision in Precision::ALL {
            let executable = load(&**device, &model, &options(rows.input(), precision));
            check(&model, &*executable, rows);
        }
    }
}

/// What is widened has the bits of rows that were widened before, whatever is left of a vector.
#[test]
fn narrow_rows_have_the_bits_of_wide_ones() {
    let mut random = Random(12);
    for width in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 100] {
        let model = network(&mut random, &[width, 20, 10], Activation::Tanh);
        // Every half there is, denormals and all, but for those that are no numbers.
        let bits: Vec<u16> = (0..width * 13).map(|_| random.next() as u16 & 0xbfff).collect();
        let halves: Vec<f16> = bits.iter().copied().map(f16::from_bits).collect();
        let brains: Vec<bf16> = bits.iter().copied().map(bf16::from_bits).collect();
        let bytes: Vec<u8> = bits.iter().map(|bits| *bits as u8).collect();
        let model = model.with_u8_scale(1.0).unwrap();
        let cases: [(Rows<'_>, Vec<f32>); 3] = [
            (Rows::F16(&halves), halves.iter().map(|value| value.to_f32()).collect()),
            (Rows::Bf16(&brains), brains.iter().map(|value| value.to_f32()).collect()),
            (Rows::U8(&bytes), bytes.iter().map(|byte| f32::from(*byte)).collect()),
        ];
        for (device, (narrow, wide)) in
            devices().iter().flat_map(|d| cases.iter().map(move |c| (d, c)))
        {
            let of = |input| load(&**device, &model, &options(input, Precision::F32));
            let got = scores(&*of(narrow.input()), *narrow);
            assert_eq!(got, scores(&*of(InputType::F32), Rows::F32(wide)), "{width} {narrow:?}");
        }
    }
}
