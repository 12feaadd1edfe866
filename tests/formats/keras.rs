//! Keras: configurations that lie, nest or swell, around weights that Keras wrote.

use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use fusewire::model::LoadOptions;
use fusewire::{Activation, Model, ModelError};
use zip::{CompressionMethod, ZipArchive};

use crate::common::Random;

use super::npy::npz;

/// The file of a case that a framework wrote.
fn case(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frameworks/keras.zip");
    member(&std::fs::read(path).unwrap(), name)
}

fn member(zip: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn h5() -> Vec<u8> {
    case("2-no-bias/model/model.h5")
}

fn keras() -> Vec<u8> {
    case("3-nested/model/model.keras")
}

/// Reads hostile bytes; what matters is that it returns, and when.
fn read(bytes: &[u8]) -> Result<Model, ModelError> {
    let start = Instant::now();
    let result = Model::from_bytes(bytes);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "took {took:?}: {:?}", result.map(|_| ()));
    result
}

/// The members of an archive that Keras wrote.
pub fn members() -> Vec<(&'static str, Vec<u8>)> {
    let zip = case("3-no-bias/model/model.keras");
    let names = ["metadata.json", "config.json", "model.weights.h5"];
    names.map(|name| (name, member(&zip, name))).to_vec()
}

/// An archive of this configuration around sound weights of two layers, 6-5-4.
fn archive(config: &str) -> Vec<u8> {
    let zip = case("3-no-bias/model/model.keras");
    let weights = member(&zip, "model.weights.h5");
    let members = [
        ("metadata.json", br#"{"keras_version": "3.0.0"}"#.to_vec()),
        ("config.json", config.as_bytes().to_vec()),
        ("model.weights.h5", weights),
    ];
    npz(&members, CompressionMethod::Deflated)
}

/// A sequential model of these layers.
fn sequential(layers: &str) -> String {
    format!(
        r#"{{"class_name": "Sequential", "config": {{"name": "net", "layers": [
            {{"class_name": "InputLayer", "config": {{"batch_shape": [null, 6]}}}}, {layers}]}}}}"#
    )
}

