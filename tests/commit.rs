//! What the build script says of the commit that a build is made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The build script as a program, and a repository to run it in.
struct Script {
    program: PathBuf,
    root: PathBuf,
}

impl Script {
    /// Compiles the script, and commits a source file to a new repository.
    fn new(name: &str) -> Script {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("commit").join(name);
        let _ = fs::remove_dir_all(&folder);
        let root = folder.join("repository");
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("src/lib.rs"), "//! A crate.\n").unwrap();

        let program = folder.join("script");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut compiler = Command::new(rustc);
        compiler.args(["--edition", "2024"]).arg(source).arg("-o").arg(&program);
        assert!(compiler.status().unwrap().success(), "{compiler:?}");

        let script = Script { program, root };
        script.git(&["init", "--quiet"]);
        script.git(&["add", "."]);
        let author = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        script.git(&[&author[..], &["commit", "--quiet", "--message", "A crate"]].concat());
        script
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").current_dir(&self.root).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// What a build of the package at `at` with this profile is told; all that was printed must be
    /// meant for Cargo.
    fn says(&self, at: &Path, profile: &str, given: Option<&str>) -> Option<String> {
        let mut command = Command::new(&self.program);
        command.current_dir(at).env("CARGO_MANIFEST_DIR", at).env("PROFILE", profile);
        command.env("CARGO_FEATURE_CLI", "1").env_remove("FUSEWIRE_COMMIT");
        if let Some(given) = given {
            command.env("FUSEWIRE_COMMIT", given);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().all(|line| line.starts_with("cargo::")), "{text}");
        let mut said = text.lines().filter_map(|line| line.split_once("FUSEWIRE_COMMIT="));
        said.next().map(|(_, commit)| commit.to_owned())
    }
}

fn is_git_there() -> bool {
    let is_there = Command::new("git").arg("--version").output().is_ok();
    if !is_there {
        println!("skipped: git was not found");
    }
    is_there
}

#[test]
fn a_release_build_knows_its_commit() {
    if !is_git_there() {
        return;
    }
    let script = Script::new("release");
    let commit = script.git(&["rev-parse", "--short", "HEAD"]);
    assert_eq!(script.says(&script.root, "release", None), Some(commit.clone()));

    fs::write(script.root.join("notes.txt"), "no source\n").unwrap();
    assert_eq!(script.says(&script.root, "release", None), Some(commit.clone()));
    fs::write(script.root.join("src/new.rs"), "//! New.\n").unwrap();
    assert_eq!(script.says(&script.root, "release", None), Some(commit + "+"));
}

#[test]
fn what_is_no_release_build_of_a_checkout_is_told_nothing() {
    if !is_git_there() {
        return;
    }
    let script = Script::new("others");
    assert_eq!(script.says(&script.root, "debug", None), None);
    let given = script.says(&script.root, "release", Some("8295865"));
    assert_eq!(given, None, "what the environment says is left as it is");
    // A copy within another project's repository has that one's commits.
    let vendored = script.root.join("src");
    assert_eq!(script.says(&vendored, "release", None), None);
}
