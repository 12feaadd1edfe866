//! Whole runs in little time, and bursts that a device of known speed feels.

use super::super::record::Drawing;
use super::super::tests::liar::{Liar, Lie, model};
use super::*;
use crate::backend::cpu;

fn tiny() -> FollowUpOptions {
    let quick = FollowUpOptions::quick(1).with_run_time(Duration::from_millis(15));
    FollowUpOptions {
        lab: LabOptions { runs: 2, probe_time: Duration::from_millis(50), ..quick.lab },
        rates: vec![512.0, 4096.0],
        batches: vec![1, 32],
        replicas: vec![2, 32],
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
    assert_eq!(record.experiment, "follow-up");
    let rounds = |key: &str| {
        let figure = record.figures.iter().find(|figure| figure.key == key);
        figure.unwrap_or_else(|| panic!("no {key}")).rounds.clone()
    };
    for key in [
        "rates.cpu.rate=512.batch=1.answered_per_s",
        "rates.cpu.rate=4096.batch=32.from_call.p99_us",
        "scalability.cpu.replicas=32.from_generation.p50_us",
        "bursts.cpu.burst.from_generation.p99_us",
        "bursts.cpu.recovery_s",
    ] {
        assert_eq!(rounds(key).len(), 2, "{key}");
    }
    // Rows a second, not requests: 16,384 where all of them were answered in time.
    let of_many = rounds("rates.cpu.rate=512.batch=32.answered_per_s");
    assert!(of_many.iter().all(|rate| (1_024.0..20_000.0).contains(rate)), "{of_many:?}");
    let titles: Vec<&str> = record.sections.iter().map(|section| section.title.as_str()).collect();
    assert_eq!(titles, ["In short", "Rates and batches", "Replicas", "Bursts"]);
    for section in &record.sections[1..] {
        let [table] = &section.tables[..] else { panic!("{}", section.title) };
        assert!(!table.rows.is_empty() && !section.charts.is_empty());
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }
    let Drawing::Curves { curves, .. } = &record.sections[3].charts[0].drawing else { panic!() };
    assert_eq!(curves.len(), 2);
    assert!(curves[0].points.is_sorted_by(|a, b| a.x < b.x));
}

#[test]
fn a_wrong_row_of_a_request_ends_the_run() {
    let liar = Liar::device(cpu::open(), Lie::Off, 60);
    let outcome = run(&model(), &[Candidate::device(liar)], &tiny(), &mut |_| {});
    assert!(matches!(outcome, Err(BenchError::WrongAnswer { .. })), "{outcome:?}");
}

#[test]
fn times_keep_their_proportions() {
    let full = FollowUpOptions::full();
    // The first quarter is dropped.
    assert_eq!(full.lab.warm_up * 3, full.lab.run_time);
    let half = full.clone().with_run_time(full.lab.run_time / 2);
    assert_eq!(
        (half.bursts.base, half.lab.probe_time),
        (full.bursts.base / 2, full.lab.probe_time / 2)
    );
    assert_eq!(FollowUpOptions::quick(1).lab.run_time, Duration::from_millis(300));
}
