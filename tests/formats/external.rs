//! ONNX's external data: read where it is asked for, from plain files of the model's own folder.

use std::fs;
use std::path::Path;

use fusewire::model::LoadOptions;
use fusewire::{Model, ModelError};
use tempfile::TempDir;

use super::onnx_file::{Entry, File, Tensor, entry, floats, int, value};

/// `[outputs 2, inputs 3]`
const WEIGHT: [f32; 6] = [1.0, 2.0, 3.0, -4.0, 0.5, 6.0];

fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A tensor that lies elsewhere.
fn elsewhere(dims: &[i64], entries: &[Entry]) -> Tensor {
    Tensor {
        external_data: entries.to_vec(),
        data_location: 1,
        raw_data: vec![],
        ..floats(dims, &[])
    }
}

fn layer(weight: Tensor) -> File {
    let file = File::new(17, &[-1, 3]).tensor("w", weight);
    file.node("Gemm", &["x", "w"], "y", &[int("transB", 1)])
}

/// A folder with a model and the bytes of its weight in `w.bin`.
fn folder(file: &File) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("model.onnx"), file.bytes()).unwrap();
    fs::write(directory.path().join("w.bin"), bytes_of(&WEIGHT)).unwrap();
    directory
}

fn load(folder: &Path) -> Result<Model, ModelError> {
    let options = LoadOptions { external_data: true, ..LoadOptions::default() };
    Model::load_with(folder.join("model.onnx"), &options)
}

fn refused(folder: &Path, part: &str) {
    let error = load(folder).expect_err(part).to_string();
    assert!(error.contains(part) && !error.contains('\n'), "expected '{part}' in: {error}");
}

fn at(location: &str) -> Vec<Entry> {
    vec![entry("location", location)]
}

#[test]
fn tensors_are_read_from_the_models_folder() {
    let whole = [entry("location", "w.bin"), entry("offset", "0"), entry("length", "24")];
    for entries in [&at("w.bin")[..], &whole, &[entry("checksum", "0"), entry("location", "w.bin")]]
    {
        let directory = folder(&layer(elsewhere(&[2, 3], entries)));
        assert_eq!(load(directory.path()).unwrap().layers()[0].weight(), WEIGHT);
    }
    // Below the folder, behind other bytes, and in a Constant node.
    let part = [entry("location", "a/b/w.bin"), entry("offset", "8")];
    let file =
        File::new(17, &[-1, 3]).node("Constant", &[], "w", &[value(elsewhere(&[1, 3], &part))]);
    let directory = folder(&file.node("Gemm", &["x", "w"], "y", &[int("transB", 1)]));
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    fs::write(directory.path().join("a/b/w.bin"), bytes_of(&WEIGHT)).unwrap();
    assert_eq!(load(directory.path()).unwrap().layers()[0].weight(), [3.0, -4.0, 0.5]);
}

#[test]
fn nothing_is_read_unless_it_is_asked_for() {
    let file = layer(elsewhere(&[2, 3], &at("w.bin")));
    let directory = folder(&file);
    let error = Model::load(directory.path().join("model.onnx")).unwrap_err().to_string();
    assert!(error.contains("--external-data (LoadOptions::external_data)"), "{error}");
    // Bytes have no folder, and that of the program is not theirs.
    let options = LoadOptions { external_data: true, ..LoadOptions::default() };
    let here = layer(elsewhere(&[2, 3], &at("Cargo.toml")));
    let error = Model::from_bytes_with(&here.bytes(), &options).unwrap_err().to_string();
    assert!(error.contains("lies in another file"), "{error}");
}

#[test]
fn locations_that_lead_out_of_the_folder_are_refused() {
    for location in [
        "",
        "/etc/passwd",
        "../w.bin",
        "a/../../w.bin",
        "a/../w.bin",
        "./w.bin",
        "a//w.bin",
        "w.bin/",
        "..",
        ".",
        "a\\..\\w.bin",
        "C:w.bin",
        "w.bin\0",
        "\\\\host\\share",
    ] {
        let directory = folder(&layer(elsewhere(&[2, 3], &at(location))));
        refused(directory.path(), "the path of a file in the model's own folder");
    }
    let directory = folder(&layer(elsewhere(&[2, 3], &at(&"a/".repeat(100)))));
    refused(directory.path(), "the path of a file");
    let directory = folder(&layer(elsewhere(&[2, 3], &at(&"a".repeat(2000)))));
    refused(directory.path(), "1024 bytes of path");
    let directory = folder(&layer(elsewhere(&[2, 3], &at("missing"))));
    assert!(matches!(load(directory.path()), Err(ModelError::Io { .. })));
}

