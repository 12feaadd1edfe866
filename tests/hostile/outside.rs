//! Files that lead out of their own folder.

use std::fs;
use std::path::Path;

use fusewire::model::LoadOptions;

use super::wire::{Message, onnx, tensor};
use super::{Attack, put};

pub fn attacks() -> Vec<Attack> {
    let mut attacks = vec![
        Attack::file("manifest that leads to /etc", absolute_manifest, "inside the manifest's"),
        Attack::file("manifest that leads upwards", upward_manifest, "inside the manifest's"),
        Attack::file("manifest that leads to itself", circular_manifest, "another manifest"),
        Attack::file("onnx that names another file without being asked", plain, "--external-data"),
        external(
            "CVE-2022-25882: external data upwards",
            |to| elsewhere(to, "../w.bin"),
            "own folder",
        ),
        external(
            "CVE-2024-27318: upwards in between",
            |to| elsewhere(to, "a/../../w"),
            "own folder",
        ),
        external("CVE-2024-5187: external data in /etc", |to| elsewhere(to, "/etc/passwd"), "/etc"),
        external("external data without a name", |to| elsewhere(to, ""), "own folder"),
        external("external data that is the folder", |to| elsewhere(to, "."), "'.'"),
        external("CVE-2026-34445: 2^62 bytes of external data", huge, "expected 24 bytes"),
        external("CVE-2026-34445: external data with words of its own", unknown, "__class__"),
    ];
    if cfg!(unix) {
        attacks.extend([
            external("CVE-2025-51480: external data behind a symlink", symlink, "w.bin"),
            external("CVE-2026-27489: external data with another name", hard_link, "w.bin"),
            external("external data in a pipe nobody writes to", pipe, "w.bin"),
        ]);
    }
    attacks
}

/// An attack on a caller who asks for external data.
fn external(name: &'static str, write: fn(&Path), refused: &'static str) -> Attack {
    let options = LoadOptions { external_data: true, ..LoadOptions::default() };
    Attack { options, ..Attack::file(name, write, refused) }
}

fn absolute_manifest(folder: &Path) {
    put(folder, "weights = '/etc/hostname'");
}

fn upward_manifest(folder: &Path) {
    put(folder, "weights = 'deep/../../model.onnx'");
}

fn circular_manifest(folder: &Path) {
    put(folder, "weights = 'model'");
}

/// A model whose weight lies elsewhere, as these words say.
fn said(folder: &Path, words: &[(&str, &str)]) {
    let weight = words.iter().fold(tensor("w", &[2, 3]), |tensor, (key, value)| {
        tensor.message(13, Message::default().bytes(1, key).bytes(2, value))
    });
    put(folder, onnx(weight.int(14, 1)));
}

fn elsewhere(folder: &Path, location: &str) {
    said(folder, &[("location", location)]);
}

fn plain(folder: &Path) {
    fs::write(folder.join("w.bin"), [0; 24]).unwrap();
    elsewhere(folder, "w.bin");
}

fn huge(folder: &Path) {
    fs::write(folder.join("w.bin"), [0; 24]).unwrap();
    let length = (1_u64 << 62).to_string();
    said(folder, &[("location", "w.bin"), ("offset", &length), ("length", &length)]);
}

fn unknown(folder: &Path) {
    fs::write(folder.join("w.bin"), [0; 24]).unwrap();
    said(folder, &[("location", "w.bin"), ("__class__", "1000000000000")]);
}

#[cfg(unix)]
fn symlink(folder: &Path) {
    fs::write(folder.join("secret"), [0; 24]).unwrap();
    std::os::unix::fs::symlink("secret", folder.join("w.bin")).unwrap();
    elsewhere(folder, "w.bin");
}

#[cfg(not(unix))]
fn symlink(_: &Path) {}

fn hard_link(folder: &Path) {
    fs::write(folder.join("secret"), [0; 24]).unwrap();
    fs::hard_link(folder.join("secret"), folder.join("w.bin")).unwrap();
    elsewhere(folder, "w.bin");
}

fn pipe(folder: &Path) {
    let made = std::process::Command::new("mkfifo").arg(folder.join("w.bin")).status().unwrap();
    assert!(made.success(), "mkfifo");
    elsewhere(folder, "w.bin");
}
