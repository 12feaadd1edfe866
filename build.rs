//! Tells a release build of the command which commit it is made of, for the records it writes.

use std::env;
use std::path::Path;
use std::process::Command;

/// What the library and the command are made of.
const SOURCES: [&str; 6] = ["build.rs", "Cargo.toml", "Cargo.lock", "src", "kernels", "shaders"];

fn main() {
    println!("cargo::rerun-if-env-changed=FUSEWIRE_COMMIT");
    let is_given = env::var("FUSEWIRE_COMMIT").is_ok_and(|commit| !commit.is_empty());
    let is_measured = env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && env::var_os("CARGO_FEATURE_CLI").is_some();
    if is_given || !is_measured {
        // A build that nobody measures is not made anew for each commit.
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    if let Some(commit) = commit() {
        println!("cargo::rustc-env=FUSEWIRE_COMMIT={commit}");
    }
}

/// The commit that is checked out, with a `+` where sources differ from it; `None` where this is no
/// checkout of the crate's own repository.
fn commit() -> Option<String> {
    let root = env::var("CARGO_MANIFEST_DIR").ok()?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&root).canonicalize().ok()? {
        return None;
    }
    let head = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
    let of_git = ["HEAD", "packed-refs", &head].map(|name| git(&["rev-parse", "--git-path", name]));
    for path in of_git.iter().flatten().map(String::as_str).chain(SOURCES) {
        // Cargo takes a file that is not there for one that has changed.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--untracked-files=normal", "--"];
    status.extend(SOURCES);
    let changed = if git(&status)?.is_empty() { "" } else { "+" };
    Some(commit + changed)
}

/// What `git` printed, where it is there and had no objection.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
