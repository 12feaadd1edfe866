//! What is not a regular file is refused, wherever it stands, and nothing waits for it; what a file
//! names stays in that file's folder.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fusewire::model::LoadOptions;
use fusewire::{Activation, Dense, Model};

use super::npy::f4;

/// What a load may take before it counts as waiting for ever.
const PATIENCE: Duration = Duration::from_secs(30);

fn model() -> Model {
    let weight = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    Model::from_layers(vec![Dense::new(3, 2, weight, None, Activation::Relu).unwrap()]).unwrap()
}

fn refused(path: &Path, part: &str) {
    let (done, wait) = mpsc::channel();
    let owned: PathBuf = path.to_owned();
    thread::spawn(move || {
        let options = LoadOptions { external_data: true, ..LoadOptions::default() };
        let read = Model::load_with(owned, &options);
        done.send(read.map(|_| ()).map_err(|error| error.to_string()))
    });
    let read = wait.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{} hangs", path.display()));
    let error = read.expect_err(part);
    assert!(error.contains(part) && !error.contains('\n'), "expected '{part}' in: {error}");
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What a thing is called, and how it is made.
type Thing = (&'static str, fn(&Path));

/// Every kind of thing that is not a regular file.
fn things() -> [Thing; 4] {
    [
        ("a pipe", pipe),
        ("a socket", |path| drop(UnixListener::bind(path).unwrap())),
        ("a device", |path| symlink("/dev/zero", path).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
    ]
}

#[test]
fn a_model_is_a_regular_file() {
    for (kind, make) in things().into_iter().filter(|(kind, _)| *kind != "a folder") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        make(&path);
        refused(&path, kind);
        refused(&path, "expected a regular file");
    }
    for device in ["/dev/zero", "/dev/null", "/dev/tty", "/dev/stdin"] {
        let open = Model::load(device).map(|_| ()).unwrap_err();
        assert!(!open.to_string().contains('\n'), "{open}");
    }
}

#[test]
fn every_file_of_a_folder_is_a_regular_one() {
    let layer = f4("(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for name in ["1-BIAS-w.npy", "model.toml", "saved_model.pb", "model.index.json"] {
        for (kind, make) in things() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("0-WEIGHT-w.npy"), &layer).unwrap();
            make(&folder.path().join(name));
            if name == "model.index.json" {
                // An index that cannot be read is none.
                assert!(Model::load(folder.path()).is_ok(), "{kind}");
            } else {
                refused(folder.path(), kind);
            }
        }
    }
}

#[test]
fn every_part_of_a_saved_model_is_a_regular_file() {
    let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frameworks/saved_model.zip");
    let mut zip = zip::ZipArchive::new(fs::File::open(zip).unwrap()).unwrap();
    let graph = (0..zip.len())
        .find(|index| zip.by_index(*index).unwrap().name().unwrap().ends_with("saved_model.pb"));
    let mut bytes = Vec::new();
    std::io::copy(&mut zip.by_index(graph.unwrap()).unwrap(), &mut bytes).unwrap();
    for (kind, make) in things() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("saved_model.pb"), &bytes).unwrap();
        fs::create_dir(folder.path().join("variables")).unwrap();
        make(&folder.path().join("variables/variables.index"));
        refused(folder.path(), kind);
    }
}

#[test]
fn what_a_manifest_names_is_a_regular_file() {
    for (kind, make) in things() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.toml"), "weights = 'w'").unwrap();
        make(&folder.path().join("w"));
        match kind {
            "a device" => refused(folder.path(), "links are not followed"),
            "a folder" => refused(folder.path(), "without .npy layers"),
            _ => refused(folder.path(), kind),
        }
    }
}

#[test]
fn a_manifest_leads_out_of_its_folder_by_no_link() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.safetensors");
    model().save(&secret).unwrap();
    let layers = outside.path().join("layers");
    fs::create_dir(&layers).unwrap();
    let array = f4("(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    fs::write(layers.join("0-WEIGHT-w.npy"), &array).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let own = folder.path();
    symlink(&secret, own.join("link")).unwrap();
    symlink(outside.path(), own.join("folder")).unwrap();
    symlink(&layers, own.join("layers")).unwrap();
    fs::create_dir(own.join("mixed")).unwrap();
    symlink(layers.join("0-WEIGHT-w.npy"), own.join("mixed/0-WEIGHT-w.npy")).unwrap();
    fs::create_dir(own.join("sound")).unwrap();
    fs::write(own.join("sound/0-WEIGHT-w.npy"), &array).unwrap();
    model().save(own.join("sound/w.safetensors")).unwrap();
    fs::hard_link(own.join("sound/w.safetensors"), own.join("hard")).unwrap();
    let says = |weights: &str| {
        fs::write(own.join("model.toml"), format!("weights = '{weights}'")).unwrap();
    };
    for (weights, part) in [
        ("link", "links are not followed"),
        ("folder/secret.safetensors", "links are not followed"),
        ("layers", "links are not followed"),
        ("mixed", "links are not followed"),
        ("hard", "a hard link"),
        ("../secret.safetensors", "inside the manifest's folder"),
    ] {
        says(weights);
        refused(own, part);
    }
    for weights in ["sound", "sound/"] {
        says(weights);
        assert_eq!(Model::load(own).unwrap().architecture(), "3-2", "{weights}");
    }
    fs::remove_file(own.join("hard")).unwrap();
    says("sound/w.safetensors");
    assert_eq!(Model::load(own).unwrap().architecture(), "3-2");
    // The manifest itself, and its folder, may be reached by a link: those the caller chose.
    let link = outside.path().join("chosen");
    symlink(own, &link).unwrap();
    assert!(Model::load(&link).is_ok());
    symlink(own.join("model.toml"), own.join("other.toml")).unwrap();
    assert!(Model::load(own.join("other.toml")).is_ok());
}
