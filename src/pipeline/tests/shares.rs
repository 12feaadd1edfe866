//! Which rows go first, and that the others do not wait for ever.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::config::SubmitOptions;
use super::super::policy::BULK_ONE_IN;
use super::super::worker::Step;
use super::*;

/// Batches under a full load of interactive rows until one bulk row is answered.
fn batches_until_bulk(max_rows: usize, rows: usize) -> usize {
    let (capacity, bulk_capacity) = (4 * max_rows, rows);
    let config =
        PipelineConfig { capacity, bulk_capacity, max_rows, depth: 1, ..PipelineConfig::default() };
    let mut bench = Bench::new(&fake(BackendKind::Cpu, "fake"), 100.0, config);
    let values = [2.0, 1.0].repeat(rows);
    let bulk = bench.pipeline.submit_many_with(&values, &SubmitOptions::bulk()).unwrap();
    for batch in 0..10_000 {
        if bulk.is_ready() {
            assert_eq!(bulk.wait().unwrap().len(), rows);
            return batch;
        }
        // Their callers are gone at once; that they ran is seen from the counts.
        let mut load = Vec::new();
        while let Ok(ticket) = bench.pipeline.submit(&[1.0, 1.0]) {
            load.push(ticket);
        }
        let before = bench.pipeline.metrics().batches;
        while bench.pipeline.metrics().batches == before {
            bench.workers[0].step();
        }
    }
    panic!("bulk rows starve");
}

#[test]
fn bulk_rows_are_answered_under_a_full_interactive_load() {
    for max_rows in [1, 3, 16, 32] {
        let batches = batches_until_bulk(max_rows, 1);
        assert!(batches <= BULK_ONE_IN.div_ceil(max_rows) + 1, "{batches} of {max_rows} rows");
    }
    // A request that takes many batches gets its share of each.
    let batches = batches_until_bulk(32, 8);
    assert!(batches <= 8, "{batches} batches");
}

#[test]
fn rows_that_wait_for_others_start_in_time_for_their_deadline() {
    let max_delay = Duration::from_millis(50);
    let config = PipelineConfig { capacity: 8, max_delay, ..PipelineConfig::default() };
    let mut bench = Bench::new(&fake(BackendKind::Cpu, "fake"), 100.0, config);
    let (core, pipeline) = (Arc::clone(&bench.core), bench.pipeline.clone());
    for _ in 0..20 {
        let now = Duration::from_nanos(bench.clock.load(Ordering::Relaxed));
        let deadline = core.clock.start() + now + Duration::from_millis(20);
        let patient = pipeline.submit(&[1.0, 1.0]).unwrap();
        let hurried =
            pipeline.submit_with(&[2.0, 1.0], &SubmitOptions::deadline(deadline)).unwrap();
        let Step::Until(then_ns) = bench.workers[0].step() else { panic!("taken at once") };
        assert!(then_ns > core.clock.now(), "it may wait for others");
        bench.clock.store(then_ns, Ordering::Relaxed);
        while bench.workers[0].step() == Step::Progress {}
        assert_eq!(hurried.wait().unwrap().scores(), [2.0, 1.0]);
        assert_eq!(patient.wait().unwrap().scores(), [1.0, 1.0]);
    }
    assert_eq!(pipeline.metrics().expired, 0);
    // Without a deadline they wait for as long as they are to.
    let patient = pipeline.submit(&[1.0, 1.0]).unwrap();
    let until_ns = core.clock.now() + max_delay.as_nanos() as u64;
    assert_eq!(bench.workers[0].step(), Step::Until(until_ns));
    drop(patient);
}
