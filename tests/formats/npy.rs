//! `.npy` layers in directories and zips: names, types, orders, orientations.

use std::io::{Cursor, Write};

use fusewire::model::LoadOptions;
use fusewire::{Activation, Head, Model};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::torch::relu;

/// A `.npy` array as numpy writes it.
pub fn array(descr: &str, fortran: bool, shape: &str, payload: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    let text = format!("{text:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(payload);
    bytes
}

pub fn f4(shape: &str, numbers: &[f32]) -> Vec<u8> {
    array("<f4", false, shape, bytemuck::cast_slice(numbers))
}

pub fn npz(members: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A 3-2-1 network: leaky ReLU, then softmax.
pub fn members() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("10-WEIGHT-net.npy", f4("(1, 2)", &[7.0, 8.0])),
        ("2-WEIGHT-net.npy", f4("(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("3-BIAS-net.npy", f4("(2,)", &[0.5, -0.5])),
        ("4-ACTIVATION-LEAKY_RELU-net.npy", Vec::new()),
        ("11-ACTIVATION-SOFTMAX-net.npy", f4("(0,)", &[])),
    ]
}

fn load(members: &[(&str, Vec<u8>)]) -> Result<Model, String> {
    let bytes = npz(members, CompressionMethod::Stored);
    Model::from_bytes(&bytes).map_err(|error| error.to_string())
}

fn refused(members: &[(&str, Vec<u8>)], part: &str) {
    let error = load(members).expect_err(part);
    assert!(error.contains(part), "expected '{part}' in: {error}");
}

fn check(model: &Model) {
    assert_eq!((model.architecture().as_str(), model.name()), ("3-2-1", "net"));
    let first = &model.layers()[0];
    assert_eq!(first.weight(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(first.bias(), Some(&[0.5, -0.5][..]));
    assert_eq!(first.activation(), Activation::LeakyRelu { alpha: 0.01 });
    assert_eq!(model.layers()[1].weight(), [7.0, 8.0]);
    assert_eq!(model.head(), Head::Softmax);
}

#[test]
fn zips_and_directories_hold_the_same_model() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        check(&Model::from_bytes(&npz(&members(), method)).unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in members() {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    std::fs::write(directory.path().join("README.md"), "left alone").unwrap();
    check(&Model::load(directory.path()).unwrap());
    let empty = tempfile::tempdir().unwrap();
    let error = Model::load(empty.path()).unwrap_err().to_string();
    assert!(error.contains("a directory without .npy layers"), "{error}");
}

#[test]
fn every_float_type_and_order() {
    let half = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(half::f16::from_f32);
    let by_column = [1.0_f32, 4.0, 2.0, 5.0, 3.0, 6.0];
    for weight in [
        array("<f2", false, "(2, 3)", bytemuck::cast_slice(&half)),
        array("<f8", false, "(2, 3)", bytemuck::cast_slice(&[1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0])),
        array("<f4", true, "(2, 3)", bytemuck::cast_slice(&by_column)),
    ] {
        let mut members = members();
        members[1].1 = weight;
        check(&load(&members).unwrap());
    }
}

#[test]
fn weights_stored_the_other_way_are_turned() {
    let mut members = members();
    members[1].1 = f4("(3, 2)", &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    members[0].1 = f4("(2, 1)", &[7.0, 8.0]);
    let model = load(&members).unwrap();
    check(&model);
    assert!(model.notes()[0].contains("transposed"));
    // One of the two the other way chains in neither.
    members[0].1 = f4("(1, 2)", &[7.0, 8.0]);
    assert!(load(&members).is_err());
}

#[test]
fn biases_may_be_rows_or_columns_and_activations_of_any_case() {
    for shape in ["(2, 1)", "(1, 2)"] {
        let mut members = members();
        members[2].1 = f4(shape, &[0.5, -0.5]);
        members[3].0 = "4-ACTIVATION-LeakyReLU-net.npy";
        members[4].0 = "11-ACTIVATION-softmax-net.npy";
        check(&load(&members).unwrap());
    }
}

#[test]
fn arrays_by_name_are_all_used_or_named() {
    let members = || {
        vec![
            ("W1.npy", f4("(3, 2)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            ("b1.npy", f4("(1, 2)", &[0.5, -0.5])),
            ("W2.npy", f4("(2, 1)", &[7.0, 8.0])),
            ("b2.npy", f4("(1,)", &[0.25])),
            ("mean.npy", f4("(3,)", &[1.0; 3])),
        ]
    };
    let without = npz(&members()[..4], CompressionMethod::Stored);
    let plain = Model::from_bytes_with(&without, &relu()).unwrap();
    assert_eq!(plain.architecture(), "3-2-1");
    assert_eq!(plain.layers()[0].bias().unwrap(), [0.5, -0.5]);
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in members() {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let error = Model::load_with(directory.path(), &relu()).unwrap_err().to_string();
    assert!(error.contains("'mean' (tensor)"), "{error}");
    let order = Some(["W1", "W2"].map(String::from).to_vec());
    let model = Model::load_with(directory.path(), &LoadOptions { order, ..relu() }).unwrap();
    assert_eq!(model.content_hash(), plain.content_hash());
    assert!(model.notes().iter().any(|note| note.ends_with("1 tensor: 'mean'")));
}

#[test]
fn names_and_order_are_checked() {
    let with = |name: &'static str, bytes: Vec<u8>| {
        let mut members = members();
        members.push((name, bytes));
        members
    };
    let weight = || f4("(1, 1)", &[1.0]);
    refused(&with("12-WEIGHT-net.npy", weight()), "nothing after the softmax");
    refused(&with("x-WEIGHT-net.npy", weight()), "<index>-WEIGHT-*");
    refused(&with("1-SCALE-net.npy", weight()), "<index>-WEIGHT-*");
    refused(&with("1-BIAS-net.npy", f4("(2, 2)", &[1.0; 4])), "shape [outputs]");
    refused(&with("1-BIAS-net.npy", f4("(1,)", &[1.0])), "a weight just before");
    refused(&with("5-BIAS-net.npy", f4("(2,)", &[1.0, 1.0])), "a weight just before");
    refused(&with("1-ACTIVATION-RELU.npy", Vec::new()), "a weight before");
    refused(&with("5-ACTIVATION-RELU.npy", Vec::new()), "one activation");
    refused(&with("5-ACTIVATION-SOFTMAX.npy", Vec::new()), "nothing after the softmax");
    refused(&with("5-ACTIVATION-CUBE.npy", Vec::new()), "CUBE");
    refused(&with("5-ACTIVATION-relu.npy", Vec::new()), "one activation");
    refused(&with("10-ACTIVATION-CLIP:0,6.npy", Vec::new()), "the name of an activation");
    refused(&with("5-ACTIVATION-RELU.npy", weight()), "no content");
    let error = load(&with("notes.txt", Vec::new())).unwrap_err();
    assert!(error.contains("a zip of something else"), "{error}");
}

#[test]
fn headers_are_checked_against_what_is_there() {
    let with = |weight: Vec<u8>| [("0-WEIGHT-w.npy", weight)];
    let payload: &[u8] = &[0; 24];
    refused(&with(array("<i4", false, "(2, 3)", payload)), "descr '<f2', '<f4' or '<f8'");
    refused(&with(array(">f4", false, "(2, 3)", payload)), "descr");
    refused(&with(array("|O", false, "(2, 3)", payload)), "descr");
    refused(&with(array("<f4", false, "(2, 4)", payload)), "shape [2, 4] needs, got 24");
    refused(&with(array("<f4", false, "(6,)", payload)), "[outputs, inputs]");
    refused(&with(array("<f4", false, "(1, 2, 3)", payload)), "[outputs, inputs]");
    refused(&with(array("<f4", true, "(1, 2, 3)", payload)), "at most two axes");
    refused(&with(array("<f4", false, "(0, 3)", &[])), "at least 1");
    // 80 bytes that ask for 32 GiB, and for more than any address.
    refused(&with(array("<f8", false, "(65536, 65536)", &[])), "got 0");
    refused(&with(array("<f8", false, "(4294967296, 4294967296)", &[])), "got 0");
    refused(&with(b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec()), "at most 65536 bytes");
    refused(&with(b"\x93NUMPY\x09\x00\x00\x00".to_vec()), "got 9.0");
    refused(&with(Vec::new()), "a .npy array");
}

/// 3-2-1 under names that say neither order nor activations.
fn named() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("out/kernel.npy", f4("(2, 1)", &[7.0, 8.0])),
        ("out/bias.npy", f4("(1,)", &[0.25])),
        ("hidden/kernel.npy", f4("(3, 2)", &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])),
        ("hidden/bias.npy", f4("(2,)", &[0.5, -0.5])),
    ]
}

#[test]
fn arrays_by_name_with_what_the_caller_says() {
    let read = |members: &[(&str, Vec<u8>)]| {
        Model::from_bytes_with(&npz(members, CompressionMethod::Stored), &relu())
    };
    let model = read(&named()).unwrap();
    assert_eq!(model.architecture(), "3-2-1");
    assert_eq!(model.layers()[0].weight(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(model.layers()[0].activation(), Activation::Relu);
    let mut fortran = named();
    let numbers = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    fortran[2].1 = array("<f4", true, "(3, 2)", bytemuck::cast_slice(&numbers));
    assert_eq!(read(&fortran).unwrap().content_hash(), model.content_hash());
    refused(&named(), "does not say which activations follow its layers");
    let mut integers = named();
    integers[1].1 = array("<i4", false, "(1,)", &[0; 4]);
    let error = read(&integers).unwrap_err().to_string();
    assert!(error.contains("'out/bias' (<i4): weights are read from"), "{error}");
    let mut twice = named();
    twice[1].0 = "out/kernel:0.npy";
    let error = read(&twice).unwrap_err().to_string();
    assert!(error.contains("got both"), "{error}");
    // Names that state order and activations leave nothing to say.
    let error = read(&members()).unwrap_err().to_string();
    assert!(error.contains("a file of format npz states its own"), "{error}");
}

#[test]
fn a_directory_of_arrays_by_name() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in named() {
        std::fs::write(directory.path().join(name.replace('/', ".")), bytes).unwrap();
    }
    let model = Model::load_with(directory.path(), &relu()).unwrap();
    assert_eq!(model.architecture(), "3-2-1");
    let error = Model::load(directory.path()).unwrap_err().to_string();
    assert!(error.contains("--activation relu --final none"), "{error}");
}
