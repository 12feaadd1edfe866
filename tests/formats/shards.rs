//! Networks in several files: read as a whole through their index, or refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fusewire::model::{Ending, LoadOptions};
use fusewire::{Activation, Model, ModelError};
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use super::torch_file::{self, f32s};

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// 3-2-1 by name.
const TENSORS: [(&str, &[usize], &[f32]); 4] = [
    ("fc1.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    ("fc1.bias", &[2], &[0.5, -0.5]),
    ("fc2.weight", &[1, 2], &[1.0, -1.0]),
    ("fc2.bias", &[1], &[0.25]),
];

fn said() -> LoadOptions {
    LoadOptions {
        activation: Some(Activation::Relu),
        ending: Some(Ending::Activation(Activation::Identity)),
        ..LoadOptions::default()
    }
}

/// A safetensors file of some of the tensors.
fn part(names: &[&str]) -> Vec<u8> {
    let wanted = TENSORS.iter().filter(|(name, ..)| names.contains(name));
    let views = wanted.map(|(name, shape, numbers)| {
        let bytes = bytemuck::cast_slice(numbers);
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    let metadata = [(String::from("format"), String::from("pt"))].into();
    safetensors::serialize(views.collect::<Vec<_>>(), Some(metadata)).unwrap()
}

fn index(places: &[(&str, &str)]) -> String {
    let map: BTreeMap<_, _> = places.iter().copied().collect();
    serde_json::json!({"metadata": {"total_size": 44}, "weight_map": map}).to_string()
}

fn places() -> [(&'static str, &'static str); 4] {
    [("fc1.weight", FIRST), ("fc1.bias", FIRST), ("fc2.weight", SECOND), ("fc2.bias", SECOND)]
}

/// A folder of a set.
fn set() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FIRST), part(&["fc1.weight", "fc1.bias"])).unwrap();
    fs::write(folder.path().join(SECOND), part(&["fc2.weight", "fc2.bias"])).unwrap();
    fs::write(folder.path().join(INDEX), index(&places())).unwrap();
    folder
}

fn load(path: impl AsRef<Path>) -> Result<Model, ModelError> {
    Model::load_with(path, &said())
}

fn refused(path: impl AsRef<Path>, part: &str) {
    let error = load(path).map(|model| model.architecture()).expect_err(part).to_string();
    assert!(error.contains(part) && !error.contains('\n'), "expected '{part}' in: {error}");
}

fn check(model: &Model) {
    assert_eq!(model.architecture(), "3-2-1");
    assert_eq!(model.layers()[0].weight(), TENSORS[0].2);
    assert_eq!(model.layers()[1].bias().unwrap(), TENSORS[3].2);
    assert!(model.notes().iter().any(|note| note.contains("2 shards")), "{:?}", model.notes());
}

#[test]
fn a_set_is_read_whole_by_its_index_its_folder_or_any_shard() {
    let folder = set();
    for path in ["", INDEX, FIRST, SECOND] {
        let model =
            load(folder.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        check(&model);
        assert_eq!(model.format().unwrap().to_string(), "safetensors");
    }
    // Under any name: the index tells.
    let renamed = places().map(|(tensor, file)| (tensor, if file == FIRST { "a" } else { "b" }));
    fs::rename(folder.path().join(FIRST), folder.path().join("a")).unwrap();
    fs::rename(folder.path().join(SECOND), folder.path().join("b")).unwrap();
    fs::write(folder.path().join(INDEX), index(&renamed)).unwrap();
    for path in ["", INDEX, "a", "b"] {
        check(&load(folder.path().join(path)).unwrap());
    }
    // Through a manifest, too.
    let text = format!("weights = '{INDEX}'\nactivation = 'relu'\nfinal = 'none'");
    fs::write(folder.path().join("model.toml"), text).unwrap();
    check(&Model::load(folder.path()).unwrap());
}

#[test]
fn a_set_of_state_dicts_is_read_in_the_order_of_its_shards() {
    let names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    let entries = || {
        TENSORS.iter().enumerate().map(|(at, (name, shape, numbers))| {
            let shape: Vec<u32> = shape.iter().map(|size| *size as u32).collect();
            f32s(name, ["0", "1", "2", "3"][at], &shape, numbers)
        })
    };
    let (first, second): (Vec<_>, Vec<_>) =
        entries().partition(|entry| entry.name.starts_with("fc1"));
    type Write = fn(&[torch_file::Entry]) -> Vec<u8>;
    for write in [torch_file::zip as Write, torch_file::legacy] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(names[0]), write(&first)).unwrap();
        fs::write(folder.path().join(names[1]), write(&second)).unwrap();
        refused(folder.path().join(names[0]), "shard 00001 of 00002");
        let places = places().map(|(tensor, file)| (tensor, names[usize::from(file == SECOND)]));
        let index = index(&places);
        fs::write(folder.path().join("pytorch_model.bin.index.json"), index).unwrap();
        for path in ["", "pytorch_model.bin.index.json", names[0], names[1]] {
            check(&load(folder.path().join(path)).unwrap());
        }
    }
}

