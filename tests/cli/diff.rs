//! `diff`, and what is said of layers on the command line.

use std::path::Path;

use fusewire::{Activation, Dense, Head, Model};

use super::{Files, error, json, model, run, stdout, text};

#[test]
fn the_same_network_is_the_same_whatever_it_is_called() {
    let files = Files::new();
    let left = files.model("a.safetensors", &model());
    let right = files.model("b.safetensors", &model().with_name("another name"));
    let text = stdout(&["diff", &left, &right]);
    assert!(text.ends_with("\nthe same network\n"), "{text}");
    assert!(text.contains("first three") && text.contains("another name"), "{text}");
    let document = json(&["diff", &left, &right]);
    assert_eq!(document["same"], true);
    assert_eq!(document["left"]["content_hash"], document["right"]["content_hash"]);
}

#[test]
fn another_network_is_told_by_its_first_difference_and_exit_code_1() {
    let files = Files::new();
    let left = files.model("a.safetensors", &model());
    let mut weight = model().layers()[0].weight().to_vec();
    weight[6] = 0.25;
    let layer = Dense::new(4, 3, weight, None, Activation::Identity).unwrap();
    let other = Model::from_layers(vec![layer]).unwrap().with_head(Head::Softmax);
    let right = files.model("b.safetensors", &other);
    let output = run(&["diff", &left, &right]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
    let out = text(&output.stdout);
    let line = "another network: weights of layer 0 at [1, 2]: 0 and 0.25; 1 of 12 differ, by 0.25 \
                at most\n";
    assert!(out.ends_with(line), "{out}");
    let output = run(&["diff", &left, &right, "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["same"], false);
    assert!(document["difference"].as_str().unwrap().starts_with("weights of layer 0"));
    error(1, &["diff", &left, "no such file"]);
}

#[test]
fn a_file_that_states_its_layers_takes_no_word_on_them() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    for said in [["--activation", "relu"], ["--final", "none"], ["--order", "a,b"]] {
        let arguments = ["inspect", &model, "--backend", "cpu", said[0], said[1]];
        let line = error(1, &arguments);
        assert!(line.contains("states its own") && line.contains(&model), "{line}");
    }
    stdout(&["inspect", &model, "--backend", "cpu", "--external-data"]);
}

#[test]
fn what_is_said_of_layers_is_for_the_file_that_does_not_say_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/paper-fashion-mnist");
    if !folder.exists() {
        println!("skipped: ../shared is missing");
        return;
    }
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (onnx, torch) = (path("onnx/ffnn.onnx"), path("torch/ffnn.torch"));
    let line = error(1, &["diff", &onnx, &torch]);
    assert!(line.contains("--activation relu --final none"), "{line}");
    let said = ["diff", &onnx, &torch, "--activation", "relu", "--final", "none"];
    assert!(stdout(&said).ends_with("the same network\n"));
    let files = Files::new();
    let said =
        ["convert", &torch, &files.path("m.onnx"), "--activation", "relu", "--final", "none"];
    stdout(&said);
    assert_eq!(json(&["diff", &onnx, &files.path("m.onnx")])["same"], true);
}