pub fn dense(units: usize, more: &str) -> String {
    let config = format!(r#"{{"name": "NAME", "units": {units}, "use_bias": false{more}}}"#);
    format!(r#"{{"class_name": "Dense", "config": {config}}}"#)
}

pub fn layers(layers: &[String]) -> Vec<u8> {
    let named = layers.iter().enumerate().map(|(n, layer)| layer.replace("NAME", &format!("d{n}")));
    archive(&sequential(&named.collect::<Vec<_>>().join(",")))
}

fn error(bytes: &[u8], part: &str) {
    let error = read(bytes).map(|model| model.architecture()).expect_err(part).to_string();
    assert!(error.contains(part), "expected '{part}' in: {error}");
    assert!(!error.contains('\n') && error.len() < 600, "{error}");
}

#[test]
fn a_configuration_is_read_around_weights() {
    let both = [dense(5, ""), dense(4, r#", "activation": "softmax""#)];
    let model = read(&layers(&both)).unwrap();
    assert_eq!((model.name(), model.architecture()), ("net", String::from("6-5-4")));
    // One layer of the file's two is one layer.
    assert_eq!(read(&layers(&both[..1])).unwrap().architecture(), "6-5");
}

/// A model that Keras wrote, with another text of its configuration.
fn reworded(case_name: &str, reword: impl Fn(&str) -> String) -> (Model, Model) {
    let zip = case(&format!("{case_name}/model/model.keras"));
    let config = String::from_utf8(member(&zip, "config.json")).unwrap();
    let config = (config.clone(), reword(&config));
    assert_ne!(config.0, config.1, "{case_name} says something else");
    let members = [
        ("metadata.json", member(&zip, "metadata.json")),
        ("config.json", config.1.into_bytes()),
        ("model.weights.h5", member(&zip, "model.weights.h5")),
    ];
    (read(&zip).unwrap(), read(&npz(&members, CompressionMethod::Deflated)).unwrap())
}

#[test]
fn what_a_layer_leaves_out_is_what_keras_takes() {
    for (case, stated) in [
        ("3-batch-norm-first", r#", "epsilon": 0.001"#),
        ("3-batch-norm-next", r#", "axis": -1"#),
        ("3-batch-norm-first", r#", "center": true, "scale": true"#),
        ("3-batch-norm-first", r#", "use_bias": true"#),
        ("3-name-linear", r#", "activation": "linear""#),
    ] {
        let (said, unsaid) = reworded(case, |config| config.replace(stated, ""));
        assert_eq!(said.content_hash(), unsaid.content_hash(), "{case} without {stated}");
    }
}

#[test]
fn inputs_that_never_vary_are_divided_by_epsilon() {
    let config = r#"{"name": "n", "mean": [[1, 1, 1, 1, 1, 1]], "variance": [[0, 0, 0, 0, 0, 4]]}"#;
    let normalization = format!(r#"{{"class_name": "Normalization", "config": {config}}}"#);
    let model = read(&layers(&[normalization, dense(5, "")])).unwrap();
    let rows = [1.0 + 3e-7, 1.0, 1.0, 1.0, 1.0, 3.0];
    let expected = read(&layers(&[dense(5, "")])).unwrap();
    let expected = expected.layers()[0].weight().chunks_exact(6);
    let scores = fusewire::backend::cpu::oracle(&model, fusewire::Rows::F32(&rows));
    for (got, weights) in scores.iter().zip(expected) {
        // The row as f32 has it, less 1, over Keras' 1e-7.
        let first = (f64::from(rows[0]) - 1.0) / 1e-7 * f64::from(weights[0]);
        let want = first + f64::from(weights[5]);
        assert!((got - want).abs() < 1e-3 * want.abs().max(1.0), "{got} for {want}");
    }
}

#[test]
fn a_file_states_its_layers_itself() {
    let options = LoadOptions { activation: Some(Activation::Relu), ..LoadOptions::default() };
    for bytes in [h5(), keras()] {
        let error = Model::from_bytes_with(&bytes, &options).unwrap_err();
        assert!(matches!(&error, ModelError::Invalid { what, .. } if what == "activation"));
    }
}

#[test]
fn configurations_that_lie() {
    let with = |more: &str| layers(&[dense(5, more), dense(4, "")]);
    error(&layers(&[dense(4, ""), dense(4, "")]), "the last of Some(4) units");
    error(&layers(&[dense(5, ""), dense(4, ""), dense(4, "")]), "'dense_2/vars/0', got none");
    error(&with(r#", "use_bias": true"#), "an array 'bias' at 'dense/vars/1'");
    error(&with(r#", "activation": "spam""#), "node 'd0' (spam)");
    error(&with(r#", "activation": 5"#), "node 'd0' (a number)");
    error(&with(r#", "activation": "sp\nam""#), "node 'd0' (sp\\nam)");
    error(&layers(&[dense(5, "").replace("NAME", "a\\nb")]), "all of them printable");
    let axis = |axis: i32| {
        let config = format!(r#"{{"axis": {axis}}}"#);
        with(&format!(r#", "activation": {{"class_name": "Softmax", "config": {config}}}"#))
    };
    error(&axis(0), "only the last axis");
    error(&axis(-1), "nothing can follow");
    let own = r#", "activation": {"class_name": "function", "config": "own_function"}"#;
    error(&with(own), "node 'd0' (own_function)");
    error(&with(r#", "dtype": "int8_from_float32""#), "quantised");
    let twice = [dense(5, ""), dense(4, "")].join(",");
    error(&archive(&sequential(&twice)), "a name that no other layer has");
    error(&archive("[]"), "expected an object");
    error(&archive("{\"class_name\""), "expected JSON");
    error(&archive("{}"), "the model's configuration");
    error(&archive(r#"{"class_name": "Own", "config": {"name": "own"}}"#), "node 'own' (Own)");
    let list = r#"{"class_name": "Own", "config": {"name": "own", "layers": []}}"#;
    error(&archive(list), "node 'own' (Own)");
    error(&archive(&sequential("5")), "expected a layer, got a number");
    error(&archive(&sequential("{}")), "it is no part of a chain");
    let foreign = r#"{"module": "os", "class_name": "Dense", "config": {"name": "d"}}"#;
    error(&archive(&sequential(foreign)), "user's own");
}

#[test]
fn functional_configurations_that_lead_nowhere() {
    let functional = |nodes: &str, ends: &str| {
        let layer = |name: &str, node: &str| {
            format!(
                r#"{{"class_name": "Dense", "name": "{name}", "inbound_nodes": {node},
                    "config": {{"name": "{name}", "units": 5, "use_bias": false}}}}"#
            )
        };
        let layers = [layer("a", "[]"), layer("b", nodes)].join(",");
        archive(&format!(
            r#"{{"class_name": "Functional", "config": {{"name": "f", "layers": [{layers}],
                {ends}}}}}"#
        ))
    };
    let ends = r#""input_layers": ["a", 0, 0], "output_layers": ["b", 0, 0]"#;
    let node = |name: &str| format!(r#"[[["{name}", 0, 0, {{}}]]]"#);
    error(&functional(&node("b"), ends), "a layer that is there, once, got b");
    error(&functional(&node("c"), ends), "a layer that is there, once, got c");
    error(&functional("[[5]]", ends), "no layer's only output");
    error(&functional(r#"[[["a", 0, 1, {}]]]"#, ends), "no layer's only output");
    error(&functional("[5, 6]", ends), "more than once");
    error(&functional(r#"[[["a", 0, 0, {"training": true}]]]"#, ends), "'training'");
    error(&functional("[]", ends), "input_layers of 'f': expected b, got a");
    error(&functional(&node("a"), r#""input_layers": []"#), "expected a layer, got none");
    let aside = r#""input_layers": ["a", 0, 0], "output_layers": ["a", 0, 0]"#;
    error(&functional(&node("a"), aside), "no part of the chain from input to output");
    let ends_of_many =
        r#""input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": ["b", 0, 0]"#;
    error(&functional(&node("a"), ends_of_many), "2 input_layers");
}

#[test]
fn configurations_that_swell() {
    let mut nested = dense(5, "");
    for _ in 0..9 {
        let layers = format!(r#"{{"name": "n", "layers": [{nested}]}}"#);
        nested = format!(r#"{{"class_name": "Sequential", "config": {layers}}}"#);
    }
    error(&archive(&sequential(&nested)), "models within models");
    error(&archive(&"[".repeat(100_000)), "recursion limit");
    error(&archive(&format!("[{}0]", "0,".repeat(1 << 18))), "values in the configuration");
    let nothing = r#"{"class_name": "Dropout"}"#;
    error(&layers(&vec![String::from(nothing); 17_000]), "layers: at most 16384");
    let zeros = npz(
        &[("config.json", vec![b' '; 64 << 20]), ("model.weights.h5", Vec::new())],
        CompressionMethod::Deflated,
    );
    assert!(zeros.len() < 1 << 17, "64 MiB in {} bytes", zeros.len());
    error(&zeros, "inflated bytes of the keras archive");
}

#[test]
fn weights_that_are_missing_or_damaged() {
    let zip = keras();
    let config = member(&zip, "config.json");
    let metadata = ("metadata.json", member(&zip, "metadata.json"));
    let with = |weights: &[u8]| {
        let members = [
            ("config.json", config.clone()),
            ("model.weights.h5", weights.to_vec()),
            metadata.clone(),
        ];
        npz(&members, CompressionMethod::Stored)
    };
    error(&with(b""), "superblock");
    error(&with(b"\x89HDF\r\n\x1a\n"), "superblock");
    let weights = member(&zip, "model.weights.h5");
    assert!(read(&with(&weights)).is_ok());
    error(
        &npz(
            &[("config.json", config.clone()), ("model.weights.h5", weights)],
            CompressionMethod::Stored,
        ),
        "metadata.json",
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = h5();
    assert!(read(&bytes).is_ok());
    for length in 8..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "cut at {length}");
    }
    let bytes = keras();
    for length in (0..bytes.len()).step_by(7) {
        assert!(read(&bytes[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let mut random = Random(3);
    let files = [
        h5(),
        case("3-stored-gzip/model/model.h5"),
        case("3-stored-latest/model/model.h5"),
        case("3-weights-norm/model/model.weights.h5"),
    ];
    for bytes in files {
        for _ in 0..1500 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.below(8) {
                // Most of a file is padding, which says nothing.
                let mut at = random.below(damaged.len());
                while damaged[at] == 0 && random.below(8) != 0 {
                    at = random.below(damaged.len());
                }
                damaged[at] = random.below(256) as u8;
            }
            let _ = read(&damaged);
        }
    }
}
