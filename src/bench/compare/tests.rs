//! Whole comparisons in little time: who is asked when, what is found, what becomes of devices that
//! fail or lie.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use super::super::energy::{Meter, NoEnergy};
use super::super::record::{Drawing, Stroke};
use super::super::report::Crossover;
use super::super::tests::counter;
use super::super::tests::liar::{Liar, Lie, model};
use super::super::tests::paced::{Log, Paced};
use super::*;
use crate::InputType;
use crate::backend::fake::FakeDevice;
use crate::backend::{BackendKind, cpu};
use crate::plan::{Peak, Precision};

fn quick() -> CompareOptions {
    CompareOptions {
        batches: vec![1, 4],
        rows_checked: 10,
        cell_time: Duration::from_millis(2),
        ..CompareOptions::default()
    }
}

fn run(candidates: &[Candidate], options: &CompareOptions) -> Comparison {
    compare(&model(), candidates, options, &mut |_| {}).unwrap()
}

fn of(devices: impl IntoIterator<Item = Paced>) -> Vec<Candidate> {
    devices.into_iter().map(|device| Candidate::device(Arc::new(device))).collect()
}

#[test]
fn every_device_is_checked_and_measured_at_every_batch_size() {
    let candidates = [Candidate::device(cpu::open())];
    let mut steps = Vec::new();
    let mut seen = |progress: Progress<'_>| {
        assert!(progress.doing.starts_with("cpu "), "{}", progress.doing);
        steps.push((progress.done, progress.of));
    };
    let comparison = compare(&model(), &candidates, &quick(), &mut seen).unwrap();
    let report = &comparison.report;
    assert!(report.is_sound());
    steps.dedup();
    assert_eq!(steps, [(0, 2), (1, 2)]);
    assert_eq!(report.batches(), [1, 4]);
    assert_eq!(report.fastest(4).unwrap().backend, "cpu");
    assert_eq!(report.devices[0].agreement.unwrap().rows, 10);
    // With nothing beside it, there are no ratios, and nothing that could cross.
    assert_eq!((report.ratios.len(), report.crossovers.len()), (0, 0));
    assert_eq!(comparison.in_short(), ["cpu is the only device that was measured."]);
    let titles: Vec<_> = comparison.record.sections.iter().map(|it| it.title.as_str()).collect();
    assert_eq!(titles, ["In short", "Answers", "Times over batch sizes", "Roofline", "Energy"]);
    let twice = CompareOptions { batches: vec![4, 1, 4], ..quick() };
    let order: Vec<_> = run(&candidates, &twice).report.results.iter().map(|c| c.batch).collect();
    assert_eq!(order, [4, 1]);
}

#[test]
fn devices_take_turns_and_each_round_begins_with_another() {
    let log = Log::default();
    let kinds = [BackendKind::Cpu, BackendKind::Wgpu, BackendKind::Cuda];
    let devices = kinds.into_iter().zip(["a", "b", "c"]);
    let candidates = of(devices.map(|(kind, name)| Paced::new(kind, name, &log)));
    let options = CompareOptions {
        // More rows than are checked, by which measured batches are told from checks.
        batches: vec![20, 30],
        cell_time: Duration::from_millis(120),
        rounds: 4,
        ..quick()
    };
    let report = run(&candidates, &options).report;
    assert!(report.results.iter().all(|cell| cell.rounds == 4), "{:?}", report.results);
    let log = log.lock().unwrap();
    for batch in [20, 30] {
        let mine = log.iter().filter(|(_, rows)| *rows == batch);
        let mut order: Vec<_> = mine.map(|(name, _)| *name).collect();
        order.dedup();
        assert_eq!(order.concat(), "abcbcacababc");
        // At each of its turns, a device runs a batch that is not counted, at least.
        for cell in report.results.iter().filter(|cell| cell.batch == batch) {
            let ran = log.iter().filter(|entry| **entry == (&*cell.device, batch)).count();
            assert!(ran as u64 >= cell.measurement.batches + 4, "{cell:?}");
        }
    }
    let sizes: Vec<_> = log.iter().map(|(_, rows)| *rows).collect();
    let last = sizes.iter().rposition(|rows| *rows == 20);
    let first = sizes.iter().position(|rows| *rows == 30);
    assert!(last < first, "a batch size is done before the next begins");
    // Every device is checked when it is loaded, and before and after each batch size.
    for name in ["a", "b", "c"] {
        assert_eq!(log.iter().filter(|entry| **entry == (name, 10)).count(), 5, "{name}");
    }
}

