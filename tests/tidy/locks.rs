//! Packages beside this one, which use it and have a lock file of their own: what the library needs
//! must be in there, or their locked builds refuse to begin.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Table;

/// Folders of such packages.
pub const PACKAGES: [&str; 2] = ["benches/peers", "fuzz"];

/// What is wrong with the lock file of a package in `folder`, where it and the library have these
/// manifests.
pub fn behind(folder: &str, lock: &str, manifest: &str, library: &str) -> Vec<String> {
    let (lock, manifest, library) = (table(lock), table(manifest), table(library));
    let locked = locked(&lock);
    let missing = needed(&manifest, &library).into_iter().filter(|name| !locked.contains(name));
    missing.map(|name| format!("{folder}/Cargo.lock: the library needs {name}")).collect()
}

/// The file of the project at this path.
pub fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

/// The crates that the library needs with the features that the manifest names.
fn needed(manifest: &Table, library: &Table) -> BTreeSet<String> {
    let is_optional = |wanted: &toml::Value| {
        wanted.get("optional").and_then(toml::Value::as_bool).unwrap_or(false)
    };
    let dependencies = library["dependencies"].as_table().unwrap();
    let always = dependencies.iter().filter(|(_, wanted)| !is_optional(wanted));
    let mut needed: BTreeSet<String> = always.map(|(name, _)| name.clone()).collect();
    let features = manifest["dependencies"]["fusewire"]["features"].as_array().unwrap();
    for feature in features {
        for part in library["features"][feature.as_str().unwrap()].as_array().unwrap() {
            needed.extend(part.as_str().unwrap().strip_prefix("dep:").map(str::to_owned));
        }
    }
    needed
}

/// The crates that the lock file has the library use.
fn locked(lock: &Table) -> BTreeSet<String> {
    let packages = lock["package"].as_array().unwrap();
    let library = packages.iter().find(|package| package["name"].as_str() == Some("fusewire"));
    let used = library.unwrap()["dependencies"].as_array().unwrap().iter();
    // A name, and its version where there are several.
    used.map(|used| used.as_str().unwrap().split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_crate_that_is_not_locked_is_caught() {
    let library = "[dependencies]\na = '1'\nb = { version = '1', optional = true }\n\
                   c = { version = '1', optional = true }\n[features]\ncli = ['dep:b', 'a/x']\n";
    let manifest = "[dependencies]\nfusewire = { path = '..', features = ['cli'] }\n";
    let lock = |used: &str| format!("[[package]]\nname = 'fusewire'\ndependencies = [{used}]\n");
    let wrong = |used: &str| behind("fuzz", &lock(used), manifest, library);
    assert!(wrong("'a 1.0.0', 'b'").is_empty());
    assert_eq!(wrong("'b'"), ["fuzz/Cargo.lock: the library needs a"]);
    assert_eq!(wrong("'a'"), ["fuzz/Cargo.lock: the library needs b"]);
}
