//! Hostile files: whatever the bytes, a typed error (or a valid model) comes back, soon.

use std::time::{Duration, Instant};

use fusewire::{Activation, Dense, Model, ModelError};
use zip::CompressionMethod;

use crate::common::Random;

use super::npy::{f4, members, npz};
use super::onnx_file::{Attribute, Entry, File, Node, Tensor, float, floats, int, int64s, value};

/// Reads hostile bytes; what matters is that it returns, and when.
fn read(bytes: &[u8]) -> Result<Model, ModelError> {
    let start = Instant::now();
    let result = Model::from_bytes(bytes);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "took {took:?}: {:?}", result.map(|_| ()));
    result
}

fn onnx() -> File {
    File::new(17, &[-1, 3])
        .tensor("w", floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        .tensor("b", floats(&[2], &[0.5, -0.5]))
        .node("Gemm", &["x", "w", "b"], "y", &[int("transB", 1), float("alpha", 2.0)])
        .node("Relu", &["y"], "r", &[])
        .node("Softmax", &["r"], "s", &[])
}

fn safetensors() -> Vec<u8> {
    let layer = Dense::new(2, 1, vec![1.0, 2.0], Some(vec![3.0]), Activation::Relu).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    Model::from_layers(vec![layer]).unwrap().save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// A small sound file of each format.
fn files() -> [(&'static str, Vec<u8>); 4] {
    [
        ("onnx", onnx().bytes()),
        ("safetensors", safetensors()),
        ("stored npz", npz(&members(), CompressionMethod::Stored)),
        ("deflated npz", npz(&members(), CompressionMethod::Deflated)),
    ]
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for (format, bytes) in files() {
        assert!(read(&bytes).is_ok(), "{format}");
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{format} cut at {length}");
        }
    }
}

#[test]
fn a_file_with_bytes_after_its_end_is_no_other_model() {
    for (format, mut bytes) in files() {
        let hash = read(&bytes).unwrap().content_hash();
        bytes.extend([0xff; 3]);
        let same = read(&bytes).is_ok_and(|model| model.content_hash() == hash);
        assert!(same || read(&bytes).is_err(), "{format}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let mut random = Random(1);
    for (_, bytes) in files() {
        for _ in 0..3000 {
            // A flip in a weight leaves a sound file; any other is an error; none is a panic.
            let _ = read(&random.damaged(&bytes));
        }
    }
}

#[test]
fn doubled_and_dropped_spans_never_panic() {
    let mut random = Random(2);
    for (_, bytes) in files() {
        for _ in 0..1000 {
            let (a, b) = (random.below(bytes.len()), random.below(bytes.len()));
            let span = &bytes[a.min(b)..a.max(b)];
            let _ = read(&[&bytes[..a.max(b)], span, &bytes[a.max(b)..]].concat());
            let _ = read(&[&bytes[..a.min(b)], &bytes[a.max(b)..]].concat());
        }
    }
}

fn error(file: &File, part: &str) {
    let error = read(&file.bytes()).expect_err(part).to_string();
    assert!(error.contains(part), "expected '{part}' in: {error}");
}

#[test]
fn onnx_dimensions_that_lie() {
    let with = |tensor: Tensor| {
        let mut file = onnx();
        file.tensors[0] = Tensor { name: "w".into(), ..tensor };
        file
    };
    let huge = 1_i64 << 62;
    error(&with(floats(&[2, 4], &[0.0; 6])), "tensor 'w': expected 32 bytes, got 24");
    error(&with(floats(&[huge, huge], &[0.0; 6])), "a size that fits memory");
    error(&with(floats(&[1 << 31, 1 << 31], &[0.0; 6])), "numbers in constants");
    error(&with(floats(&[-2, -3], &[0.0; 6])), "dimensions from 0 up, got -2");
    error(&with(floats(&[0, 3], &[])), "does not fit a row of shape [0]");
    error(
        &with(Tensor { float_data: vec![0.0; 5], raw_data: vec![], ..floats(&[2, 3], &[]) }),
        "expected 6 numbers, got 5",
    );
    error(&with(Tensor { float_data: vec![0.0; 6], ..floats(&[2, 3], &[0.0; 6]) }), "got both");
    error(&with(Tensor { data_type: 8, ..floats(&[2, 3], &[0.0; 6]) }), "data type 8");
    error(&with(floats(&[2, 3], &[f32::NAN; 6])), "finite numbers");
    let location = Entry { key: "location".into(), value: "../../secret".into() };
    let external =
        Tensor { external_data: vec![location], data_location: 1, ..floats(&[2, 3], &[]) };
    error(&with(external), "lies in another file");
    let mut wide = onnx();
    wide.shape = vec![-1, huge, huge];
    error(&wide, "Gemm");
}

#[test]
fn onnx_with_more_axes_than_any_value_has() {
    let many = vec![1_i64; 100_000];
    let mut wide = onnx();
    wide.shape = many.clone();
    error(&wide, "axes of the input");
    let scalar = onnx().tensor("c", floats(&many, &[1.0])).node("Add", &["y", "c"], "t", &[]);
    error(&scalar, "axes");
    let axes =
        Attribute { name: "axes".into(), ints: many.clone(), kind: 7, ..Attribute::default() };
    error(&onnx().node("Unsqueeze", &["y"], "t", &[axes]), "axes of a value");
    let shape = onnx().tensor("c", int64s(&many)).node("Reshape", &["y", "c"], "t", &[]);
    error(&shape, "at most 16 axes");
    let mut operands = onnx();
    let inputs = vec!["r"; 100_000];
    operands = operands.node("Mul", &inputs, "m", &[]).node("Mul", &["m", "s"], "t", &[]);
    error(&operands, "joins two computed values");
}

#[test]
fn onnx_cycles_and_duplicates() {
    let mut own = onnx();
    own.nodes[0].input[0] = "y".into();
    error(&own, "a cycle");
    let mut circle = onnx();
    circle.nodes[0].input[0] = "r".into();
    error(&circle, "a cycle");
    let mut constants =
        onnx().node("Identity", &["q"], "p", &[]).node("Identity", &["p"], "q", &[]);
    constants.nodes[0].input[1] = "q".into();
    constants.nodes.swap(2, 4);
    error(&constants, "must be a constant");
    let mut twice = onnx();
    twice.nodes[1].output[0] = "y".into();
    error(&twice, "one node to write it");
}

#[test]
fn onnx_with_a_million_nodes() {
    let mut file = onnx();
    let node = |input: &str, output: String| Node {
        input: vec![input.into()],
        output: vec![output],
        op_type: "Identity".into(),
        ..Node::default()
    };
    file.nodes.extend((0..1_000_000).map(|n| node("s", format!("{n}"))));
    error(&file, "parts of the ONNX graph");
    let mut long = onnx();
    for n in 0..60_000 {
        let before = long.nodes[long.nodes.len() - 1].output[0].clone();
        long.nodes.push(node(&before, format!("{n}")));
    }
    error(&long, "operators in the chain");
}

#[test]
fn onnx_with_a_million_entries() {
    // An entry of two bytes becomes a struct of 48.
    let entries = vec![Entry::default(); 1_000_000];
    let tensor = Tensor { external_data: entries.clone(), ..floats(&[1], &[1.0]) };
    error(&onnx().tensor("e", tensor.clone()), "parts of the ONNX graph");
    error(&onnx().node("Constant", &[], "e", &[value(tensor)]), "parts of the ONNX graph");
    let mut file = onnx();
    file.metadata = entries;
    error(&file, "parts of the ONNX graph");
}

#[test]
fn onnx_that_multiplies_its_own_weights() {
    // 4,000 layers of one shared matrix of 64 KiB would be 250 MiB from a file of 300 KiB.
    let mut file = File::new(17, &[-1, 128]).tensor("w", floats(&[128, 128], &[0.5; 128 * 128]));
    let mut before = String::from("x");
    for n in 0..4000 {
        let name = format!("{n}");
        file = file.node("MatMul", &[&before, "w"], &name, &[]);
        before = name;
    }
    error(&file, "numbers in constants");
    // A scalar spread over a row of 2^40 values.
    let mut wide = File::new(17, &[-1, 2, 1 << 40]).tensor("c", floats(&[2, 1], &[1.0, 2.0]));
    wide = wide.tensor("w", floats(&[1, 1], &[1.0])).node("Add", &["x", "c"], "y", &[]);
    error(&wide.node("MatMul", &["y", "w"], "z", &[]), "numbers in constants");
}

#[test]
fn deeply_nested_products_are_refused_soon() {
    let mut file = onnx();
    let mut before = String::from("r");
    for n in 0..200 {
        let name = format!("m{n}");
        file = file.node("Mul", &[&before, &before], &name, &[]);
        before = name;
    }
    let file = file.node("Erf", &[&before], "e", &[]).node("Mul", &["e", &before], "z", &[]);
    error(&file, "joins two computed values");
}

/// Towers of `max(v, v)`, which is `v` again: each is a relu, told so that every level doubles the
/// ways to the bottom.
#[test]
fn towers_of_one_activation_are_read_soon() {
    let mut file = File::new(17, &[-1, 1]).node("Neg", &["x"], "n", &[]);
    let mut before = String::from("n");
    for tower in 0..4500 {
        file = file.node("Relu", &[&before], &format!("{tower}"), &[]);
        before = format!("{tower}");
        for level in 0..7 {
            let name = format!("{tower}-{level}");
            file = file.node("Max", &[&before, &before], &name, &[]);
            before = name;
        }
    }
    error(&file, "layers: at most 1024");
}

#[test]
fn safetensors_offsets_that_lie() {
    let file = |header: &str, payload: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; payload]);
        bytes
    };
    let largest = u64::MAX / 8;
    let part = |n: u64| {
        let (start, end) = (n * largest, (n + 1) * largest);
        format!(r#""{n}":{{"dtype":"U8","shape":[{largest}],"data_offsets":[{start},{end}]}}"#)
    };
    let whole: Vec<String> = (0..8).map(part).collect();
    for header in [
        format!("{{{}}}", whole.join(",")),
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,1000]}}"#.into(),
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#.into(),
        r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#.into(),
        format!("{{\"a\":{}", "[".repeat(100_000)),
        String::from("{"),
    ] {
        let error = read(&file(&header, 8)).unwrap_err();
        assert!(matches!(error, ModelError::Malformed { .. }), "{error}");
    }
    let mut long = safetensors();
    long[..8].copy_from_slice(&99_999_999_u64.to_le_bytes());
    assert!(read(&long).unwrap_err().to_string().contains("expected 99999999 bytes"));
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(read(&long).is_err());
}

