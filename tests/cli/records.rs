//! `bench diff`: two records of one experiment, held against each other.

use fusewire::bench::record::{Better, Environment, FORMAT, Fact, Figure, Record, RecordError};
use fusewire::bench::report::ModelFacts;

use super::{Files, error, json, model, run, stdout, text};

fn environment() -> Environment {
    Environment {
        cpu: String::from("a processor"),
        simd: String::from("AVX2"),
        cores: 4,
        clock_mhz: vec![2000.0],
        os: String::from("linux"),
        arch: String::from("x86_64"),
        version: String::from("0.1.0"),
        commit: None,
        debug_build: false,
        devices: Vec::new(),
        started_unix_s: 1,
        took_s: 1.0,
        stolen_share: None,
        load_average: None,
    }
}

fn figure(key: &str, better: Better, rounds: &[f64]) -> Figure {
    Figure { key: key.to_owned(), unit: String::from("us"), better, rounds: rounds.to_vec() }
}

fn record(factor: f64) -> Record {
    let rounds = [1.0, 1.01, 1.02, 1.03, 1.04].map(|round| round * factor);
    Record {
        format: FORMAT,
        experiment: String::from("paper"),
        title: String::from("A title"),
        environment: environment(),
        model: ModelFacts::of(&model()),
        method: vec![Fact::new("precision", "f32")],
        sections: Vec::new(),
        figures: vec![
            figure("latency", Better::Lower, &rounds),
            figure("constant", Better::Higher, &[7.0; 5]),
        ],
        histograms: Vec::new(),
    }
}

impl Files {
    /// Writes a record into a folder of this name.
    fn record(&self, name: &str, record: &Record) -> String {
        let path = self.path(name);
        let written: Result<(), RecordError> = record.write(path.as_ref());
        written.unwrap();
        path
    }
}

#[test]
fn a_record_and_itself_are_the_same() {
    let files = Files::new();
    let folder = files.record("a", &record(1.0));
    let out = stdout(&["bench", "diff", &folder, &format!("{folder}/report.json")]);
    assert!(out.ends_with("\n0 worse, 0 unclear, 2 same, 0 better\n"), "{out}");
    assert!(out.contains("95 % interval") && out.contains("1.000 to 1.000"), "{out}");
    let document = json(&["bench", "diff", &folder, &folder]);
    assert_eq!(document["worse"], false);
    assert_eq!(document["figures"][0]["verdict"], "same");
    assert!(std::fs::read_to_string(format!("{folder}/report.html")).unwrap().contains("A title"));
}

#[test]
fn twice_the_time_in_every_round_is_worse_and_exit_code_1() {
    let files = Files::new();
    let (first, second) = (files.record("a", &record(1.0)), files.record("b", &record(2.0)));
    let output = run(&["bench", "diff", &first, &second]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
    let out = text(&output.stdout);
    let latency = out.lines().find(|line| line.trim_start().starts_with("latency")).unwrap();
    assert!(latency.contains("2.000") && latency.trim_end().ends_with("worse"), "{out}");
    let output = run(&["bench", "diff", &first, &second, "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["worse"], output.status.code()), (&true.into(), Some(1)));
    let figure = &document["figures"][0];
    assert_eq!((&figure["key"], &figure["verdict"]), (&"latency".into(), &"worse".into()));
    assert!(figure["interval"][0].as_f64().unwrap() > 1.9, "{figure}");
    // The other way round it is better, and past a higher threshold it is neither.
    assert!(stdout(&["bench", "diff", &second, &first]).contains("1 better"));
    let out = stdout(&["bench", "diff", &first, &second, "--threshold", "2.5"]);
    assert!(out.contains("0 worse, 0 unclear, 2 same"), "{out}");
}

#[test]
fn too_few_rounds_fail_only_where_it_is_strict() {
    let files = Files::new();
    let few = |factor| {
        let mut record = record(factor);
        record.figures[0].rounds.truncate(3);
        record.figures.truncate(1);
        record
    };
    let (first, second) = (files.record("a", &few(1.0)), files.record("b", &few(2.0)));
    let out = stdout(&["bench", "diff", &first, &second]);
    assert!(out.contains("too few rounds") && out.contains("1 unclear"), "{out}");
    let output = run(&["bench", "diff", &first, &second, "--strict"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("1 worse"));
}

#[test]
fn other_models_and_methods_are_warned_of_and_other_experiments_are_wrong_usage() {
    let files = Files::new();
    let first = files.record("a", &record(1.0));
    let mut other = record(1.0);
    other.model.content_hash = "0".repeat(64);
    other.method = vec![Fact::new("precision", "f16")];
    other.environment.cpu = String::from("another\nprocessor");
    other.figures.remove(1);
    other.figures.push(figure("new", Better::Lower, &[1.0]));
    let second = files.record("b", &other);
    let output = run(&["bench", "diff", &first, &second]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert_eq!(err.lines().filter(|line| line.starts_with("warning: ")).count(), 3, "{err}");
    assert_eq!(err.lines().count(), 3, "{err}");
    for words in ["different models", "precision: f32 and f16", "a processor and another proc"] {
        assert!(err.contains(words), "{err}");
    }
    assert!(out.contains("only in A: constant\nonly in B: new\n"), "{out}");
    let third = Record { experiment: String::from("follow-up"), ..record(1.0) };
    let third = files.record("c", &third);
    let line = error(2, &["bench", "diff", &first, &third]);
    assert!(line.contains("paper") && line.contains("follow-up"), "{line}");
}

#[test]
fn a_file_that_is_no_record_is_one_line() {
    let files = Files::new();
    let good = files.record("a", &record(1.0));
    let json = std::fs::read_to_string(format!("{good}/report.json")).unwrap();
    let lies = [
        ("cut.json", json[..json.len() / 2].to_owned()),
        ("other.json", json.replacen("\"format\": 1", "\"format\": 99", 1)),
        ("words.json", json.replacen("\"us\"", "{}", 1)),
        ("list.json", String::from("[]")),
        ("empty.json", String::new()),
        ("image.json", String::from("\u{1b}[31m\u{0}")),
    ];
    for (name, text) in lies {
        let path = files.write(name, text.as_bytes());
        for pair in [[&good, &path], [&path, &good]] {
            let line = error(1, &["bench", "diff", pair[0], pair[1]]);
            assert!(line.contains(name), "{line}");
        }
    }
    assert!(error(1, &["bench", "diff", &good, "no such"]).contains("no such"));
    for threshold in ["0.9", "nan", "inf", "x"] {
        error(2, &["bench", "diff", &good, &good, "--threshold", threshold]);
    }
    error(2, &["bench", "diff", &good]);
}
