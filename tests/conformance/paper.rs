//! The paper's own models on its 1,000 images, on every backend.

use std::io::Read;
use std::path::Path;

use fusewire::backend::arg_max;
use fusewire::{InputType, Model, PlanOptions, Rows};

use crate::common::shared;
use crate::devices::{devices, load};

const IMAGES: usize = 1000;

fn gunzip(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).expect("the file is there");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("the file is sound");
    bytes
}

/// Reference scores, `[1000, 10]` in float64.
fn reference(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).expect("the file is there");
    bytes[bytes.len() - IMAGES * 10 * 8..]
        .chunks_exact(8)
        .map(|number| f64::from_le_bytes(number.try_into().expect("8 bytes")))
        .collect()
}

fn check(model_file: &str, reference_file: &str, expected_correct: usize) {
    let Some(data) = shared("data/fashion-mnist-1000") else { return };
    let model = shared("models/paper-fashion-mnist").expect("seen above").join(model_file);
    let model = Model::load(model).expect("the paper's file loads");
    let bytes = gunzip(&data.join("images-idx3-ubyte.gz"))[16..].to_vec();
    let labels = gunzip(&data.join("labels-idx1-ubyte.gz"))[8..].to_vec();
    let pixels: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let want = reference(&data.join(reference_file));
    for (name, device) in devices() {
        for input in [InputType::F32, InputType::U8] {
            let rows = if input == InputType::U8 { Rows::U8(&bytes) } else { Rows::F32(&pixels) };
            let options = PlanOptions { input, ..PlanOptions::default() };
            let mut scores = vec![0.0; IMAGES * 10];
            load(&*device, &model, &options).run(rows, &mut scores).expect("the batch runs");
            let errors = scores.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want).abs());
            let worst = errors.fold(0.0, f64::max);
            let classes = scores.chunks_exact(10).map(arg_max);
            let correct = classes.zip(&labels).filter(|(class, label)| *class == **label as usize);
            let correct = correct.count();
            println!(
                "{model_file} on {name}, {input:?}: {correct} of 1000, worst error {worst:.1e}"
            );
            assert_eq!(correct, expected_correct, "{name}, {input:?}");
            assert!(worst <= 1e-4, "{name}, {input:?}: off by {worst}");
        }
    }
}

#[test]
fn the_onnx_file_scores_846() {
    check("onnx/ffnn.onnx", "paper-onnx-logits-float64.npy", 846);
}

#[test]
fn the_npy_layers_score_750() {
    check("npy", "paper-npy-logits-float64.npy", 750);
}
