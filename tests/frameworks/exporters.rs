//! ONNX files as exporters write them; see tests/python/make_exporter_cases.py.

use super::cases::check;

#[test]
fn torch_by_both_of_its_exporters() {
    check("exporters-torch.zip", 90);
}

#[test]
fn scikit_learn() {
    check("exporters-sklearn.zip", 72);
}
