//! `docs/FORMATS.md` tells the truth: its manifests load, its flags and keys say the same, and its
//! commands run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use fusewire::{Head, Model};

use super::torch_file::{Entry, f32s, zip};

const FORMATS: &str = include_str!("../../docs/FORMATS.md");

/// 4-3-2 under the names that the page uses, stored with outputs or inputs first.
fn layers(inputs_first: bool) -> Vec<Entry> {
    let shape = |outputs, inputs| if inputs_first { [inputs, outputs] } else { [outputs, inputs] };
    let numbers: Vec<f32> = (0..12).map(|n| 0.25 * n as f32 - 1.0).collect();
    vec![
        f32s("fc1.weight", "0", &shape(3, 4), &numbers),
        f32s("fc1.bias", "1", &[3], &[0.5, -0.5, 0.25]),
        f32s("fc2.weight", "2", &shape(2, 3), &numbers[..6]),
        f32s("fc2.bias", "3", &[2], &[0.0, 1.0]),
    ]
}

/// The same with a BatchNorm behind the first layer.
fn with_norm() -> Vec<Entry> {
    let mut entries = layers(false);
    let norm = [
        ("norm1.weight", "4", [1.0, 2.0, 3.0]),
        ("norm1.bias", "5", [0.0, 0.5, 1.0]),
        ("norm1.running_mean", "6", [0.25, 0.5, 0.75]),
        ("norm1.running_var", "7", [0.001, 1.0, 2.0]),
    ];
    let entry = |(name, key, numbers): &(&'static str, &'static str, [f32; 3])| {
        f32s(name, key, &[3], numbers)
    };
    entries.splice(2..2, norm.iter().map(entry));
    entries
}

/// A folder with `classifier.pt`.
fn folder(entries: &[Entry]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("classifier.pt"), zip(entries)).unwrap();
    folder
}

/// The page's blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    let blocks = FORMATS.split(&start).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect()
}

/// Flags to keys, as the page's table has them: `--final none` to `final = "none"`.
fn table() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = FORMATS.lines().filter_map(|line| line.strip_prefix("| `--"));
    let row = |row: &'static str| {
        let mut quoted = row.split('`').step_by(2);
        let (flag, key) = (quoted.next()?, quoted.next()?);
        Some((flag.split(' ').next()?, (flag, key)))
    };
    rows.filter_map(row).collect()
}

fn fusewire(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusewire"));
    let output = command.current_dir(folder).args(arguments).output().expect("the command runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "fusewire {arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("output is text")
}

#[test]
fn manifests_load() {
    let blocks = blocks("toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let folder = folder(&with_norm());
        fs::write(folder.path().join("model.toml"), block).unwrap();
        let model = Model::load(folder.path()).unwrap_or_else(|error| panic!("{block}: {error}"));
        assert_eq!((model.head(), model.classes()), (Head::Softmax, 2), "{block}");
        assert_eq!(model.labels().unwrap(), ["cat", "dog"], "{block}");
        assert_eq!(model.transform().scale.at(0), 2.0, "{block}");
    }
}

#[test]
fn flags_and_keys_say_the_same() {
    let table = table();
    assert!(table.len() >= 5, "{table:?}");
    for flag in table.keys() {
        let (entries, others): (_, &[&str]) = match *flag {
            "activation" => (layers(false), &["final"]),
            "final" => (layers(false), &["activation"]),
            "order" => (with_norm(), &["final"]),
            "layout" => (layers(true), &["activation", "final"]),
            "epsilon" => (with_norm(), &["order", "final"]),
            flag => panic!("--{flag} is not tried here"),
        };
        let said: Vec<_> = [flag].into_iter().chain(others).map(|flag| table[flag]).collect();
        let folder = folder(&entries);
        let flags = said.iter().map(|(flag, _)| format!("--{flag}")).collect::<Vec<_>>().join(" ");
        let mut arguments = vec!["inspect", "classifier.pt", "--json"];
        arguments.extend(flags.split(' '));
        let by_flags = fusewire(folder.path(), &arguments);
        let keys: Vec<&str> = said.iter().map(|(_, key)| *key).collect();
        let manifest = format!("weights = \"classifier.pt\"\n{}", keys.join("\n"));
        fs::write(folder.path().join("model.toml"), &manifest).unwrap();
        let by_keys = Model::load(folder.path()).unwrap_or_else(|e| panic!("{manifest}: {e}"));
        let hash = by_keys.content_hash().to_string();
        assert!(by_flags.contains(&hash), "{flags} and {manifest}");
        // Each says something: another epsilon or order is another model.
        assert!(by_keys.notes().iter().any(|note| note.contains("said by the caller")));
    }
}

/// Unsigned bytes as idx.
fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

#[test]
fn commands_run() {
    let commands: Vec<&str> = blocks("console")
        .into_iter()
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("$ fusewire "))
        .collect();
    assert!(!commands.is_empty());
    for command in commands {
        let folder = folder(&layers(false));
        // Compressed or not: the content says it, not the name.
        fs::write(folder.path().join("images.gz"), idx(&[2, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7]))
            .unwrap();
        fs::write(folder.path().join("labels.gz"), idx(&[2], &[1, 1])).unwrap();
        let output = fusewire(folder.path(), &command.split(' ').collect::<Vec<_>>());
        assert!(output.contains("2"), "{command}: {output}");
    }
}
