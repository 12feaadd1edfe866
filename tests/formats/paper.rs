//! The paper's own files, against the logits of their own frameworks and against reference scores
//! in double precision.

use std::fs;
use std::path::Path;

use fusewire::backend::{arg_max, cpu::oracle};
use fusewire::model::{Ending, LoadOptions};
use fusewire::{Activation, Model, Rows};

use crate::common::paper::{CLASSES, IMAGES, images, labels, reference};
use crate::common::shared;

const FOLDER: &str = "models/paper-fashion-mnist";
const PIXELS: usize = 784;

fn pixels() -> Option<Vec<f32>> {
    Some(images()?.iter().map(|byte| f32::from(*byte) / 255.0).collect())
}

/// Logits as the model's own framework computes them, from tests/python/make_paper_scores.py.
fn of_framework(name: &str) -> Vec<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frameworks/paper");
    let bytes = fs::read(folder.join(name).with_extension("f32")).unwrap();
    let number = |number: &[u8; 4]| f64::from(f32::from_le_bytes(*number));
    bytes.as_chunks().0.iter().map(number).collect()
}

/// The model of a file of the paper, once its logits are those of its framework and as many of its
/// classes right as there.
fn check(path: &str, options: &LoadOptions, framework: &str, correct: usize) -> Option<Model> {
    let model = Model::load_with(shared(FOLDER)?.join(path), options).unwrap();
    let (pixels, labels) = (pixels()?, labels()?);
    assert_eq!((pixels.len(), labels.len()), (IMAGES * PIXELS, IMAGES));
    let scores = oracle(&model, Rows::F32(&pixels));
    let worst = difference(&scores, &of_framework(framework));
    assert!(worst < 1e-4, "largest difference to the framework: {worst}");
    let class = |scores: &[f64]| arg_max(&scores.iter().map(|s| *s as f32).collect::<Vec<_>>());
    let classes = scores.chunks_exact(CLASSES).map(class);
    let hits = classes.zip(&labels).filter(|(class, label)| *class == usize::from(**label)).count();
    assert_eq!(hits, correct);
    Some(model)
}

fn difference(scores: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(scores.len(), expected.len());
    scores.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Scores in double precision differ by what the reference's rounding of weights leaves.
fn check_reference(model: &Model, name: &str) {
    let (Some(pixels), Some(expected)) = (pixels(), reference(name)) else { return };
    let worst = difference(&oracle(model, Rows::F32(&pixels)), &expected);
    assert!(worst < 1e-5, "largest difference to the reference: {worst}");
}

#[test]
fn the_onnx_file_is_84_6_percent_right() {
    let said = LoadOptions::default();
    let Some(model) = check("onnx/ffnn.onnx", &said, "onnx", 846) else { return };
    check_reference(&model, "paper-onnx-logits-float64.npy");
    assert_eq!(model.architecture(), "784-32-32-32-32-10");
    assert_eq!((model.parameters(), model.name()), (28_618, "ffnn"));
    assert!(model.notes()[0].contains("fixed at 1"));
}

#[test]
fn the_torch_file_is_the_onnx_file_with_what_its_paper_says() {
    let said = LoadOptions {
        activation: Some(Activation::Relu),
        ending: Some(Ending::Activation(Activation::Identity)),
        ..LoadOptions::default()
    };
    let Some(model) = check("torch/ffnn.torch", &said, "torch", 846) else { return };
    let onnx = Model::load(shared(FOLDER).unwrap().join("onnx/ffnn.onnx")).unwrap();
    assert_eq!((model.content_hash(), model.difference(&onnx)), (onnx.content_hash(), None));
    assert_eq!((model.architecture(), model.name()), ("784-32-32-32-32-10".into(), "ffnn"));
    let note = &model.notes()[0];
    assert!(note.starts_with("order: as registered in the file, where 'hidden"), "{note}");
}

#[test]
fn the_npy_layers_are_75_percent_right() {
    let Some(model) = check("npy", &LoadOptions::default(), "npy", 750) else { return };
    check_reference(&model, "paper-npy-logits-float64.npy");
    assert_eq!((model.parameters(), model.name()), (28_480, "ffnn"));
    assert_eq!(model.notes(), ["there are no biases"]);
}

#[test]
fn the_saved_model_is_87_9_percent_right() {
    let said = LoadOptions::default();
    let Some(model) = check("saved_model", &said, "saved_model", 879) else { return };
    assert_eq!((model.name(), model.architecture()), ("saved_model", "784-32-32-32-32-10".into()));
    assert_eq!(model.parameters(), 28_618);
    let activations: Vec<_> = model.layers().iter().map(|layer| layer.activation()).collect();
    assert_eq!(activations[..4], [Activation::Relu; 4]);
    assert_eq!(activations[4], Activation::Identity);
}

#[test]
fn the_other_files_are_recognised_and_say_what_to_do() {
    for (path, part) in [
        ("torch/ffnn.torch", "does not say which activations follow its layers; say it with"),
        ("saved_model/saved_model.pb", "open the folder it is in"),
        ("npy/0-WEIGHT-ffnn.npy", "one .npy array"),
        ("LICENSE", "no model that is known"),
        ("missing", "No such file"),
    ] {
        let Some(directory) = shared(FOLDER) else { return };
        let error = Model::load(directory.join(path)).unwrap_err().to_string();
        assert!(error.contains(part), "{path}: {error}");
    }
}
