//! The paper's own files against reference scores in double precision.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use fusewire::backend::{arg_max, cpu::oracle};
use fusewire::{Model, Rows};

const IMAGES: usize = 1000;
const PIXELS: usize = 784;
const CLASSES: usize = 10;

fn shared(path: &str) -> Option<PathBuf> {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    if !shared.exists() {
        println!("skipped: ../shared is missing");
        return None;
    }
    Some(shared.join(path))
}

/// The payload of an idx file behind a header of `header` bytes.
fn idx(name: &str, header: usize) -> Option<Vec<u8>> {
    let file = File::open(shared("data/fashion-mnist-1000")?.join(name)).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    Some(bytes.split_off(header))
}

fn pixels() -> Option<Vec<f32>> {
    let bytes = idx("images-idx3-ubyte.gz", 16)?;
    Some(bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect())
}

/// Reference scores, `[1000, 10]` f64, behind numpy's 128-byte header.
fn reference(name: &str) -> Option<Vec<f64>> {
    let bytes = std::fs::read(shared("data/fashion-mnist-1000")?.join(name)).unwrap();
    let (numbers, _) = bytes[bytes.len() - 8 * IMAGES * CLASSES..].as_chunks();
    Some(numbers.iter().map(|number| f64::from_le_bytes(*number)).collect())
}

fn check(model: &str, reference_name: &str, correct: usize) -> Option<Model> {
    let model = Model::load(shared("models/paper-fashion-mnist")?.join(model)).unwrap();
    let (pixels, labels) = (pixels()?, idx("labels-idx1-ubyte.gz", 8)?);
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
fn the_npy_layers_are_75_percent_right() {
    let Some(model) = check("npy", "paper-npy-logits-float64.npy", 750) else { return };
    assert_eq!((model.parameters(), model.name()), (28_480, "ffnn"));
    assert_eq!(model.notes(), ["there are no biases"]);
}

#[test]
fn the_other_files_are_recognised_and_say_what_to_do() {
    for (path, part) in [
        ("torch/ffnn.torch", "a PyTorch archive"),
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