#[test]
fn lines_cross_where_the_formula_says() {
    let log = Log::default();
    let (none, each, row) = (Duration::ZERO, Duration::from_millis(4), Duration::from_micros(500));
    let candidates = of([
        Paced::new(BackendKind::Cpu, "by rows", &log).lasting(none, row),
        Paced::new(BackendKind::Wgpu, "level", &log).lasting(each, none),
    ]);
    let options =
        CompareOptions { batches: vec![2, 32], cell_time: Duration::from_millis(100), ..quick() };
    let comparison = run(&candidates, &options);
    let report = &comparison.report;
    let [found] = &report.crossovers[..] else { panic!("{:?}", report.crossovers) };
    let Crossover { rows, faster, slower, between, .. } = found;
    assert_eq!((&**faster, &**slower, *between), ("wgpu", "cpu", (2, 32)));
    // Where straight lines through the medians meet, by Cramer's rule.
    let us = |key: &str, batch: usize| {
        let mine = |cell: &&Cell| cell.key == key && cell.batch == batch;
        report.results.iter().find(mine).unwrap().measurement.p50_us.ln()
    };
    let (x1, x2) = (2_f64.ln(), 32_f64.ln());
    let slope = |key| (us(key, 32) - us(key, 2)) / (x2 - x1);
    let met = x1 + (us("cpu", 2) - us("wgpu", 2)) / (slope("wgpu") - slope("cpu"));
    assert!((rows.ln() - met).abs() < 1e-9, "{rows} and {}", met.exp());
    // In truth they meet at 8; sleeps are late, but not by much.
    assert!((4.0..16.0).contains(rows), "{rows}");
    for ratio in &report.ratios {
        assert_eq!((&*ratio.of, &*ratio.to), ("wgpu", "cpu"));
        let (low, high) = ratio.interval.unwrap();
        assert!(low <= ratio.ratio && ratio.ratio <= high, "{ratio:?}");
        assert!(if ratio.batch == 2 { high < 1.0 } else { low > 1.0 }, "{ratio:?}");
    }
    assert!(found.clear);
    let said = comparison.in_short().join(" ");
    assert!(said.ends_with("rows on, wgpu is faster than cpu."), "{said}");
    assert!(!said.contains("every batch size"), "{said}");
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["crossovers"][0]["between"], serde_json::json!([2, 32]));
    assert_eq!(json["ratios"][1]["batch"], 32);
}

#[test]
fn a_device_that_fails_is_reported_and_the_others_go_on() {
    let fake = FakeDevice::new(*cpu::open().limits());
    fake.run_out_of_memory_after(0);
    let candidates = [Candidate::device(Arc::new(fake)), Candidate::device(cpu::open())];
    let report = run(&candidates, &quick()).report;
    assert!(!report.is_sound());
    assert_eq!(report.devices[0].state, State::Failed);
    assert_eq!(report.devices[1].state, State::Found);
    assert_eq!(report.results.len(), 2);
}

#[test]
fn a_device_that_fails_midway_keeps_what_was_measured_before() {
    let log = Log::default();
    // Two checks, a warm-up of one or two batches, five rounds, a check: nine or ten. The second
    // batch size fails in its rounds, whichever it was.
    let slow = Duration::from_millis(5);
    let failing =
        Paced::new(BackendKind::Wgpu, "wgpu", &log).lasting(slow, Duration::ZERO).failing_after(12);
    let sound = Paced::new(BackendKind::Cpu, "cpu", &log);
    let options = CompareOptions { cell_time: Duration::from_millis(20), ..quick() };
    let comparison = run(&of([failing, sound]), &options);
    let report = &comparison.report;
    assert_eq!(report.devices[0].state, State::Failed);
    assert_eq!(report.devices[1].state, State::Found);
    let cells: Vec<_> = report.results.iter().map(|cell| (&*cell.key, cell.batch)).collect();
    assert_eq!(cells, [("wgpu", 1), ("cpu", 1), ("cpu", 4)]);
    assert!(report.devices[0].agreement.is_some() && !report.is_sound());
    let said = &comparison.record.sections[0].text;
    assert!(
        said[0].starts_with("wgpu failed: ") && said[0].contains("as the test wants"),
        "{said:?}"
    );
    assert!(comparison.record.environment.devices[0].failed);
}

