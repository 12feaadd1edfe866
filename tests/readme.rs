//! The README tells the truth: its commands parse, its links lead somewhere, its table of features
//! is that of Cargo.toml. Its Rust snippets run as doctests (see `src/lib.rs`).

#![cfg(feature = "cli")]

use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");
const MANIFEST: &str = include_str!("../Cargo.toml");

/// The commands of the README's console blocks, without the program's own name.
fn commands() -> Vec<Vec<&'static str>> {
    let lines = README.lines().filter_map(|line| line.strip_prefix("$ "));
    let arguments = lines.filter_map(|line| {
        line.strip_prefix("fusewire ").or(line.strip_prefix("cargo run --release -- "))
    });
    arguments.map(|line| line.split_whitespace().collect()).collect()
}

/// The help of a command's verb, and of the experiment where the verb is one of those.
fn help(arguments: &[&str]) -> String {
    let verb = if arguments[0] == "bench" { &arguments[..2] } else { &arguments[..1] };
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusewire"));
    let output = command.args(verb).arg("--help").output().expect("the command runs");
    assert!(output.status.success(), "fusewire {verb:?} --help");
    String::from_utf8(output.stdout).expect("help is text")
}

#[test]
fn commands_are_those_of_the_program() {
    let commands = commands();
    assert!(commands.len() >= 7, "one example for each verb: {commands:?}");
    for arguments in commands {
        let help = help(&arguments);
        for option in arguments.iter().filter(|argument| argument.starts_with("--")) {
            assert!(help.contains(option), "fusewire {} has no {option}", arguments[0]);
        }
    }
}

#[test]
fn links_lead_to_files() {
    let targets = README.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut seen = 0;
    for target in targets.filter(|target| !target.starts_with("http")) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
        assert!(path.exists(), "{target} is not there");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn features_are_those_of_the_manifest() {
    let section = MANIFEST.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next());
    let lines = section.expect("Cargo.toml has features").lines();
    let names =
        lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" ="));
    for (name, _) in names.filter(|(name, _)| *name != "default") {
        assert!(README.contains(&format!("| `{name}` | ")), "the README leaves out {name}");
    }
}
