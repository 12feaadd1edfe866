//! Models as frameworks write them, against the scores of the framework that wrote them.
//!
//! The frameworks are too heavy to be installed for each run of the tests, so scripts in
//! tests/python/ have written models, rows and scores into zips beside this file once.

mod cases;

use cases::check;

#[test]
fn keras() {
    check("keras.zip", 176);
}

#[test]
fn scikit_learns_onnx_files() {
    check("exporters-sklearn.zip", 72);
}

#[test]
fn tensorflow_saved_models() {
    check("saved_model.zip", 36);
}

#[test]
fn torch_onnx_files() {
    check("exporters-torch.zip", 239);
}

#[test]
fn torch_script() {
    check("torch_script.zip", 172);
}

#[test]
fn torch_state_dicts() {
    check("torch.zip", 133);
}
