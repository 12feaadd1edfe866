//! The paper's headline figures beside those found here.

use super::super::record::{Column, Section, Table, thousands};
use super::limits::Limit;

/// What the paper reports as the highest throughput of the models it serves, with the parallelism
/// it took; requests of one row a second.
const PAPER: [(&str, &str, u64); 5] = [
    ("ONNX Runtime, embedded", "8", 27_000),
    ("SavedModel, embedded", "8", 27_000),
    ("TensorFlow Serving, external", "as reported", 8_100),
    ("ND4J, embedded", "as reported", 2_700),
    ("TorchServe, external", "as reported", 2_200),
];

const DIFFERS: &str = "What differs: the paper ran each model within an operator of a distributed \
    stream processor on the Java virtual machine, fed by another machine's generator, on other \
    processors; its embedded runs call the model with one image at a time, and its harness sends \
    half of the rate that is configured. Here source, operator and sink are threads of one \
    process, and rows that wait are scored together. So a ratio of these figures says what a user \
    of either gets, and not what one kernel is worth beside another: peers side by side, on one \
    machine and in one run, are another experiment.";

/// The table of both.
pub(super) fn section(limits: &[Limit]) -> Section {
    let columns = ["system", "parallelism"].map(Column::words);
    let columns = columns.into_iter().chain([Column::numbers("highest, rows/s")]).collect();
    let paper = PAPER.iter().map(|(system, parallelism, rate)| {
        vec![format!("paper: {system}"), (*parallelism).to_owned(), thousands(*rate)]
    });
    let here = limits.iter().filter_map(|limit| {
        let rate = thousands(limit.sustained? as u64);
        Some(vec![format!("here: {}, embedded", limit.name), String::from("1"), rate])
    });
    Section {
        title: String::from("Beside the paper's headline figures"),
        text: vec![DIFFERS.to_owned()],
        charts: Vec::new(),
        tables: vec![Table { columns, rows: paper.chain(here).collect() }],
    }
}
