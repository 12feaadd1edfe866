//! `model.toml` beside weights of other formats.

use std::fs;
use std::path::Path;

use fusewire::model::LoadOptions;
use fusewire::{Activation, Dense, Model, ModelError};

fn model() -> Model {
    let weight = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let layer = Dense::new(3, 2, weight, Some(vec![0.5, -0.5]), Activation::Relu).unwrap();
    Model::from_layers(vec![layer]).unwrap().with_name("weights' own")
}

/// A folder with weights and a manifest of this text.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    model().save(folder.path().join("weights.safetensors")).unwrap();
    fs::write(folder.path().join("model.toml"), text).unwrap();
    folder
}

fn refused(path: &Path, part: &str) {
    let error = Model::load(path).expect_err(part).to_string();
    assert!(error.contains(part) && !error.contains('\n'), "expected '{part}' in: {error}");
}

#[test]
fn a_manifest_or_its_folder_is_the_model() {
    let folder =
        folder("weights = 'weights.safetensors'\nlabels = ['left', 'right']\n[input]\nscale = 0.5");
    for path in [folder.path().to_owned(), folder.path().join("model.toml")] {
        let read = Model::load(path).unwrap();
        assert_eq!(read.labels().unwrap(), ["left", "right"]);
        assert_eq!(read.name(), "weights' own");
        assert_eq!(read.transform().scale.at(2), 0.5);
        assert_eq!(read.layers(), model().layers());
        assert!(read.notes().iter().any(|note| note.contains("weights.safetensors")));
    }
}

#[test]
fn what_the_weights_state_may_not_be_said_again() {
    let folder = folder("weights = 'weights.safetensors'\nactivation = 'tanh'");
    refused(folder.path(), "activation: expected nothing, because a file of format safetensors");
    let said = LoadOptions { activation: Some(Activation::Tanh), ..LoadOptions::default() };
    let manifest = folder.path().join("model.toml");
    fs::write(&manifest, "weights = 'weights.safetensors'").unwrap();
    let error = Model::load_with(&manifest, &said).unwrap_err();
    assert!(matches!(error, ModelError::Invalid { .. }), "{error}");
    assert!(Model::load(&manifest).is_ok());
}

#[test]
fn a_manifest_leads_to_weights_in_its_folder_and_nowhere_else() {
    let inner = folder("weights = 'weights.safetensors'");
    let manifest = inner.path().join("model.toml");
    let text = fs::read(&manifest).unwrap();
    let error = Model::from_bytes(&text).unwrap_err().to_string();
    assert!(error.contains("a path, because it names a file beside it"), "{error}");
    fs::write(&manifest, "weights = 'missing.onnx'").unwrap();
    assert!(matches!(Model::load(&manifest).unwrap_err(), ModelError::Io { .. }));
    fs::write(&manifest, "weights = 'model.toml'").unwrap();
    refused(&manifest, "another manifest");
    fs::write(&manifest, "weights = '../weights.safetensors'").unwrap();
    refused(&manifest, "inside the manifest's folder");
}
