//! Models as frameworks write them, against the scores of the framework that wrote them.
//!
//! The frameworks are too heavy to be installed for each run of the tests, so scripts in
//! tests/python/ have written models, rows and scores into zips beside this file once.

mod cases;
mod torch_script;

#[test]
fn what_pytorch_saves() {
    cases::check("torch.zip", 133);
}