#[test]
fn wrong_scores_are_found() {
    let right = model();
    let wrong = right.clone().with_u8_scale(0.9 / 255.0).unwrap();
    let plan = PlanOptions { input: InputType::U8, ..PlanOptions::default() };
    let options = CompareOptions { plan, ..quick() };
    let mut workload = Workload::new(&right, &options).unwrap();
    workload.model = &wrong;
    let (subjects, _) = subjects::prepare(&workload, &[Candidate::device(cpu::open())], &plan);
    assert!(!subjects[0].agreement.agrees);
    let pace = Pace::of(&options, 1);
    let taken = turns::take(&subjects, &workload, (4, &pace), &mut |_, _| {});
    assert!(!taken[0].1.as_ref().unwrap().agreement.agrees);
}

#[test]
fn a_device_that_lies_once_its_clock_runs_is_found() {
    // Two checks are right, and so is the first batch of the warm-up.
    let liar = Liar::device(cpu::open(), Lie::Off, 3);
    let candidates = [Candidate::device(cpu::open()), Candidate::device(liar)];
    let options = CompareOptions { batches: vec![4, 1], ..quick() };
    let comparison = run(&candidates, &options);
    let report = &comparison.report;
    assert!(!report.is_sound() && !report.devices[1].agreement.unwrap().agrees);
    let right = |key: &str| -> Vec<bool> {
        report.results.iter().filter(|cell| cell.key == key).map(|cell| cell.agrees).collect()
    };
    assert_eq!((right("cpu"), right("cpu-2")), (vec![true; 2], vec![false; 2]));
    // It is no competitor, however fast.
    assert!(report.batches().iter().all(|batch| report.fastest(*batch).unwrap().key == "cpu"));
    assert!(report.ratios.is_empty() && report.crossovers.is_empty());
    let said = &comparison.record.sections[0].text[0];
    assert!(said.contains("does NOT agree"), "{said}");
}

#[test]
fn options_that_make_no_sense_are_refused_or_bounded() {
    for batch in [0, usize::MAX] {
        let options = CompareOptions { batches: vec![batch], ..quick() };
        assert!(compare(&model(), &[], &options, &mut |_| {}).is_err());
    }
    for rounds in [0, usize::MAX] {
        let pace = Pace::of(&CompareOptions { rounds, ..quick() }, 1);
        assert!((1..=1000).contains(&pace.rounds), "{pace:?}");
    }
    let nothing = run(&[], &quick());
    assert!(nothing.report.is_sound() && nothing.in_short().is_empty());
    assert_eq!(nothing.record.sections[0].text, ["Nothing was measured."]);
}

#[test]
fn slow_batches_have_fewer_rounds_and_end() {
    let log = Log::default();
    let slow = Paced::new(BackendKind::Cpu, "slow", &log);
    let slow = slow.lasting(Duration::from_millis(20), Duration::ZERO);
    let options =
        CompareOptions { batches: vec![20], cell_time: Duration::from_millis(10), ..quick() };
    let report = run(&of([slow]), &options).report;
    // Past three times the cell's time, which two batches take, nothing more is measured.
    assert!(report.results[0].rounds <= 2, "{:?}", report.results);
    assert_eq!(report.results[0].measurement.batches, report.results[0].rounds as u64);
    // It is warmed up once, and not by as much again at each of its turns.
    let ran = log.lock().unwrap().iter().filter(|(_, rows)| *rows == 20).count();
    assert_eq!(ran, report.results[0].rounds + 1);
}

