//! Whole runs in little time, and what becomes of them on devices that lie or fail.

use std::sync::Arc;

use super::super::lab::VERDICTS;
use super::super::record::{Drawing, FORMAT, thousands};
use super::super::tests::liar::{Liar, Lie, model};
use super::*;
use crate::backend::cpu;
use crate::backend::fake::FakeDevice;

fn tiny() -> PaperOptions {
    let quick = PaperOptions::quick(1).with_run_time(Duration::from_millis(20));
    PaperOptions {
        lab: LabOptions { runs: 2, ..quick.lab },
        rates: vec![100.0, 1e4],
        batches: vec![1, 20],
        parallelism: vec![1, 3],
        ..quick
    }
}

#[test]
fn a_run_has_every_figure_and_its_rounds() {
    let mut steps = Vec::new();
    let mut seen = |progress: Progress<'_>| steps.push((progress.done, progress.of));
    let candidates = [Candidate::device(cpu::open())];
    let record = run(&model(), &candidates, &tiny(), &mut seen).unwrap();
    assert_eq!(steps, (0..8).map(|done| (done, 8)).collect::<Vec<_>>());
    assert_eq!((record.format, record.experiment.as_str()), (FORMAT, "paper"));
    let rounds = |key: &str| {
        let figure = record.figures.iter().find(|figure| figure.key == key);
        figure.unwrap_or_else(|| panic!("no {key}")).rounds.len()
    };
    for key in [
        "throughput.cpu.rate=100.answered_per_s",
        "throughput.cpu.rate=10000.from_generation.p99_us",
        "latency.cpu.pipeline.batch=20.from_call.p50_us",
        "latency.cpu.caller_busy.batch=1.from_generation.p99_us",
        "scalability.cpu.parallelism=3.answered_per_s",
    ] {
        assert_eq!(rounds(key), 2, "{key}");
    }
    assert_eq!(rounds("limit.cpu.sustained_per_s"), 1);
    let mut keys: Vec<&str> = record.figures.iter().map(|figure| figure.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), record.figures.len(), "a key is one figure's");
    assert!(record.histograms.iter().all(|times| !times.times.histogram().is_empty()));
    check_sections(&record);
    check_verdicts(&record);
}

/// The line of the rate that is said to be sustained says so, too.
fn check_verdicts(record: &Record) {
    let sustained =
        record.figures.iter().find(|figure| figure.key == "limit.cpu.sustained_per_s").unwrap();
    let rate = thousands(sustained.rounds[0] as u64);
    let section = record.sections.iter().find(|of| of.title == "The highest rates").unwrap();
    let mut lines = section.tables[0].rows.iter().filter(|line| line[1] == rate);
    let passed = |line: &Vec<String>| {
        let (passed, tries) = line.last().unwrap().split_once(" of ").unwrap();
        let (passed, tries): (usize, usize) = (passed.parse().unwrap(), tries.parse().unwrap());
        assert!(passed <= tries);
        passed
    };
    assert!(lines.any(|line| passed(line) >= VERDICTS), "{:?}", section.tables[0].rows);
}

/// Every table has lines as long as its head, every curve points with numbers.
fn check_sections(record: &Record) {
    assert_eq!(record.sections.len(), 7);
    for section in &record.sections {
        assert!(!section.title.is_empty() && !section.text.is_empty());
        for table in &section.tables {
            assert!(!table.rows.is_empty(), "{}", section.title);
            let whole = |row: &Vec<String>| row.len() == table.columns.len();
            assert!(table.rows.iter().all(whole), "{}", section.title);
        }
        for chart in &section.charts {
            if let Drawing::Curves { curves, .. } = &chart.drawing {
                let points = curves.iter().flat_map(|curve| &curve.points);
                assert!(points.clone().count() > 0, "{}", chart.title);
                assert!(points.clone().all(|point| point.x > 0.0 && point.y.is_finite()));
            }
        }
    }
}

#[test]
fn a_device_that_fails_is_reported_and_the_others_go_on() {
    let fake = FakeDevice::new(*cpu::open().limits());
    fake.run_out_of_memory_after(0);
    let failing = Candidate::device(Arc::new(fake));
    let candidates = [failing.clone(), Candidate::device(cpu::open())];
    let options = PaperOptions { rates: vec![1e3], batches: vec![1], ..tiny() };
    let record = run(&model(), &candidates, &options, &mut |_| {}).unwrap();
    let devices = &record.environment.devices;
    assert!(devices[0].failed && !devices[0].took_part && devices[1].took_part, "{devices:?}");
    let alone = run(&model(), &[failing], &options, &mut |_| {});
    assert!(matches!(alone, Err(BenchError::NoDevice { .. })), "{alone:?}");
}

#[test]
fn a_wrong_answer_ends_the_run() {
    // It answers the rows that are checked before anything is timed, and some more.
    let liar = Liar::device(cpu::open(), Lie::Off, 60);
    let outcome = run(&model(), &[Candidate::device(liar)], &tiny(), &mut |_| {});
    assert!(matches!(outcome, Err(BenchError::WrongAnswer { .. })), "{outcome:?}");
}

#[test]
fn results_stay_where_they_are_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.bin");
    let mut options = PaperOptions { rates: vec![1e3], ..tiny() };
    options.lab.results = Some(path.clone());
    run(&model(), &[Candidate::device(cpu::open())], &options, &mut |_| {}).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() >= 16);
    let nowhere = directory.path().join("no").join("results.bin");
    options.lab.results = Some(nowhere);
    let outcome = run(&model(), &[Candidate::device(cpu::open())], &options, &mut |_| {});
    assert!(matches!(outcome, Err(BenchError::Sink { .. })), "{outcome:?}");
}

#[test]
fn shorter_runs_have_shorter_searches() {
    let quick = PaperOptions::quick(1);
    let halved = quick.clone().with_run_time(quick.lab.run_time / 2).lab;
    let (warm_up, probe_time) = (quick.lab.warm_up / 2, quick.lab.probe_time / 2);
    assert_eq!((halved.warm_up, halved.probe_time), (warm_up, probe_time));
    assert_eq!(PaperOptions::quick(4).lab.run_time, quick.lab.run_time / 4);
}
