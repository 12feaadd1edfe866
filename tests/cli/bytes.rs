//! What a byte stands for, from the file to the answer.

use std::path::Path;

use fusewire::model::PerInput;
use fusewire::{InputTransform, Model};

use super::{Files, LABELS, PIXELS, classes, error, files, json, model, run, stdout, text};

/// The model behind a transform that all its inputs share.
fn behind(scale: f32, offset: f32) -> Model {
    let (scale, offset) = (PerInput::Uniform(scale), PerInput::Uniform(offset));
    model().with_transform(InputTransform { scale, offset }).unwrap()
}

#[test]
fn every_verb_says_whose_step_of_a_byte_it_took() {
    let files = Files::new();
    let images = files.write("images", &files::idx(&[3, 2, 2], &PIXELS));
    let labels = files.write("labels", &files::idx(&[3], &LABELS));
    let assumed = files.model("assumed.safetensors", &model());
    let of_file = files.model("file.safetensors", &behind(1.0 / 255.0, 0.0));
    for (path, scale, source, words) in [
        (&assumed, 1.0 / 255.0, "assumed", "0.003921569 (assumed)"),
        (&of_file, 1.0, "file", "1 (the file's)"),
    ] {
        for input in ["f32", "u8"] {
            let common = ["--backend", "cpu", "--input", input];
            let eval = ["eval", path, "--images", &images, "--labels", &labels];
            let eval = [&eval[..], &common].concat();
            let classify = [&["classify", path, &images][..], &common].concat();
            for arguments in [&eval, &classify] {
                let document = json(arguments);
                assert_eq!(document["u8_scale_source"], source, "{document}");
                let said = document["u8_scale"].as_f64().unwrap();
                assert!((said - scale).abs() < 1e-6, "{document}");
            }
            assert_eq!(classes(&json(&classify)), [1, 2, 0]);
            let said = format!("one step of a byte stood for {words}\n");
            assert!(stdout(&eval).contains(&said), "{}", stdout(&eval));
            let output = run(&classify);
            assert_eq!(text(&output.stdout).lines().count(), 3);
            assert_eq!(text(&output.stderr), format!("note: {said}"));
        }
        let inspect = ["inspect", path, "--backend", "cpu"];
        assert_eq!(json(&inspect)["model"]["u8_scale_source"], source);
        assert!(stdout(&inspect).contains(words));
    }
    let said = stdout(&["inspect", &assumed, "--backend", "cpu", "--u8-scale", "0.5"]);
    assert!(said.contains("0.5 (the user's)"), "{said}");
    // Floats have no such step.
    let rows = files.write("rows.f32", &[0; 16]);
    assert_eq!(text(&run(&["classify", &assumed, &rows, "--backend", "cpu"]).stderr), "");
}

#[test]
fn floats_that_may_be_bytes_are_remarked_on() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let values: Vec<u8> = PIXELS.iter().flat_map(|byte| f32::from(*byte).to_le_bytes()).collect();
    let rows = files.write("rows.npy", &files::npy("<f4", "(3, 4)", &values));
    let output = run(&["classify", &model, &rows, "--backend", "cpu"]);
    let said = text(&output.stderr);
    assert!(said.starts_with("note: ") && said.contains("taken as they are"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let raw = ["classify", &model, &rows, "--backend", "cpu", "--u8-scale", "1"];
    assert_eq!(text(&run(&raw).stderr), "");
}

#[test]
fn an_unknown_step_is_an_error_that_names_the_option() {
    let files = Files::new();
    let path = files.model("m.safetensors", &behind(2.0, 0.0));
    let images = files.write("images", &files::idx(&[3, 2, 2], &PIXELS));
    let labels = files.write("labels", &files::idx(&[3], &LABELS));
    let bytes = files.write("rows.npy", &files::npy("|u1", "(3, 4)", &PIXELS));
    let eval = ["eval", &path, "--images", &images, "--labels", &labels, "--backend", "cpu"];
    for arguments in [
        &eval[..],
        &["classify", &path, &images, "--backend", "cpu"],
        &["classify", &path, &bytes, "--backend", "cpu"],
        &["classify", &path, &images, "--backend", "cpu", "--input", "u8"],
        &["inspect", &path, "--backend", "cpu", "--input", "u8"],
        &["compare", &path, "--backend", "cpu", "--input", "u8"],
        &["bench", "handoff", &path, "--input", "u8"],
        &["bench", "kernel", &path, "--backend", "cpu", "--input", "u8"],
        &["bench", "paper", &path, "--backend", "cpu", "--input", "u8"],
    ] {
        let line = error(1, arguments);
        assert!(line.contains("--u8-scale"), "{arguments:?}: {line}");
    }
    let document = json(&[&eval[..], &["--u8-scale", "1"]].concat());
    assert_eq!((&document["correct"], &document["u8_scale_source"]), (&2.into(), &"user".into()));
    let inspect = ["inspect", &path, "--backend", "cpu"];
    assert_eq!(json(&inspect)["model"]["u8_scale"], serde_json::Value::Null);
    assert!(stdout(&inspect).contains("u8 scale      unknown"), "{}", stdout(&inspect));
    // It stays unknown in a copy.
    for name in ["copy.safetensors", "copy.onnx"] {
        let copy = files.path(name);
        stdout(&["convert", &path, &copy]);
        assert!(error(1, &["classify", &copy, &images, "--backend", "cpu"]).contains("--u8-scale"));
    }
    let rows = files.write("rows.f32", &[0; 48]);
    assert_eq!(classes(&json(&["classify", &path, &rows, "--backend", "cpu"])), [0, 0, 0]);
}

/// Networks that take bytes as they are, with the accuracy that the frameworks have that made them.
#[test]
fn networks_that_scale_bytes_themselves_are_as_accurate_as_in_their_framework() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    let images = format!("{shared}/data/fashion-mnist-1000/images-idx3-ubyte.gz");
    let labels = format!("{shared}/data/fashion-mnist-1000/labels-idx1-ubyte.gz");
    let files = Files::new();
    for (name, accuracy) in [
        ("k_bn/t8_k_bn.keras", 0.877),
        ("k_div/t8_k_div.keras", 0.825),
        ("k_norm/t8_k_norm.keras", 0.848),
        ("ss/t8_ss.onnx", 0.934),
    ] {
        let path = format!("{shared}/cases/u8-scale-{name}");
        if !Path::new(&path).is_file() {
            println!("skipped: {path} is missing");
            continue;
        }
        let copies = [files.path("copy.safetensors"), files.path("copy.onnx")];
        for copy in &copies {
            stdout(&["convert", &path, copy, "--force"]);
        }
        for path in [&path, &copies[0], &copies[1]] {
            for input in ["f32", "u8"] {
                let eval = ["eval", path, "--images", &images, "--labels", &labels];
                let document = json(&[&eval[..], &["--backend", "cpu", "--input", input]].concat());
                assert_eq!(document["accuracy"], accuracy, "{path} {input}");
                assert_eq!(document["u8_scale_source"], "file", "{path}");
            }
        }
    }
}