#[test]
fn a_roof_stands_where_the_ceilings_are() {
    let log = Log::default();
    let peak = Peak { flops_per_s: Some(1e9), bytes_per_s: 2e9, link: None };
    let [low, high] = [BackendKind::Wgpu, BackendKind::Cuda].map(|kind| {
        Paced::new(kind, kind.name(), &log).lasting(Duration::from_micros(300), Duration::ZERO)
    });
    let comparison = run(&of([low.below(peak), high]), &quick());
    let report = &comparison.report;
    let parameters = f64::from(4 * (16 * 8 + 8 + 8 * 3 + 3));
    for cell in report.results.iter().filter(|cell| cell.key == "wgpu") {
        let (point, rows) = (cell.roofline.unwrap(), cell.batch as f64);
        let seconds = cell.measurement.p50_us / 1e6;
        let near = |got: f64, expected: f64| (got / expected - 1.0).abs() < 1e-9;
        let flops = f64::from(2 * (16 * 8 + 8 * 3)) * rows;
        assert!(near(point.flops_per_s, flops / seconds), "{point:?}");
        let bytes = point.bytes_per_s * seconds;
        // Panels are padded, so that there may be more parameters than weights.
        assert!(bytes >= parameters + rows * (16.0 + 3.0) * 4.0, "{bytes}");
        assert!(near(point.flops_per_byte, flops / bytes), "{point:?}");
        let least = f64::max(flops / 1e9, bytes / 2e9);
        assert!(near(point.roof_share, least / seconds) && point.roof_share < 1.0, "{point:?}");
    }
    assert!(report.results.iter().all(|cell| cell.roofline.is_some() == (cell.key == "wgpu")));
    let mut sections = comparison.record.sections.iter();
    let roofline = sections.find(|section| section.title == "Roofline").unwrap();
    assert_eq!(roofline.charts.len(), 1);
    assert!(roofline.text.last().unwrap().ends_with("not known of cuda."), "{:?}", roofline.text);
    let Drawing::Curves { curves, .. } = &roofline.charts[0].drawing else { panic!() };
    let strokes: Vec<_> = curves.iter().map(|curve| curve.stroke).collect();
    assert_eq!(strokes, [Stroke::Reference, Stroke::Points, Stroke::Points]);
    let [left, ridge, right] = curves[0].points[..] else { panic!("{:?}", curves[0]) };
    assert_eq!((ridge.x, ridge.y, right.y), (0.5, 1.0, 1.0));
    assert!((left.y / left.x - 2.0).abs() < 1e-9 && left.x < ridge.x && right.x > ridge.x);
    for point in curves[1..].iter().map(|curve| curve.points[0]) {
        assert!((left.x..=right.x).contains(&point.x) && point.y < 1.0, "{point:?}");
    }
}