#[test]
fn zip_bombs() {
    let zeros = f4("(4096, 4096)", &vec![0.0; 4096 * 4096]);
    let bomb = npz(&[("0-WEIGHT-w.npy", zeros)], CompressionMethod::Deflated);
    assert!(bomb.len() < 1 << 17, "64 MiB in {} bytes", bomb.len());
    let error = read(&bomb).unwrap_err().to_string();
    assert!(error.contains("inflated bytes of the npz"), "{error}");
    let names: Vec<String> = (0..4000).map(|n| format!("{n}-ACTIVATION-RELU.npy")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Vec::new())).collect();
    let error = read(&npz(&many, CompressionMethod::Stored)).unwrap_err().to_string();
    assert!(error.contains("members of the npz"), "{error}");
}

#[test]
fn a_file_larger_than_the_limit_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse.onnx");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(fusewire::model::FILE_BYTES_MAX as u64 + 1).unwrap();
    let error = Model::load(&path).unwrap_err();
    assert!(matches!(error, ModelError::TooLarge { .. }), "{error}");
}

#[test]
fn what_is_not_read_is_named() {
    for (bytes, part) in [
        (&b""[..], "an empty file"),
        (b"\x93NUMPY\x01\x00", "one .npy array"),
        (b"\x80\x02\x8a\x0al\xfc", "Python pickle"),
        (b"\x80\x05\x95", "Python pickle"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
        (b"PK\x05\x06", "a damaged zip"),
        (b"#!/bin/sh", "no model that is known"),
    ] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, ModelError::UnknownFormat { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    for (member, part) in [("archive/constants.pkl", "PyTorch"), ("model.weights.h5", "Keras")] {
        let zip = npz(&[(member, Vec::new())], CompressionMethod::Stored);
        let error = read(&zip).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
