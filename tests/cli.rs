//! The command as its users meet it: the built binary, files made here, exit codes, output.

#![cfg(feature = "cli")]

#[path = "cli/bytes.rs"]
mod bytes;
#[path = "cli/diff.rs"]
mod diff;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/folders.rs"]
mod folders;
#[path = "cli/records.rs"]
mod records;
#[path = "cli/rounding.rs"]
mod rounding;
#[path = "cli/tables.rs"]
mod tables;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use files::Files;
use fusewire::{Activation, Dense, Model, U8Scale, bf16, f16};
use serde_json::Value;

/// The scores of a row are its first three values, so that a test sees at once what must come out.
fn model() -> Model {
    let weight = vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let layer = Dense::new(4, 3, weight, None, Activation::Identity).unwrap();
    let labels = ["ant", "bee", "cat"].map(String::from).to_vec();
    Model::from_layers(vec![layer]).unwrap().with_labels(labels).unwrap().with_name("first three")
}

/// Three rows whose classes are 1, 2, 0.
const PIXELS: [u8; 12] = [0, 255, 51, 9, 10, 20, 30, 40, 7, 6, 5, 255];
const LABELS: [u8; 3] = [1, 2, 2];

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusewire"));
    command.args(arguments);
    // Graphics libraries that are asked for adapters print a complaint where this is not set.
    command.env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"));
    // An error is one line whoever asks for more.
    command.env("RUST_BACKTRACE", "1");
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Standard output of a run that succeeds and has nothing to complain about.
fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{arguments:?}");
    assert!(!out.contains('\u{1b}'), "no escapes where there is no terminal: {out}");
    out
}

fn json(arguments: &[&str]) -> Value {
    let mut with_json = arguments.to_vec();
    with_json.push("--json");
    let out = stdout(&with_json);
    assert_eq!(out.lines().count(), 1, "one document on one line: {out}");
    serde_json::from_str(&out).unwrap()
}

