//! Files that lead out of their own folder.

use std::fs;
use std::path::Path;

use super::{Attack, put};

pub fn attacks() -> Vec<Attack> {
    vec![
        Attack::file("manifest that leads to /etc", absolute_manifest, "inside the manifest's"),
        Attack::file("manifest that leads upwards", upward_manifest, "inside the manifest's"),
        Attack::file("manifest that leads to itself", circular_manifest, "another manifest"),
    ]
}

fn absolute_manifest(folder: &Path) {
    put(folder, "weights = '/etc/hostname'");
}

fn upward_manifest(folder: &Path) {
    put(folder, "weights = 'deep/../../model.onnx'");
}

fn circular_manifest(folder: &Path) {
    fs::write(folder.join("model"), "weights = 'model'").unwrap();
}
