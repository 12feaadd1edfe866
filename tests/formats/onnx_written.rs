//! ONNX files that are written: read back as they were, and what other programs take them for.

use std::fs;
use std::path::Path;
use std::process::Command;

use fusewire::backend::cpu::oracle;
use fusewire::model::PerInput;
use fusewire::{Activation, Dense, Head, InputTransform, Model, ModelError, Rows, U8Scale};
use proptest::prelude::*;

use super::native;
use super::onnx_file::{File, entry, floats, int};
use super::peer::{numbers, python};
use crate::common::{self, Random};

fn saved(model: &Model) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    model.save_onnx(&path).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary is left");
    fs::read(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_model_comes_back_as_it_was(model in native::model()) {
        let bytes = saved(&model);
        let again = Model::from_bytes(&bytes).unwrap();
        prop_assert_eq!(again.content_hash(), model.content_hash());
        prop_assert_eq!(again.u8_scale(), U8Scale::File(model.u8_scale().value().unwrap()));
        prop_assert_eq!(again.name(), model.name());
        prop_assert_eq!(again.labels(), model.labels());
        for (again, layer) in again.layers().iter().zip(model.layers()) {
            // A bias of one zero is a scalar, which cannot be told from none.
            let is_there = layer.bias().is_some_and(|bias| bias.len() > 1 || bias[0] != 0.0);
            prop_assert_eq!(again.bias().is_some(), is_there);
        }
        prop_assert_eq!(saved(&again), saved(&again), "the same model gives the same bytes");
    }
}

#[test]
fn a_scale_of_255ths_is_no_sign_of_bytes_where_the_file_says_what_they_are() {
    let layer = Dense::new(2, 1, vec![1.0, 2.0], None, Activation::Relu).unwrap();
    let scale = PerInput::Uniform(1.0 / 255.0);
    let transform = InputTransform { scale, offset: PerInput::Uniform(0.0) };
    let model = Model::from_layers(vec![layer]).unwrap().with_transform(transform).unwrap();
    assert_eq!(model.u8_scale(), U8Scale::File(1.0));
    let model = model.with_u8_scale(Model::U8_SCALE).unwrap();
    let again = Model::from_bytes(&saved(&model)).unwrap();
    assert_eq!(again.u8_scale(), U8Scale::File(Model::U8_SCALE));
}

#[test]
fn metadata_that_is_not_sound_is_refused() {
    let load = |metadata: &[(&str, &str)]| {
        let mut file = File::new(17, &[-1, 2]).tensor("w", floats(&[2, 2], &[1.0; 4]));
        file = file.node("Gemm", &["x", "w"], "y", &[int("transB", 1)]);
        file.metadata = metadata.iter().map(|(key, value)| entry(key, value)).collect();
        Model::from_bytes(&file.bytes())
    };
    let model = load(&[("fusewire.labels", r#"["a","b"]"#), ("author", "x"), ("author", "y")]);
    assert_eq!(model.unwrap().labels().unwrap(), ["a", "b"]);
    for (metadata, part) in [
        (&[("fusewire.labels", "[1, 2]")][..], "an array of strings"),
        (&[("fusewire.labels", r#"["a"]"#)], "2 (one per class)"),
        (&[("fusewire.u8_scale", "0")], "u8_scale"),
        (&[("fusewire.u8_scale", "much")], "a number, got much"),
        (&[("fusewire.new", "")], "keys that are known, got fusewire.new"),
        (&[("fusewire.name", "a"), ("fusewire.name", "b")], "'fusewire.name' twice"),
    ] {
        let error = load(metadata).unwrap_err().to_string();
        assert!(error.contains(part), "expected '{part}' in: {error}");
    }
}

#[test]
fn where_it_cannot_be_written_nothing_is_left() {
    let layer = Dense::new(1, 1, vec![1.0], None, Activation::Relu).unwrap();
    let model = Model::from_layers(vec![layer]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let error = model.save_onnx(directory.path().join("missing/model.onnx")).unwrap_err();
    assert!(matches!(error, ModelError::Io { .. }), "{error}");
    // A folder cannot be replaced by a file: the temporary is written, and taken away.
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).unwrap();
    assert!(model.save_onnx(&folder).is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// A model for every activation and head, and one for every kind of transform.
fn models() -> Vec<(String, Model)> {
    let mut random = Random(7);
    let mut models = Vec::new();
    for activation in Activation::ALL {
        let model = common::model(&mut random, &[5, 4, 3], || activation);
        models.push((activation.name().to_owned(), model));
    }
    let bounds = [(f32::NEG_INFINITY, 0.25), (-0.25, f32::INFINITY)];
    for (index, (min, max)) in bounds.into_iter().enumerate() {
        let clip = Activation::Clip { min, max };
        models.push((format!("half-{index}"), common::model(&mut random, &[5, 3], || clip)));
    }
    for head in [Head::Softmax, Head::LogSoftmax] {
        let model = common::model(&mut random, &[5, 4, 3], || Activation::Tanh).with_head(head);
        models.push((head.name().into(), model));
    }
    let each = PerInput::Each(random.values(5));
    let uniform = PerInput::Uniform(0.3);
    for (index, (scale, offset)) in [
        (each.clone(), uniform.clone()),
        (uniform.clone(), each.clone()),
        (each.clone(), PerInput::Uniform(0.0)),
        (PerInput::Uniform(1.0), each),
    ]
    .into_iter()
    .enumerate()
    {
        let model = common::model(&mut random, &[5, 4, 3], || Activation::Relu);
        let model = model.with_transform(InputTransform { scale, offset }).unwrap();
        models.push((format!("transform-{index}"), model));
    }
    models
}

#[test]
fn onnx_runtime_gives_the_same_scores() {
    let Some(python) = python() else { return };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let models = models();
    let rows = Random(11).values(5 * 16);
    let bytes: Vec<u8> = rows.iter().flat_map(|number| (4.0 * number).to_le_bytes()).collect();
    for (name, model) in &models {
        let path = directory.path().join(format!("{name}.onnx"));
        model.save_onnx(&path).unwrap();
        fs::write(path.with_extension("rows"), &bytes).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/run_onnx.py");
    let status = Command::new(python).arg(script).arg(directory.path()).status().unwrap();
    assert!(status.success(), "a file was not sound, or did not run");
    for (name, model) in &models {
        let expected = numbers(&directory.path().join(format!("{name}.scores")));
        let scores =
            oracle(model, Rows::F32(&numbers(&directory.path().join(format!("{name}.rows")))));
        assert_eq!(scores.len(), expected.len(), "{name}");
        for (ours, theirs) in scores.iter().zip(&expected) {
            let difference = (ours - f64::from(*theirs)).abs();
            assert!(difference < 1e-5 * ours.abs().max(1.0), "{name}: {ours}, not {theirs}");
        }
    }
}
