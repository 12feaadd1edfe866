//! The bugs that `scripts/gpu-check` plants on a card: each has a place in the kernels, and what
//! comes of it is taken by NVIDIA's compiler.

use std::fs;
use std::path::{Path, PathBuf};

use fusewire::{Activation, PlanOptions};
use serde_json::Value;

use crate::common::{self, Random};
use crate::devices::{load, open};
use crate::{special, stub};

const TEST: &str = "planted::every_bug_has_a_place_and_compiles";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu_check")
}

fn bugs() -> Vec<Value> {
    let text = fs::read_to_string(folder().join("planted.json")).expect("the bugs are there");
    serde_json::from_str(&text).expect("a list of bugs")
}

fn text<'a>(bug: &'a Value, key: &str) -> &'a str {
    bug[key].as_str().expect("a text")
}

/// A kernel for any batch and one for few rows of a network, made for it.
fn make() {
    let device = open(0).expect("the stub has it");
    assert!(device.info().detail.contains("NVRTC"), "{:?}", device.info());
    let model = common::model(&mut Random(5), &[48, 32, 10], || Activation::Relu);
    load(&*device, &model, &PlanOptions::default());
}

/// The modules that a run keeps, by name; `None` where it fails.
fn made(bug: &Value, from: &str, planting: &Path, real: &Path) -> Option<Vec<(String, Vec<u8>)>> {
    let cache = tempfile::tempdir().expect("a folder for temporary files");
    let ran = stub::run(TEST, "make", |command| {
        command.env("FUSEWIRE_NVRTC", planting).env("FUSEWIRE_CACHE", cache.path());
        command.env("PLANT_NVRTC", real).env("PLANT_SOURCE", text(bug, "source"));
        command.env("PLANT_FROM", from).env("PLANT_TO", text(bug, "to"));
    });
    ran.ok()?;
    let kept = special::kept(cache.path()).into_iter();
    Some(kept.map(|(name, _)| (name.clone(), fs::read(cache.path().join(name)).unwrap())).collect())
}

#[test]
fn every_bug_has_a_place_and_compiles() {
    if stub::told().is_some() {
        return make();
    }
    let Some(real) = special::nvidias_compiler() else {
        println!("skipped: no NVRTC in target/venv");
        return;
    };
    if !stub::is_there() {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder for temporary files");
    let source = folder().join("planting_nvrtc.cpp");
    let planting = stub::build_library(&source, &[], &scratch.path().join("libnvrtc.so"));
    let tools: Vec<_> = bugs().iter().map(|bug| text(bug, "tool").to_owned()).collect();
    assert_eq!(tools, ["memcheck", "racecheck", "initcheck", "synccheck"]);
    for bug in bugs() {
        // What replaces itself changes nothing.
        let same = serde_json::json!({ "source": bug["source"], "to": bug["from"] });
        let sound = made(&same, text(&bug, "from"), &planting, &real).expect("it compiles");
        let with_bug = made(&bug, text(&bug, "from"), &planting, &real);
        let with_bug = with_bug.unwrap_or_else(|| panic!("{bug} has no place, or is no C++"));
        assert_eq!((sound.len(), with_bug.len()), (2, 2), "{bug}");
        let changed = sound.iter().zip(&with_bug).filter(|(sound, with_bug)| sound != with_bug);
        assert_eq!(changed.count(), 1, "{bug} is in one kernel of the two");
        assert_eq!(made(&bug, "nothing that stands there", &planting, &real), None);
    }
}
