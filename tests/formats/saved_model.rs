//! SavedModel folders: the paper's own, and what becomes of folders that are no SavedModel.

use std::fs;
use std::path::Path;

use fusewire::backend::{arg_max, cpu::oracle};
use fusewire::model::{LoadOptions, ModelError};
use fusewire::{Activation, Model, Rows};

use crate::common::paper::{CLASSES, IMAGES, images, labels};
use crate::common::shared;

/// TensorFlow's own logits, which tests/python/make_paper_scores.py wrote.
fn scores() -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frameworks/paper/saved_model.f32");
    let bytes = fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

#[test]
fn the_papers_saved_model_is_87_9_percent_right() {
    let Some(folder) = shared("models/paper-fashion-mnist/saved_model") else { return };
    let (Some(images), Some(labels)) = (images(), labels()) else { return };
    let model = Model::load(folder).unwrap();
    assert_eq!((model.name(), model.architecture()), ("saved_model", "784-32-32-32-32-10".into()));
    assert_eq!(model.parameters(), 28_618);
    let activations: Vec<_> = model.layers().iter().map(|layer| layer.activation()).collect();
    assert_eq!(activations[..4], [Activation::Relu; 4]);
    assert_eq!(activations[4], Activation::Identity);
    let pixels: Vec<f32> = images.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let (found, expected) = (oracle(&model, Rows::F32(&pixels)), scores());
    assert_eq!((found.len(), expected.len()), (IMAGES * CLASSES, IMAGES * CLASSES));
    let differences = found.iter().zip(&expected).map(|(a, b)| (a - f64::from(*b)).abs());
    let worst = differences.fold(0.0, f64::max);
    assert!(worst < 1e-4, "largest difference to TensorFlow's logits: {worst}");
    let class = |scores: &[f64]| arg_max(&scores.iter().map(|s| *s as f32).collect::<Vec<_>>());
    let classes = found.chunks_exact(CLASSES).map(class);
    let hits = classes.zip(&labels).filter(|(class, label)| *class == usize::from(**label)).count();
    assert_eq!(hits, 879);
}

#[test]
fn a_damaged_copy_is_refused() {
    let Some(folder) = shared("models/paper-fashion-mnist/saved_model") else { return };
    let copy = tempfile::tempdir().unwrap();
    let variables = copy.path().join("variables");
    fs::create_dir(&variables).unwrap();
    let files =
        ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"];
    for file in files {
        fs::write(copy.path().join(file), fs::read(folder.join(file)).unwrap()).unwrap();
    }
    Model::load(copy.path()).unwrap();
    let flip = |file: &str, at: usize| {
        let path = copy.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let error = || Model::load(copy.path()).unwrap_err().to_string();
    for file in &files[1..] {
        // The last number of the data is a metric's, which the model does not use.
        let at = fs::metadata(copy.path().join(file)).unwrap().len() as usize / 2;
        flip(file, if *file == files[2] { 20_000 } else { at });
        assert!(error().contains("checksum"), "{file}: {}", error());
        flip(file, if *file == files[2] { 20_000 } else { at });
    }
    fs::remove_file(copy.path().join(files[2])).unwrap();
    assert!(matches!(Model::load(copy.path()), Err(ModelError::Io { .. })));
}

#[test]
fn what_a_folder_says_nobody_else_may_say() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("saved_model.pb"), b"").unwrap();
    let error = Model::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("a graph tagged 'serve', got none"), "{error}");
    let options = LoadOptions { activation: Some(Activation::Relu), ..LoadOptions::default() };
    let error = Model::load_with(folder.path(), &options).unwrap_err().to_string();
    assert!(error.contains("format saved_model states its own"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = Model::load(empty.path()).unwrap_err().to_string();
    assert!(error.contains("without .npy layers and without a saved_model.pb"), "{error}");
}