#[test]
fn a_shard_alone_is_refused_by_its_name() {
    let folder = set();
    fs::remove_file(folder.path().join(INDEX)).unwrap();
    refused(folder.path().join(FIRST), "shard 00001 of 00002; put the index there");
    // An index that does not name it is another network's.
    let others = places().map(|(tensor, _)| (tensor, "other-00001-of-00002.safetensors"));
    fs::write(folder.path().join(INDEX), index(&others)).unwrap();
    refused(folder.path().join(FIRST), "shard 00001 of 00002");
    // One of one is whole.
    let whole = folder.path().join("model-00001-of-00001.safetensors");
    fs::write(&whole, part(&TENSORS.map(|(name, ..)| name))).unwrap();
    assert_eq!(load(whole).unwrap().architecture(), "3-2-1");
    let checkpoint = folder.path().join("variables.data-00000-of-00002");
    fs::write(&checkpoint, [0; 100]).unwrap();
    refused(checkpoint, "shard 00000 of 00002");
    // Shards of Keras are not joined.
    let keras = folder.path().join("model_00000.weights.h5");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/weights.h5"), &keras).unwrap();
    let map =
        [("dense/vars/0", "model_00000.weights.h5"), ("out/vars/0", "model_00001.weights.h5")];
    fs::write(folder.path().join("model.weights.json"), index(&map)).unwrap();
    refused(keras, "not joined; save the network in one file");
}

#[test]
fn a_set_that_is_not_as_its_index_says_is_refused() {
    let change = |change: &dyn Fn(&Path), part: &str| {
        let folder = set();
        change(folder.path());
        refused(folder.path().join(INDEX), part);
    };
    change(&|to| fs::remove_file(to.join(SECOND)).unwrap(), SECOND);
    change(
        &|to| fs::write(to.join(SECOND), part(&["fc2.weight"])).unwrap(),
        "got none named 'fc2.bias'",
    );
    change(
        &|to| fs::write(to.join(SECOND), part(&["fc1.bias", "fc2.weight", "fc2.bias"])).unwrap(),
        "got 'fc1.bias' beside them",
    );
    change(&|to| fs::write(to.join(SECOND), b"damaged").unwrap(), "a shard in safetensors");
    let maps = |map: &str| format!("{{\"weight_map\": {map}}}");
    for (map, part) in [
        ("{}", "at least one file, got none"),
        ("[]", "names of files by names of tensors"),
        ("{\"w\": 1}", "names of files by names of tensors"),
        ("{\"w\": \"../model\"}", "files of the index's own folder"),
        ("{\"w\": \"/etc/passwd\"}", "files of the index's own folder"),
        ("{\"w\": \"a/b\"}", "files of the index's own folder"),
        ("{\"w\": \"..\"}", "files of the index's own folder"),
        ("{\"w\": \"\"}", "files of the index's own folder"),
        ("{\"w\": \"a\\u0000\"}", "files of the index's own folder"),
    ] {
        change(&|to| fs::write(to.join(INDEX), maps(map)).unwrap(), part);
    }
    let many: Vec<String> = (0..2000).map(|at| format!("\"{at}\": \"f{at}\"")).collect();
    let many = maps(&format!("{{{}}}", many.join(",")));
    change(&|to| fs::write(to.join(INDEX), &many).unwrap(), "shards: at most 1024, got 2000");
    let long = maps(&format!("{{\"w\": \"{}\"}}", "f".repeat(5 << 20)));
    change(&|to| fs::write(to.join(INDEX), &long).unwrap(), "bytes of an index");
    let error = Model::from_bytes(index(&places()).as_bytes()).unwrap_err().to_string();
    assert!(error.contains("names files beside it"), "{error}");
}

#[test]
fn of_two_indexes_the_caller_chooses() {
    let folder = set();
    fs::copy(folder.path().join(INDEX), folder.path().join("other.index.json")).unwrap();
    refused(folder.path(), "model.safetensors.index.json, other.index.json; open one of them");
    check(&load(folder.path().join(INDEX)).unwrap());
}

#[cfg(unix)]
#[test]
fn shards_are_plain_files_of_the_folder() {
    let outside = set();
    let folder = set();
    let second = folder.path().join(SECOND);
    fs::remove_file(&second).unwrap();
    std::os::unix::fs::symlink(outside.path().join(SECOND), &second).unwrap();
    refused(folder.path(), "links are not followed");
    fs::remove_file(&second).unwrap();
    // A link to a shard is that shard.
    let link = folder.path().join("model.safetensors");
    std::os::unix::fs::symlink(outside.path().join(FIRST), &link).unwrap();
    check(&load(&link).unwrap());
    fs::remove_file(outside.path().join(INDEX)).unwrap();
    refused(&link, "shard 00001 of 00002");
    assert!(std::process::Command::new("mkfifo").arg(&second).status().unwrap().success());
    refused(folder.path(), "a pipe");
}
