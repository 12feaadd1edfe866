//! ONNX's own backend test suite: every case is read and gives the suite's numbers, or is refused
//! by a typed error. No case may give other numbers, and none may panic.
//!
//! `onnx-cases.md` beside the frameworks' fixtures says which is which and is compared here;
//! `FUSEWIRE_UPDATE_SNAPSHOTS=1` writes it anew. Read the difference before committing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use fusewire::backend::cpu::oracle;
use fusewire::{Model, ModelError, Rows};
use serde::Deserialize;

use super::peer::{numbers, python};

/// How many cases of one operator of the subset have to pass.
const PASSED_MIN: usize = 100;

#[derive(Deserialize)]
struct Case {
    name: String,
    group: String,
    subset: bool,
    operators: Vec<String>,
    opset: i64,
    rtol: f64,
    atol: f64,
}

enum Verdict {
    /// The suite's numbers, and what the importer remarked.
    Passed(Vec<String>),
    Refused(String),
    Wrong(String),
}

#[test]
fn every_case_passes_or_is_refused_by_a_typed_error() {
    let Some(python) = python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let script = root.join("tests/python/make_onnx_suite.py");
    let status = Command::new(python).arg(script).arg(directory.path()).status().unwrap();
    assert!(status.success(), "the script failed");
    let cases = fs::read(directory.path().join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    let verdicts: Vec<_> =
        cases.iter().map(|case| (case, case.verdict(directory.path()))).collect();
    let wrong: Vec<String> = verdicts
        .iter()
        .filter_map(|(case, verdict)| match verdict {
            Verdict::Wrong(what) => Some(format!("{}-{}: {what}", case.group, case.name)),
            _ => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    let passed = |group: &str| count(&verdicts, |case| case.subset && case.group == group).1;
    assert!(passed("node") >= PASSED_MIN, "only {} cases passed", passed("node"));
    compare(&table(&verdicts), &root.join("tests/frameworks/onnx-cases.md"));
}

impl Case {
    fn verdict(&self, directory: &Path) -> Verdict {
        let path = directory.join(format!("{}-{}.onnx", self.group, self.name));
        let model = match Model::load(&path) {
            Ok(model) => model,
            Err(error @ (ModelError::Unsupported { .. } | ModelError::TooLarge { .. })) => {
                return Verdict::Refused(error.to_string());
            }
            Err(error) => return Verdict::Wrong(format!("a sound file: {error}")),
        };
        let [rows, expected] = ["rows", "scores"].map(|end| path.with_extension(end));
        if !rows.exists() || !expected.exists() {
            return Verdict::Wrong(String::from("read, though it has no numbers"));
        }
        let (rows, expected) = (numbers(&rows), numbers(&expected));
        if rows.len() % model.inputs() != 0 {
            return Verdict::Wrong(format!("{} values in rows of {}", rows.len(), model.inputs()));
        }
        let scores = oracle(&model, Rows::F32(&rows));
        if scores.len() != expected.len() {
            return Verdict::Wrong(format!("{} scores, not {}", scores.len(), expected.len()));
        }
        let mut notes = model.notes().to_vec();
        let rows = rows.chunks_exact(model.inputs());
        let classes = model.classes();
        let of_rows = rows.zip(scores.chunks(classes).zip(expected.chunks(classes)));
        let (finite, spoilt): (Vec<_>, Vec<_>) =
            of_rows.partition(|(row, _)| row.iter().all(|value| value.is_finite()));
        if !spoilt.is_empty() {
            notes.push(format!("{} rows hold what is no finite float32", spoilt.len()));
        }
        let all = finite.into_iter().map(|row| (row, false));
        for ((_, (ours, theirs)), is_spoilt) in all.chain(spoilt.into_iter().map(|row| (row, true)))
        {
            for (ours, theirs) in ours.iter().zip(theirs) {
                // Such a value may spoil the scores of its row, and of no other.
                let agrees = self.agree(*ours, f64::from(*theirs)) || (is_spoilt && ours.is_nan());
                if !agrees {
                    return Verdict::Wrong(format!("{ours}, not {theirs}"));
                }
            }
        }
        Verdict::Passed(notes)
    }

    fn agree(&self, ours: f64, theirs: f64) -> bool {
        let close = (ours - theirs).abs() <= self.atol + self.rtol * theirs.abs();
        close || ours == theirs || (ours.is_nan() && theirs.is_nan())
    }
}

type Verdicts<'a> = [(&'a Case, Verdict)];
/// What some cases are called, and which they are.
type Kind<'a> = (&'a str, &'a dyn Fn(&Case) -> bool);

/// How many cases there are of a kind, and how many of them pass.
fn count(verdicts: &Verdicts<'_>, is_of_kind: impl Fn(&Case) -> bool) -> (usize, usize) {
    let of_kind = verdicts.iter().filter(|(case, _)| is_of_kind(case));
    let passed = of_kind.clone().filter(|(_, verdict)| matches!(verdict, Verdict::Passed(_)));
    (of_kind.count(), passed.count())
}

fn table(verdicts: &Verdicts<'_>) -> String {
    let mut text = String::from(
        "# ONNX's own test cases\n\nWritten by `tests/formats/suite.rs`. A case passes where its \
         scores are the suite's within the suite's\nown tolerance, and is refused by a typed error \
         otherwise; no case gives other numbers.\nInputs but the first of floats are bound as \
         constants.\n\n| cases | of them | pass | are refused |\n|---|---|---|---|\n",
    );
    let is_node = |case: &Case| case.group == "node";
    let kinds: [Kind; 4] = [
        ("one operator of dense chains; float32, int64, bool", &|case| {
            is_node(case) && case.subset
        }),
        ("the same without dropout in training", &|case| {
            is_node(case) && case.subset && !case.name.starts_with("test_training_dropout")
        }),
        ("models in the package", &|case| !is_node(case)),
        ("all other cases of operators", &|case| is_node(case) && !case.subset),
    ];
    for (what, is_of_kind) in kinds {
        let (all, passed) = count(verdicts, is_of_kind);
        writeln!(text, "| {what} | {all} | {passed} | {} |", all - passed).unwrap();
    }
    text += "\n## Operators of dense chains, and models in the package\n\n";
    text += "| case | operators | opset | verdict | remark or reason |\n|---|---|---|---|---|\n";
    for (case, verdict) in verdicts.iter().filter(|(case, _)| case.subset) {
        text += &line(case, verdict);
    }
    text += "\n## All other cases\n\nThose that pass:\n\n";
    text += "| case | operators | opset | verdict | remark or reason |\n|---|---|---|---|---|\n";
    let others = || verdicts.iter().filter(|(case, _)| !case.subset);
    for (case, verdict) in others().filter(|(_, verdict)| matches!(verdict, Verdict::Passed(_))) {
        text += &line(case, verdict);
    }
    text += "\nThose that are refused, by the operator at which they are:\n\n";
    text += "| operator | cases | one reason |\n|---|---|---|\n";
    let mut operators: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (_, verdict) in others() {
        let Verdict::Refused(reason) = verdict else { continue };
        let operator = reason.split(['(', ')']).nth(1).unwrap_or("");
        operators.entry(operator).or_insert((0, reason)).0 += 1;
    }
    for (operator, (cases, reason)) in operators {
        writeln!(text, "| {operator} | {cases} | {} |", one_cell(reason)).unwrap();
    }
    text
}

fn line(case: &Case, verdict: &Verdict) -> String {
    let (verdict, why) = match verdict {
        Verdict::Passed(notes) => ("passes", notes.join("; ")),
        Verdict::Refused(reason) => ("refused", reason.clone()),
        Verdict::Wrong(what) => ("WRONG", what.clone()),
    };
    let name = match case.group.as_str() {
        "node" => case.name.clone(),
        group => format!("{group}/{}", case.name),
    };
    let operators = case.operators.join(" ");
    format!("| {name} | {operators} | {} | {verdict} | {} |\n", case.opset, one_cell(&why))
}

fn one_cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn compare(text: &str, path: &Path) {
    if std::env::var_os("FUSEWIRE_UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, text).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    let other = text.lines().zip(kept.lines()).find(|(ours, kept)| ours != kept);
    assert!(
        text == kept,
        "{} is no longer so; FUSEWIRE_UPDATE_SNAPSHOTS=1 writes it anew: {other:?}",
        path.display()
    );
    println!("{}", text.lines().skip(7).take(6).collect::<Vec<_>>().join("\n"));
}
