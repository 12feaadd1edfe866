//! Which peers take part, and how they are started.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::child::Child;
use crate::files::Files;
use crate::peers::{self, Entry, Kind};
use crate::protocol::Hello;
use crate::rounds::{Runner, State};

/// The peers whose names begin with one of `only`, all where there is none; the reference always.
pub fn wanted(only: &[String]) -> Result<Vec<Entry>> {
    for name in only {
        let is_known = peers::ALL.iter().any(|entry| entry.name.starts_with(name.as_str()));
        let names: Vec<_> = peers::ALL.iter().map(|entry| entry.name).collect();
        ensure!(is_known && !name.is_empty(), "no peer {name:?}; there are {}", names.join(", "));
    }
    let is_wanted = |name: &str| only.iter().any(|begin| name.starts_with(begin.as_str()));
    let chosen = peers::ALL.iter().enumerate();
    let chosen = chosen.filter(|(at, entry)| *at == 0 || only.is_empty() || is_wanted(entry.name));
    Ok(chosen.map(|(_, entry)| *entry).collect())
}

/// Starts the peers, one after the other.
pub fn start(entries: &[Entry], files: &Files, scripts: &Path, pythons: &[PathBuf]) -> Vec<Runner> {
    let library = env::var_os("ORT_DYLIB_PATH").or_else(|| library(scripts, pythons));
    let start = |entry: &Entry| {
        eprintln!("starting {}", entry.name);
        let commands = commands(entry, files, scripts, pythons, library.as_ref());
        start_one(*entry, commands, files)
    };
    entries.iter().map(start).collect()
}

/// Takes the first command by which the peer is not missing.
fn start_one(entry: Entry, commands: Vec<Command>, files: &Files) -> Runner {
    let log = files.folder.join(format!("{}.log", entry.name));
    let mut last = State::Missing(String::from("no Python interpreter is named"));
    for command in commands {
        let mut child = match Child::start(command, &log) {
            Ok(child) => child,
            Err(error) => {
                last = State::Missing(format!("{error:#}"));
                continue;
            }
        };
        last = match child.hello() {
            Ok(Hello::Ready { version }) => {
                return Runner::new(entry, version, State::Running(child));
            }
            Ok(Hello::Missing(why)) => State::Missing(why),
            Ok(Hello::Failed(why)) => State::Failed(why),
            Err(error) => State::Failed(format!("{error:#}")),
        };
        if last.is_fault() {
            break;
        }
    }
    Runner::new(entry, String::new(), last)
}

/// The commands by which a peer may be started: with Python, one for each interpreter.
fn commands(
    entry: &Entry,
    files: &Files,
    scripts: &Path,
    pythons: &[PathBuf],
    library: Option<&OsString>,
) -> Vec<Command> {
    let Kind::Python = entry.kind else {
        // A program that cannot find itself is not worth a word of its own.
        let mut command = Command::new(env::current_exe().unwrap_or_default());
        command.arg("serve").arg(entry.name).arg(&files.folder);
        command.envs(library.map(|library| ("ORT_DYLIB_PATH", library)));
        return vec![command];
    };
    let with = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.arg(scripts.join("serve.py")).arg(entry.name).arg(&files.folder);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    };
    pythons.iter().map(with).collect()
}

/// ONNX Runtime's library in the first Python that has one.
fn library(scripts: &Path, pythons: &[PathBuf]) -> Option<OsString> {
    pythons.iter().find_map(|python| {
        let found = Command::new(python).arg(scripts.join("find_onnxruntime.py")).output().ok()?;
        let path = String::from_utf8(found.stdout).ok()?;
        found.status.success().then(|| OsString::from(path.trim()))
    })
}

#[test]
fn names_choose_by_their_beginning_and_the_reference_stays() {
    let names = |only: &[&str]| -> Vec<&str> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        wanted(&only).unwrap().iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names(&[]).len(), peers::ALL.len());
    assert_eq!(names(&["torch", "tract"]), ["fusewire-f32", "tract", "torch", "torch-jit"]);
    assert_eq!(names(&["fusewire-f32"]), ["fusewire-f32"]);
    let error = wanted(&[String::from("tourch")]).err().unwrap().to_string();
    assert!(error.starts_with("no peer \"tourch\"; there are fusewire-f32, "), "{error}");
    assert!(wanted(&[String::new()]).is_err());
}