/// The message of a run that fails with `code`: one line, soon.
fn error(code: i32, arguments: &[&str]) -> String {
    let start = Instant::now();
    let output = run(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    assert_eq!(out, "", "{arguments:?}");
    assert!(err.starts_with("error: ") && err.ends_with('\n'), "{arguments:?}: {err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{arguments:?}: {err}");
    assert!(start.elapsed() < Duration::from_secs(20), "{arguments:?}");
    err
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The classes that `classify` gives to the rows of a file.
fn classes(answer: &Value) -> Vec<u64> {
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|row| row["class"].as_u64().unwrap()).collect()
}

fn assert_keys(document: &Value, keys: &[&str]) {
    for key in keys {
        assert!(document.get(key).is_some(), "no {key} in {document}");
    }
}

#[test]
fn help_names_every_verb_and_every_verb_has_examples() {
    let help = stdout(&["--help"]);
    for verb in ["devices", "inspect", "classify", "eval", "convert", "diff", "compare", "bench"] {
        assert!(help.contains(verb), "{help}");
        let help = stdout(&[verb, "--help"]);
        assert!(help.contains("Examples:") && help.contains("--json"), "{help}");
    }
    for experiment in ["diff", "follow-up", "handoff", "kernel", "paper"] {
        let help = stdout(&["bench", experiment, "--help"]);
        assert!(help.contains("Examples:") && help.contains("--json"), "{help}");
    }
    assert!(stdout(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn devices_says_what_is_here_and_what_is_not() {
    let document = json(&["devices"]);
    assert_keys(&document["machine"], &["cpu", "cores", "os", "arch", "version"]);
    let devices = document["devices"].as_array().unwrap();
    for backend in ["cuda", "wgpu", "cpu"] {
        let of = |device: &&Value| device["backend"] == backend;
        let device = devices.iter().find(of).unwrap_or_else(|| panic!("no word of {backend}"));
        match device["state"].as_str().unwrap() {
            "missing" => assert_keys(device, &["looked_for", "advice"]),
            _ => assert_keys(device, &["name", "detail", "software"]),
        }
        assert!(stdout(&["devices"]).contains(backend));
    }
}

#[test]
fn inspect_shows_the_model_and_its_plan() {
    let files = Files::new();
    let path = files.model("m.safetensors", &model());
    let document = json(&["inspect", &path, "--backend", "cpu", "--input", "u8"]);
    assert_eq!(document["model"]["content_hash"], model().content_hash().to_string());
    assert_eq!(document["model"]["format"], "safetensors");
    assert_eq!(document["model"]["labels"][1], "bee");
    assert_eq!(document["model"]["layers"][0]["outputs"], 3);
    assert_eq!(document["plan"]["input"], "u8");
    assert_eq!(document["plan"]["flops_per_row"], 24);
    assert_keys(&document["costs"][0], &["batch", "flops", "moved_bytes", "roofline_us"]);
    for input in ["f16", "bf16"] {
        let document = json(&["inspect", &path, "--backend", "cpu", "--input", input]);
        assert_eq!(document["plan"]["input"], input);
    }
    let text = stdout(&["inspect", &path, "--backend", "cpu"]);
    for word in ["first three: 4-3", "content hash", "u8 scale", "cat", "plan of", "FLOP"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn every_kind_of_input_gives_the_same_answers() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let idx = files::idx(&[3, 2, 2], &PIXELS);
    let floats: Vec<u8> =
        PIXELS.iter().flat_map(|b| (f32::from(*b) / 255.0).to_le_bytes()).collect();
    let rows = [
        files.write("images-idx3-ubyte", &idx),
        files.write("images.gz", &files::gzip(&idx)),
        files.write("rows.npy", &files::npy("|u1", "(3, 4)", &PIXELS)),
    ];
    for input in ["f32", "f16", "bf16", "u8"] {
        let classify = |file: &str| {
            json(&["classify", &model, file, "--input", input, "--backend", "cpu", "--batch", "2"])
        };
        for file in &rows {
            assert_eq!(classes(&classify(file)), [1, 2, 0], "{file} as {input}");
        }
        assert_eq!(classes(&classify(&files.png("p.png", 2, 2, &PIXELS[..4]))), [1]);
        assert_eq!(classify(&rows[0])["results"][0]["label"], "bee");
    }
    let raw = files.write("rows.f32", &floats);
    assert_eq!(classes(&json(&["classify", &model, &raw, "--backend", "cpu"])), [1, 2, 0]);
    let npy = files.write("floats.npy", &files::npy("<f4", "(3, 4)", &floats));
    assert_eq!(classes(&json(&["classify", &model, &npy, "--backend", "cpu"])), [1, 2, 0]);
    let text = stdout(&["classify", &model, &raw, "--top-k", "2", "--backend", "cpu"]);
    assert!(text.lines().next().unwrap().ends_with("0: 1 bee (1.0000), 2 cat (0.2000)"), "{text}");
}

#[test]
fn rows_of_halves_are_classified_as_they_are() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    // 0.3 is another number in each type.
    let values = [0.1_f32, 0.3, -2.0, 5.0, 1000.0, 999.0, 998.5, 0.0];
    let halves: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    let brains: Vec<u8> = values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    let npy = files.write("rows.npy", &files::npy("<f2", "(2, 4)", &halves));
    let (raw_f16, raw_bf16) = (files.write("r.f16", &halves), files.write("r.bf16", &brains));
    let scores = |file: &str, input: &str| {
        let document =
            json(&["classify", &model, file, "--input", input, "--backend", "cpu", "--top-k", "3"]);
        assert_eq!(document["input"], input);
        assert_eq!(classes(&document), [1, 0], "{file} as {input}");
        [0, 1].map(|row| document["results"][row]["top"][0]["score"].as_f64().unwrap() as f32)
    };
    let of_f16 = [0.3, 1000.0].map(|value| f16::from_f32(value).to_f32());
    let of_bf16 = [0.3, 1000.0].map(|value| bf16::from_f32(value).to_f32());
    for (file, input, expected) in [
        (&npy, "f16", of_f16),
        (&npy, "f32", of_f16),
        (&npy, "bf16", of_bf16),
        (&raw_f16, "f16", of_f16),
        (&raw_bf16, "bf16", of_bf16),
    ] {
        assert_eq!(scores(file, input), expected, "{file} as {input}");
    }
    let refused = error(1, &["classify", &model, &npy, "--input", "u8", "--backend", "cpu"]);
    assert!(refused.contains("--input f32"), "{refused}");
}

#[test]
fn standard_input_is_raw_values() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let mut child = command(&["classify", &model, "-", "--input", "u8", "--backend", "cpu"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&PIXELS).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout).lines().count(), 3);
}

#[test]
fn a_spoilt_row_is_null_in_json_and_spoils_no_other() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let values = [1.0, f32::NAN, 0.0, 0.0, 3.0, 2.0, 1.0, 0.0];
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let file = files.write("rows.f32", &bytes);
    let document = json(&["classify", &model, &file, "--backend", "cpu", "--top-k", "3"]);
    let spoilt = &document["results"][0];
    assert_eq!((&spoilt["score"], &spoilt["nan"]), (&Value::Null, &Value::Bool(true)));
    assert_eq!(document["results"][1]["score"], 3.0);
    assert_eq!(document["results"][1].get("nan"), None);
}

#[test]
fn eval_counts_what_is_right() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let images = files.write("images", &files::gzip(&files::idx(&[3, 2, 2], &PIXELS)));
    let labels = files.write("labels", &files::idx(&[3], &LABELS));
    let arguments = ["eval", &model, "--images", &images, "--labels", &labels, "--backend", "cpu"];
    let document = json(&arguments);
    assert_eq!((&document["rows"], &document["correct"]), (&3.into(), &2.into()));
    assert!((document["accuracy"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(document["confusion"], serde_json::json!([[0, 0, 0], [0, 1, 0], [1, 0, 1]]));
    assert_eq!(document["classes"][0]["recall"], Value::Null);
    assert_eq!(document["classes"][2]["recall"], 0.5);
    assert_keys(&document, &["backend", "precision", "batch", "rows_per_s", "content_hash"]);
    let text = stdout(&arguments);
    assert!(text.contains("(2 of 3 rows)") && text.contains("recall"), "{text}");

    let labels = files.write("labels", &files::idx(&[2], &[0, 1]));
    assert!(error(1, &["eval", &model, "--images", &images, "--labels", &labels]).contains("3"));
    let labels = files.write("labels", &files::npy("<i8", "(3,)", &[9; 24]));
    error(1, &["eval", &model, "--images", &images, "--labels", &labels]);
}

/// Every score of these rows is exact in both precisions.
#[test]
fn narrow_precisions_are_taken_and_named() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let images = files.write("images-idx3-ubyte", &files::idx(&[3, 2, 2], &PIXELS));
    let labels = files.write("labels", &files::idx(&[3], &LABELS));
    for precision in ["int8", "bf16"] {
        let with = ["--precision", precision, "--input", "u8"];
        // Asked for any device, int8 is the processor's.
        let document = json(&[&["classify", &model, &images][..], &with].concat());
        assert_eq!(
            (classes(&document), &document["precision"]),
            (vec![1, 2, 0], &precision.into())
        );
        let any = document["backend"].as_str().unwrap();
        assert!(any == "cpu" || precision != "int8", "{document}");
        let floats = ["classify", &model, &images, "--precision", precision, "--backend", "cpu"];
        assert_eq!(classes(&json(&floats)), [1, 2, 0]);
        let eval = ["eval", &model, "--images", &images, "--labels", &labels, "--backend", "cpu"];
        let document = json(&[&eval[..], &with].concat());
        assert_eq!((&document["correct"], &document["precision"]), (&2.into(), &precision.into()));
    }
    let refused = error(2, &["classify", &model, &images, "--precision", "int4"]);
    assert!(refused.contains("int8"), "{refused}");
}

#[test]
fn convert_keeps_the_content_hash_and_overwrites_nothing() {
    let files = Files::new();
    let model_path = files.model("m.safetensors", &model());
    let out = files.path("out.safetensors");
    let document = json(&["convert", &model_path, &out]);
    assert_eq!(document["content_hash"], model().content_hash().to_string());
    assert_eq!(Model::load(&out).unwrap().labels(), model().labels());
    assert!(error(1, &["convert", &model_path, &out]).contains("--force"));
    stdout(&["convert", &model_path, &out, "--force", "--u8-scale", "0.5"]);
    assert_eq!(Model::load(&out).unwrap().u8_scale(), U8Scale::File(0.5));
    let onnx = files.path("out.onnx");
    let document = json(&["convert", &out, &onnx]);
    assert_eq!(document["content_hash"], Model::load(&out).unwrap().content_hash().to_string());
    assert_eq!(Model::load(&onnx).unwrap().labels(), model().labels());
    let other = files.path("out.npz");
    assert!(error(2, &["convert", &model_path, &other]).contains(".safetensors or .onnx"));
    assert!(!Path::new(&other).exists());
}

#[test]
fn compare_checks_measures_and_writes() {
    let files = Files::new();
    let out = files.path("results");
    let arguments = ["compare", "--backend", "cpu", "--batch", "1,4", "--out", &out];
    let document = json(&arguments);
    assert_eq!(document["model"]["name"], "fashion-mnist");
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for (result, batch) in results.iter().zip([1, 4]) {
        assert_eq!((&result["backend"], &result["batch"]), (&"cpu".into(), &batch.into()));
        assert_keys(result, &["p50_us", "p99_us", "rows_per_s"]);
        assert!(result["max_abs_error"].as_f64().unwrap() < 1e-3);
    }
    assert_eq!(document["devices"][0]["agreement"]["rows"], 1000);
    // With one device there is nothing to cross; the keys are there.
    for key in ["crossovers", "ratios"] {
        assert_eq!(document[key], serde_json::json!([]), "{key}");
    }
    let read = |name: &str| std::fs::read_to_string(Path::new(&out).join(name)).unwrap();
    let record: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(record["experiment"], "compare");
    let csv = read("report.csv");
    assert_eq!(csv.lines().count(), 1 + 2 * 3, "{csv}");
    assert!(csv.contains("\ncompare.cpu.batch=4.p50_us,us,lower,"), "{csv}");
    assert!(read("report.html").contains("Roofline of cpu"));
    assert!(read("compare.cpu.batch=1.hdr").starts_with("#[Histogram log"));
    // Standard error says how busy the machine was.
    let output = run(&["bench", "diff", &out, &out, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let same: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(same["figures"].as_array().unwrap().len(), 2 * 3);

    let small = files.model("m.safetensors", &model());
    let text = stdout(&["compare", &small, "--backend", "cpu", "--batch", "2", "--input", "u8"]);
    for word in [
        "plan of first three",
        "agrees with the oracle on 1,000",
        "fastest",
        "cpu is the only device that was measured.",
    ] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    for input in ["f16", "bf16"] {
        let arguments = ["compare", &small, "--backend", "cpu", "--batch", "2", "--input", input];
        let text = stdout(&arguments);
        assert!(text.contains("agrees with the oracle on 1,000"), "{text}");
    }
}

#[test]
fn handoff_checks_measures_and_writes() {
    let files = Files::new();
    let out = files.path("results");
    let quick = ["bench", "handoff", "--quick", "--seconds", "0.02"];
    let document = json(&[&quick[..], &["--out", &out]].concat());
    assert_eq!(document["model"]["name"], "fashion-mnist");
    let results = document["results"].as_array().unwrap();
    let of = |experiment: &str| {
        let cells: Vec<_> =
            results.iter().filter(|cell| cell["experiment"] == experiment).collect();
        assert!(!cells.is_empty(), "no {experiment} in {document}");
        cells
    };
    for cell in of("latency") {
        assert_keys(cell, &["p50_us", "p90_us", "p99_us", "p999_us", "max_us", "beside"]);
    }
    for cell in of("throughput").into_iter().chain(of("model_throughput")) {
        assert_keys(cell, &["rows_per_s", "rows_per_s_min", "rows_per_s_max", "beside"]);
    }
    for cell in of("open_loop").into_iter().chain(of("swap")) {
        assert_keys(
            cell,
            &["offered_per_s", "p99_us", "late_p99_us", "called_p99_us", "unsent", "kept"],
        );
    }
    assert!(of("swap").iter().any(|cell| cell["swaps"].as_u64() > Some(0)));
    let rounds = assert_record(&out, "handoff", "latency.spinning.p50_us");
    assert_eq!(rounds, document["method"]["rounds"]);

    let small = files.model("m.safetensors", &model());
    let text = stdout(&[&quick[..], &[&small, "--input", "u8"]].concat());
    for word in ["first three: 4-3", "floor: park trip", "reserve, commit", "Every answer"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn paper_checks_measures_and_writes() {
    let files = Files::new();
    let (out, small) = (files.path("results"), files.model("m.safetensors", &model()));
    let quick = ["bench", "paper", &small, "--backend", "cpu", "--seconds", "0.01"];
    let document = json(&[&quick[..], &["--out", &out]].concat());
    assert_keys(&document, &["format", "experiment", "environment", "model", "method", "sections"]);
    assert_keys(&document["environment"], &["cpu", "cores", "os", "version", "devices", "took_s"]);
    assert_eq!(document["experiment"], "paper");
    let figures = document["figures"].as_array().unwrap();
    assert!(figures.iter().any(|figure| figure["key"] == "limit.cpu.sustained_per_s"));
    let written = std::fs::read_to_string(Path::new(&out).join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), document);
    assert!(std::fs::metadata(Path::new(&out).join("results.bin")).unwrap().len() > 0);

    let rows = files.write("rows.u8", &[7; 12]);
    let text = stdout(&[&quick[..], &["--images", &rows, "--input", "u8"]].concat());
    for word in ["first three: 4-3", "rows 3 of a file", "ND4J", "parallelism", "sustained;"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    let none = files.write("none.u8", &[7; 13]);
    let line = error(1, &[&quick[..], &["--images", &none, "--input", "u8"]].concat());
    assert!(line.contains(&none), "{line}");
}

#[test]
fn follow_up_sends_rates_of_many_rows_and_bursts() {
    let files = Files::new();
    let (out, small) = (files.path("results"), files.model("m.safetensors", &model()));
    let quick = ["bench", "follow-up", &small, "--backend", "cpu", "--seconds", "0.03"];
    let said = stdout(&[&quick[..], &["--input", "u8", "--out", &out]].concat());
    for word in ["first three: 4-3", "512", "4,096", "replicas", "110 %", "calm again within"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
    let written = std::fs::read_to_string(Path::new(&out).join("report.json")).unwrap();
    let document: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(document["experiment"], "follow-up");
    let figures = document["figures"].as_array().unwrap();
    for key in ["rates.cpu.rate=4096.batch=512.answered_per_s", "bursts.cpu.recovery_s"] {
        assert!(figures.iter().any(|figure| figure["key"] == key), "no {key}");
    }
    let same = run(&["bench", "diff", &out, &out]);
    assert!(text(&same.stdout).contains("\n0 worse"), "{}", text(&same.stderr));
}

#[test]
fn kernel_checks_measures_and_writes() {
    let files = Files::new();
    let (out, small) = (files.path("results"), files.model("m.safetensors", &model()));
    let quick = ["bench", "kernel", &small, "--backend", "cpu", "--seconds", "0.002"];
    let document = json(&[&quick[..], &["--batch", "1,5000", "--out", &out]].concat());
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{document}");
    for (cell, batch) in results.iter().zip([1, 5000]) {
        assert_eq!((&cell["batch"], &cell["agrees"]), (&batch.into(), &true.into()), "{cell}");
        assert_keys(cell, &["min_us", "p50_us", "p99_us", "rows_per_s", "link_share"]);
        assert_keys(&cell["achieved"], &["clock", "bytes_per_s", "memory_share", "flops_share"]);
        assert_keys(&cell["ceilings"], &["bytes_per_s", "flops_per_s", "link_in_bytes_per_s"]);
    }
    let rounds = assert_record(&out, "kernel", "cpu.batch=5000.trip.p50_us");
    // Where the machine pauses for longer than all of a figure's time, there are fewer.
    assert!((1..=5).contains(&rounds) && document["method"]["rounds"] == 5, "{rounds}");
    let text = stdout(&[&quick[..], &["--input", "u8", "--precision", "f16"]].concat());
    for word in ["first three: 4-3", "65,536", "of link", "ceilings at", "u8 rows, f16 weights"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

/// Sees that a folder holds a record with its files, which is the same as itself and has a figure
/// of this key. Returns the figure's rounds.
fn assert_record(folder: &str, experiment: &str, key: &str) -> usize {
    let written = std::fs::read_to_string(Path::new(folder).join("report.json")).unwrap();
    let record: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(record["experiment"], experiment);
    let figures = record["figures"].as_array().unwrap();
    let csv = std::fs::read_to_string(Path::new(folder).join("report.csv")).unwrap();
    assert_eq!(csv.lines().count(), figures.len() + 1, "{csv}");
    let page = std::fs::read_to_string(Path::new(folder).join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains(key), "no drawing, or no {key}");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    assert!(files.filter_map(|name| name.into_string().ok()).any(|name| name.ends_with(".hdr")));
    // On standard error it warns of a debug build.
    let out = text(&run(&["bench", "diff", folder, folder]).stdout);
    let same = format!("0 worse, 0 unclear, {} same, 0 better", figures.len());
    assert!(out.contains(&same), "{out}");
    let figure = figures.iter().find(|figure| figure["key"] == key).unwrap();
    figure["rounds"].as_array().unwrap().len()
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    for arguments in [
        &["frobnicate"][..],
        &["classify"],
        &["compare", "--backend", "tpu"],
        &["compare", "--batch", "0"],
        &["compare", "--batch", "1,x"],
        &["inspect", "m", "--u8-scale", "0"],
        &["inspect", "m", "--precision", "f64"],
        &["eval", "m", "--images", "x"],
        &["bench", "handoff", "--seconds", "0"],
        &["bench", "kernel", "--batch", "0"],
        &["bench", "handoff", "--quick", "--full"],
        &["bench", "nothing"],
        &["bench", "paper", "--quick", "--full"],
        &["bench", "paper", "--spin", "-1"],
        &["bench", "follow-up", "--seconds", "nan"],
        &["diff", "one"],
        &["eval", "m", "--images", "x", "--labels", "y", "--activation", "rely"],
        &["inspect", "m", "--final", "leaky_relu:a"],
    ] {
        assert!(error(2, arguments).contains("--help"));
    }
}

#[test]
fn failures_are_one_line_that_names_the_file_and_exit_code_1() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let refused = |bytes: &[u8], said: &str| {
        let file = files.write("rows", bytes);
        let line = error(1, &["classify", &model, &file, "--backend", "cpu"]);
        assert!(line.contains(&file) && line.contains(said), "{line}");
    };
    refused(&[], "no bytes");
    refused(&[1; 13], "multiple of 16 bytes");
    refused(&files::idx(&[3, 3, 2], &[0; 18]), "3x3x2");
    refused(&files::npy("<f4", "(2, 5)", &[0; 40]), "rows of 4 values");
    refused(&files::npy("<f4", "(0, 4)", &[]), "at least one row");
    error(1, &["inspect", "no such file\nat all"]);
    let inspect = ["inspect", &model, "--backend", "cpu", "--latency", "persistent"];
    assert!(error(1, &inspect).contains("only --backend cuda has one"));
    error(1, &["inspect", &files.write("empty", &[])]);
    error(1, &["inspect", &files.write("noise", &[7; 100])]);
    let line = error(1, &["classify", &model, &files.path("."), "--backend", "cpu"]);
    assert!(line.contains("directory"), "{line}");
    let png = files.png("p.png", 3, 2, &[0; 6]);
    let line = error(1, &["classify", &model, &png, "--backend", "cpu"]);
    assert!(line.contains("expected 2x2 pixels") && line.contains("got 3x2"), "{line}");
}

#[test]
fn hostile_files_are_refused_at_once() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let refused = |name: &str, bytes: &[u8]| {
        let file = files.write(name, bytes);
        error(1, &["classify", &model, &file, "--backend", "cpu"])
    };
    refused("idx lies about its count", &files::idx(&[u32::MAX, 2, 2], &PIXELS));
    refused("so in gzip", &files::gzip(&files::idx(&[u32::MAX, 2, 2], &PIXELS)));
    let mut bomb = files::idx(&[1, 2, 2], &[]);
    bomb.resize(256 << 20, 0);
    refused("bomb", &files::gzip(&bomb));
    refused("npy of 32 GiB", &files::npy("<f4", "(2147483648, 4)", &PIXELS));
    refused("npy past 64 bits", &files::npy("<f4", "(99999999999, 99999999999, 4)", &PIXELS));
    refused("deep npy", &files::npy("<f4", &"(".repeat(4000), &PIXELS));
    let mut png = std::fs::read(files.png("p.png", 2, 2, &PIXELS[..4])).unwrap();
    png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    refused("png of 2^62 pixels", &png);
    refused("half a jpeg", &[0xff, 0xd8, 0xff, 0xe0, 0, 16]);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let files = Files::new();
    let model = files.model("m.safetensors", &model());
    let rows = files.write("rows.u8", &[7; 400_000]);
    let mut child = command(&["classify", &model, &rows, "--input", "u8", "--backend", "cpu"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn the_papers_model_is_as_accurate_as_the_paper_says() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    if !Path::new(shared).is_dir() {
        println!("skipped: ../shared is missing");
        return;
    }
    let onnx = format!("{shared}/models/paper-fashion-mnist/onnx/ffnn.onnx");
    let images = format!("{shared}/data/fashion-mnist-1000/images-idx3-ubyte.gz");
    let labels = format!("{shared}/data/fashion-mnist-1000/labels-idx1-ubyte.gz");
    for input in ["f32", "u8"] {
        let arguments = ["eval", &onnx, "--images", &images, "--labels", &labels];
        let document = json(&[&arguments[..], &["--backend", "cpu", "--input", input]].concat());
        assert_eq!(document["accuracy"], 0.846, "{input}");
        assert_eq!(document["rows"], 1000);
    }
}