#[test]
fn a_record_has_every_figure_and_its_rounds() {
    let log: Log = Arc::new(Mutex::new(Vec::new()));
    let others = of([
        Paced::new(BackendKind::Wgpu, "one", &log),
        Paced::new(BackendKind::Wgpu, "other", &log),
    ]);
    let candidates: Vec<_> =
        std::iter::once(Candidate::device(cpu::open())).chain(others).collect();
    let options = CompareOptions { cell_time: Duration::from_millis(120), ..quick() };
    let record = run(&candidates, &options).record;
    assert_eq!(record.experiment, "compare");
    let mut expected = Vec::new();
    for key in ["cpu", "wgpu", "wgpu-2"] {
        for batch in [1, 4] {
            let figure = |what: &str| format!("compare.{key}.batch={batch}.{what}");
            expected.extend(["p50_us", "p99_us", "rows_per_s"].map(figure));
        }
    }
    // On some machines there is energy, too.
    let timed = record.figures.iter().filter(|figure| !figure.key.ends_with("row_uj"));
    assert_eq!(
        timed.map(|figure| &figure.key).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    assert!(record.figures.iter().all(|figure| figure.rounds.len() == 5));
    assert_eq!(record.histograms.len(), 6);
    assert!(record.histograms.iter().all(|times| times.times.count() >= 5));
    let diff = record.diff(&record, 1.0, true).unwrap();
    assert!(!diff.is_worse() && diff.figures.len() >= expected.len());
    let titles: Vec<_> = record.sections.iter().map(|section| section.title.as_str()).collect();
    let all = ["In short", "Answers", "Times over batch sizes", "Beside cpu", "Roofline", "Energy"];
    assert_eq!(titles, all);
    for section in &record.sections {
        assert!(!section.text.is_empty(), "{}", section.title);
        // What is drawn is told in numbers, too.
        assert!(section.charts.is_empty() || !section.tables.is_empty(), "{}", section.title);
        for table in &section.tables {
            let whole = |row: &Vec<String>| row.len() == table.columns.len();
            assert!(!table.rows.is_empty() && table.rows.iter().all(whole), "{}", section.title);
        }
    }
    let Drawing::Ratios { ratios, .. } = &record.sections[3].charts[0].drawing else { panic!() };
    let names: Vec<_> = ratios.iter().map(|ratio| &*ratio.name).collect();
    assert_eq!(names, ["wgpu, batch 1", "wgpu, batch 4", "wgpu-2, batch 1", "wgpu-2, batch 4"]);
    assert!(ratios.iter().all(|ratio| ratio.interval.is_some()));
}

fn card() -> Candidate {
    let limits = *cpu::open().limits();
    Candidate::device(Arc::new(FakeDevice::named(BackendKind::Wgpu, "a card", limits)))
}

fn at(precision: Precision, candidates: &[Candidate]) -> Report {
    let plan = PlanOptions { precision, ..PlanOptions::default() };
    run(candidates, &CompareOptions { plan, ..quick() }).report
}

#[test]
fn who_has_no_kernels_for_a_precision_is_left_out_of_it() {
    let both = [card(), Candidate::device(cpu::open())];
    let report = at(Precision::Int8, &both);
    let states: Vec<_> = report.devices.iter().map(|it| (it.backend, it.state)).collect();
    assert_eq!(states, [("wgpu", State::LeftOut), ("cpu", State::Found)]);
    let reason = report.devices[0].reason.as_deref().unwrap();
    assert!(reason.contains("a card") && reason.contains("int8"), "{reason}");
    assert_eq!(report.results.len(), 2);
    assert!(report.results.iter().all(|cell| cell.backend == "cpu"), "{:?}", report.results);
    let report = at(Precision::Bf16, &both);
    assert!(report.devices.iter().all(|it| it.state == State::Found), "{:?}", report.devices);
    assert_eq!(report.results.len(), 4);
    // Where it is the only device there is nothing to be left out of.
    let report = at(Precision::Int8, &[card()]);
    assert_eq!((report.devices[0].state, report.results.len()), (State::Failed, 0));
}

#[test]
fn rounds_tell_their_energy_where_it_can_be_read() {
    let model = model();
    let options = CompareOptions { cell_time: Duration::from_millis(100), ..quick() };
    let workload = Workload::new(&model, &options).unwrap();
    let candidates = [Candidate::device(cpu::open())];
    let (mut subjects, _) = subjects::prepare(&workload, &candidates, &options.plan);
    let pace = Pace::of(&options, 1);
    let mut take = |meter: Result<Meter, NoEnergy>| {
        subjects[0].meter = meter.map(RefCell::new);
        let mut taken = turns::take(&subjects, &workload, (4, &pace), &mut |_, _| {});
        (taken.remove(0).1.unwrap(), subjects[0].no_energy(pace.round_time()))
    };
    let (taken, reason) = counter::moving(|folder| take(Meter::of_packages(folder)));
    assert_eq!((taken.rounds.len(), reason), (5, None));
    for (round, measured) in taken.rounds.iter().zip(taken.by_round()) {
        let energy = round.energy.unwrap();
        let power_w = energy.row_j * measured.rows_per_s;
        assert!(energy.row_j > 0.0 && (power_w / energy.power_w - 1.0).abs() < 1e-6, "{energy:?}");
    }
    let rows: Vec<f64> = taken.rounds.iter().map(|round| round.energy.unwrap().row_j).collect();
    let median = taken.energy().unwrap().row_j;
    assert_eq!(rows.iter().filter(|row| **row < median).count(), 2, "{rows:?}");
    let (taken, reason) = take(Meter::of_packages("no such folder".as_ref()));
    assert!(taken.energy().is_none() && reason.unwrap().contains("no such folder"));
}
