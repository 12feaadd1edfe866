//! `--out`: found fit before the run, and written whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::{Files, error, model, stdout, text};

/// The files of a folder and what they hold.
fn content(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default())
    });
    files.collect()
}

#[test]
fn a_folder_that_cannot_be_written_to_is_an_error_before_the_run() {
    let files = Files::new();
    let small = files.model("m.safetensors", &model());
    let file = files.write("file", b"kept");
    let under = format!("{file}/deeper");
    for out in [&file, &under] {
        for arguments in [
            &["compare", &small, "--backend", "cpu"][..],
            &["bench", "kernel", &small, "--backend", "cpu"],
            &["bench", "paper", &small, "--backend", "cpu"],
            &["bench", "follow-up", &small, "--backend", "cpu"],
            &["bench", "handoff", &small],
        ] {
            // The error's own test sees that nothing was printed before it.
            let line = error(1, &[arguments, &["--out", out]].concat());
            assert!(line.contains(out), "{line}");
        }
    }
    assert_eq!(fs::read(&file).unwrap(), b"kept");
}

#[test]
fn files_that_are_not_the_records_stay() {
    let files = Files::new();
    let (out, small) = (files.path("a/b"), files.model("m.safetensors", &model()));
    fs::create_dir_all(&out).unwrap();
    fs::write(Path::new(&out).join("notes.txt"), "mine").unwrap();
    let compare = ["compare", &small, "--backend", "cpu", "--batch", "1", "--out", &out];
    let said = stdout(&compare);
    assert!(said.contains("report.html"), "{said}");
    let content = content(&out);
    assert_eq!(content["notes.txt"], b"mine");
    let names: Vec<&str> = content.keys().map(String::as_str).collect();
    let expected =
        ["compare.cpu.batch=1.hdr", "notes.txt", "report.csv", "report.html", "report.json"];
    assert_eq!(names, expected);
}

/// The limit on the size of a file stands in for a disk that is full.
#[test]
#[cfg(unix)]
fn a_full_disk_is_one_line_and_costs_neither_the_table_nor_an_older_record() {
    let files = Files::new();
    let (out, small) = (files.path("results"), files.model("m.safetensors", &model()));
    let limited = |more: &[&str]| {
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_fusewire")]);
        command.args(["compare", &small, "--backend", "cpu", "--batch", "1", "--out", &out]);
        command.env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"));
        let output = command.args(more).stdin(Stdio::null()).output().unwrap();
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(line.starts_with("error: ") && line.contains("results"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        text(&output.stdout)
    };
    let said = limited(&[]);
    assert!(said.contains("fastest") && !said.contains("report.html"), "{said}");
    assert_eq!(content(&out), BTreeMap::new(), "neither half a file nor a folder of them");

    stdout(&["compare", &small, "--backend", "cpu", "--batch", "1", "--out", &out]);
    let before = content(&out);
    let document: serde_json::Value = serde_json::from_str(&limited(&["--json"])).unwrap();
    assert_eq!(document["results"][0]["batch"], 1);
    assert_eq!(content(&out), before);
}