#[test]
fn entries_that_are_not_sound_are_refused() {
    let location = entry("location", "w.bin");
    for (entries, part) in [
        (vec![], "a location, got none"),
        (vec![location.clone(), location.clone()], "one location, got two"),
        (vec![location.clone(), entry("__class__", "x")], "got '__class__'"),
        (vec![location.clone(), entry("basepath", "/")], "got 'basepath'"),
        (vec![location.clone(), entry("length", "23")], "24 bytes, as its shape says, got 23"),
        (vec![location.clone(), entry("length", "99999999999")], "24 bytes, as its shape says"),
        (vec![location.clone(), entry("length", "-1")], "a number of bytes, got '-1'"),
        (vec![location.clone(), entry("length", "+24")], "a number of bytes, got '+24'"),
        (vec![location.clone(), entry("offset", "1")], "got a file of 24"),
        (vec![location.clone(), entry("offset", "18446744073709551615")], "got a file of 24"),
        (vec![location.clone(), entry("offset", "18446744073709551616")], "a number of bytes"),
    ] {
        refused(folder(&layer(elsewhere(&[2, 3], &entries))).path(), part);
    }
    let both = Tensor { raw_data: vec![0; 24], ..elsewhere(&[2, 3], &at("w.bin")) };
    refused(folder(&layer(both)).path(), "bytes here or in another file");
    for dims in [&[-1, 3][..], &[i64::MAX, i64::MAX]] {
        refused(folder(&layer(elsewhere(dims, &at("w.bin")))).path(), "a size that fits memory");
    }
    let huge = elsewhere(&[1 << 20, 1 << 20], &at("w.bin"));
    refused(folder(&layer(huge)).path(), "bytes of external data: at most");
}

#[test]
fn a_file_gives_no_more_bytes_than_it_has() {
    // Many tensors of the same bytes would make much memory of a small file.
    let mut file = layer(elsewhere(&[2, 3], &at("w.bin")));
    for index in 0..3 {
        file = file.tensor(&format!("{index}"), elsewhere(&[2, 3], &at("w.bin")));
    }
    refused(folder(&file).path(), "48 bytes in all tensors of a file of 24");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;

    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, bytes_of(&WEIGHT)).unwrap();
    let directory = folder(&layer(elsewhere(&[2, 3], &at("link"))));
    symlink(&secret, directory.path().join("link")).unwrap();
    refused(directory.path(), "links are not followed");
    // A link to a file of the same folder is one, too.
    fs::remove_file(directory.path().join("link")).unwrap();
    symlink("w.bin", directory.path().join("link")).unwrap();
    refused(directory.path(), "links are not followed");
    let directory = folder(&layer(elsewhere(&[2, 3], &at("folder/secret"))));
    symlink(outside.path(), directory.path().join("folder")).unwrap();
    refused(directory.path(), "links are not followed");
    let directory = folder(&layer(elsewhere(&[2, 3], &at("hard"))));
    fs::hard_link(directory.path().join("w.bin"), directory.path().join("hard")).unwrap();
    refused(directory.path(), "a hard link");
    // The folder itself may be reached by a link: that one the caller chose.
    let directory = folder(&layer(elsewhere(&[2, 3], &at("w.bin"))));
    let link = outside.path().join("link");
    symlink(directory.path(), &link).unwrap();
    assert!(load(&link).is_ok());
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_folders_are_refused_and_nobody_waits() {
    let directory = folder(&layer(elsewhere(&[2, 3], &at("pipe"))));
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    refused(directory.path(), "a regular file");
    fs::remove_file(&pipe).unwrap();
    fs::create_dir(&pipe).unwrap();
    refused(directory.path(), "a regular file");
    let directory = folder(&layer(elsewhere(&[2, 3], &at("socket"))));
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    assert!(load(directory.path()).is_err());
}
