//! SavedModel folders: copies of the paper's own that are damaged, and folders that are none.

use std::fs;

use fusewire::model::{LoadOptions, ModelError};
use fusewire::{Activation, Model};

use crate::common::shared;

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
