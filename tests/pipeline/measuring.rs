//! What a pipeline counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fusewire::backend::fake::Fault;
use fusewire::pipeline::Metrics;
use fusewire::{PipelineConfig, SubmitOptions};

use crate::common::Random;
use crate::support::*;

#[track_caller]
fn is_filled(metrics: &Metrics, computes_in_call: bool) {
    let rows = [&metrics.queue_ns, &metrics.total_ns];
    assert!(rows.iter().all(|it| it.count() == metrics.completed && it.max() > 0));
    let batches = [&metrics.compute_ns, &metrics.output_ns, &metrics.batch_rows];
    assert!(batches.iter().all(|it| it.count() == metrics.batches && it.sum() > 0));
    // A device that computes while it is handed rows has no time of its own for handing them over.
    assert_eq!(metrics.input_ns.count(), metrics.batches);
    assert!(metrics.input_ns.sum() > 0 || computes_in_call);
    assert!(metrics.total_ns.sum() >= metrics.queue_ns.sum());
    assert!(metrics.batch_rows.min() >= 1 && metrics.batch_rows.sum() >= metrics.completed);
    let shares: u64 = metrics.backends.iter().map(|it| it.rows).sum();
    assert_eq!(shares, metrics.completed);
}

#[test]
fn every_batch_and_every_row_is_in_the_histograms() {
    for (device, _) in kinds() {
        let pipeline = start(&*device, small());
        for id in 0..100 {
            drop(pipeline.submit_many(&rows(id..id + 10)).unwrap().wait().unwrap());
        }
        let metrics = settled(&pipeline);
        assert_eq!((metrics.completed, metrics.admitted), (1000, 1000));
        assert_eq!(metrics.batch_rows.sum(), 1000);
        assert_eq!(metrics.queue_depth, 0);
        assert_eq!(metrics.backends[0].name, device.info().name);
        is_filled(&metrics, device.computes_in_call());
        let json = serde_json::to_value(&metrics).unwrap();
        assert_eq!(json["completed"], 1000);
        assert!(metrics.to_string().starts_with("rows      1000 admitted"), "{metrics}");
    }
}

/// One of many callers, some of whom are in a hurry, and some of whom forget about it.
fn misbehave(pipeline: &fusewire::Pipeline, seed: u64) {
    let mut random = Random(seed);
    for id in 0..1500 {
        let deadline = Instant::now() + Duration::from_micros(1 + random.below(2000) as u64);
        let options = match random.below(4) {
            0 => SubmitOptions::bulk(),
            1 => SubmitOptions::deadline(deadline),
            _ => SubmitOptions::default(),
        };
        let taken = match random.below(4) {
            0 => pipeline.submit_many_with(&rows(id..id + 12), &options),
            1 => pipeline.reserve_with::<f32>(&options).and_then(|mut guard| {
                guard.copy_from_slice(&row(id));
                guard.commit()
            }),
            2 => pipeline.submit_blocking(&row(id), &options),
            _ => pipeline.submit_with(&row(id), &options),
        };
        let Ok(ticket) = taken else { continue };
        let answer = match random.below(6) {
            0 => continue,
            1 => ticket.wait_timeout(Duration::from_micros(50)).ok(),
            _ => Some(ticket.wait()),
        };
        if let Some(Ok(reply)) = answer {
            check(&reply, id..id + reply.len());
        }
    }
}

#[test]
fn rows_are_conserved_whatever_becomes_of_them() {
    let sound = fake("sound");
    let config = PipelineConfig { capacity: 32, bulk_capacity: 16, ..impatient() };
    let pipeline = start(&sound, config);
    let frail = fake("frail");
    pipeline.attach(load(&frail)).unwrap();
    frail.script((0..100).map(|_| Fault::None).chain([Fault::Hang]));
    thread::scope(|scope| {
        for seed in 0..3 {
            let pipeline = pipeline.clone();
            scope.spawn(move || misbehave(&pipeline, seed));
        }
    });
    let metrics = settled(&pipeline);
    assert!(metrics.completed > 0 && metrics.cancelled > 0);
    assert_eq!((metrics.failed, metrics.shut_down), (0, 0));
    is_filled(&metrics, false);

    // The last device fails, and another comes, and the end turns what is left away.
    sound.script([Fault::Lose]);
    frail.script([Fault::Lose]);
    let (mut taken, mut failed) = (0, 0);
    while let Ok(ticket) = pipeline.submit(&row(taken)) {
        taken += 1;
        failed += u64::from(ticket.wait().is_err());
    }
    assert!(failed > 0 && pipeline.devices().is_empty());
    let last = fake("last");
    pipeline.attach(load(&last)).unwrap();
    last.script([Fault::Hang; 2]);
    let turned_away = pipeline.submit_many(&rows(0..30)).unwrap();
    let other = pipeline.clone();
    let report = pipeline.shutdown(Duration::from_millis(20));
    assert!(turned_away.wait().is_err());
    let end = settled(&other);
    assert_eq!((end.failed, end.shut_down), (failed, 30));
    assert_eq!((report.drained, report.turned_away), (false, 30));
    assert_eq!(end.admitted - metrics.admitted, taken as u64 + 30);
    is_filled(&end, false);
}

/// Handles come and go while others read the counts.
#[test]
fn counts_never_go_down() {
    let pipeline = start(&null(), small());
    let at_work = AtomicUsize::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for id in 0..20_000 {
                    let handle = pipeline.clone();
                    // Its ticket may be the last to hold the handle's part.
                    let ticket = handle.submit(&row(id)).unwrap();
                    drop(handle);
                    drop(ticket.wait().unwrap());
                }
                at_work.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut before = Metrics::default();
        while at_work.load(Ordering::Relaxed) > 0 {
            let now = pipeline.metrics();
            assert!(now.admitted >= before.admitted, "{} after {}", now.admitted, before.admitted);
            assert!(now.completed >= before.completed);
            assert!(now.answered() <= now.admitted, "{now}");
            before = now;
        }
    });
    assert_eq!(settled(&pipeline).admitted, 40_000);
}

/// A further handle costs the same beside many others, within a wide margin.
#[test]
fn a_handle_costs_the_same_however_many_there_are() {
    let pipeline = start(&null(), small());
    let cost = || {
        let took = (0..5).map(|_| {
            let begin = Instant::now();
            (0..1_000).for_each(|_| drop(pipeline.clone()));
            begin.elapsed()
        });
        // Five times were measured.
        took.min().unwrap()
    };
    let alone = cost();
    let others: Vec<_> = (0..50_000).map(|_| pipeline.clone()).collect();
    let among_many = cost();
    assert!(among_many < alone * 50, "{among_many:?} beside many, {alone:?} alone");
    drop(others);
}
