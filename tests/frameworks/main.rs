//! Models as frameworks write them, against the scores of the framework that wrote them.
//!
//! The frameworks are too heavy to be installed for each run of the tests, so scripts in
//! tests/python/ have written models, rows and scores into zips beside this file once.

mod cases;
mod exporters;

use cases::check;

#[test]
fn keras() {
    check("keras.zip", 178);
}

#[test]
fn saved_models() {
    check("saved_model.zip", 36);
}

#[test]
fn torch() {
    check("torch.zip", 133);
}
