//! The paper's own files against reference scores in double precision.

use fusewire::backend::{arg_max, cpu::oracle};
use fusewire::model::{Ending, LoadOptions};
use fusewire::{Activation, Model, Rows};

use crate::common::paper::{CLASSES, IMAGES, images, labels, reference};
use crate::common::shared;

const PIXELS: usize = 784;

fn pixels() -> Option<Vec<f32>> {
    Some(images()?.iter().map(|byte| f32::from(*byte) / 255.0).collect())
}

fn check(model: &str, reference_name: &str, correct: usize) -> Option<Model> {
    check_with(model, &LoadOptions::default(), reference_name, correct)
}

fn check_with(
    model: &str,
    options: &LoadOptions,
    reference_name: &str,
    correct: usize,
) -> Option<Model> {
    let path = shared("models/paper-fashion-mnist")?.join(model);
    let model = Model::load_with(path, options).unwrap();
    let (pixels, labels) = (pixels()?, labels()?);
    assert_eq!((pixels.len(), labels.len()), (IMAGES * PIXELS, IMAGES));
    let scores = oracle(&model, Rows::F32(&pixels));
    let expected = reference(reference_name)?;
    let worst = scores.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-5, "largest difference to the reference: {worst}");
    let class = |scores: &[f64]| arg_max(&scores.iter().map(|s| *s as f32).collect::<Vec<_>>());
    let classes = scores.chunks_exact(CLASSES).map(class);
    let hits = classes.zip(&labels).filter(|(class, label)| *class == usize::from(**label)).count();
    assert_eq!(hits, correct);
    Some(model)
}

#[test]
fn the_onnx_file_is_84_6_percent_right() {
    let Some(model) = check("onnx/ffnn.onnx", "paper-onnx-logits-float64.npy", 846) else { return };
    assert_eq!(model.architecture(), "784-32-32-32-32-10");
    assert_eq!((model.parameters(), model.name()), (28_618, "ffnn"));
    assert!(model.notes()[0].contains("fixed at 1"));
}

#[test]
fn the_torch_file_is_the_onnx_file_with_what_its_paper_says() {
    let options = LoadOptions {
        activation: Some(Activation::Relu),
        ending: Some(Ending::Activation(Activation::Identity)),
        ..LoadOptions::default()
    };
    let reference = "paper-onnx-logits-float64.npy";
    let Some(model) = check_with("torch/ffnn.torch", &options, reference, 846) else { return };
    let onnx = shared("models/paper-fashion-mnist").unwrap().join("onnx/ffnn.onnx");
    assert_eq!(model.content_hash(), Model::load(onnx).unwrap().content_hash());
    assert_eq!((model.architecture(), model.name()), ("784-32-32-32-32-10".into(), "ffnn"));
    assert_eq!(model.notes()[0], "order: as registered in the file");
}

#[test]
fn the_npy_layers_are_75_percent_right() {
    let Some(model) = check("npy", "paper-npy-logits-float64.npy", 750) else { return };
    assert_eq!((model.parameters(), model.name()), (28_480, "ffnn"));
    assert_eq!(model.notes(), ["there are no biases"]);
}

#[test]
fn the_other_files_are_recognised_and_say_what_to_do() {
    for (path, part) in [
        ("torch/ffnn.torch", "does not say which activations follow its layers; say it with"),
        ("saved_model", "a TensorFlow SavedModel"),
        ("saved_model/saved_model.pb", "no model that is known"),
        ("npy/0-WEIGHT-ffnn.npy", "one .npy array"),
        ("LICENSE", "no model that is known"),
        ("missing", "No such file"),
    ] {
        let Some(directory) = shared("models/paper-fashion-mnist") else { return };
        let error = Model::load(directory.join(path)).unwrap_err().to_string();
        assert!(error.contains(part), "{path}: {error}");
    }
}
