//! Two contexts keep a device's copy engines and its compute engine at work at the same time; one
//! context cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::worker::Step;
use super::*;
use crate::backend::fake::{Engine, Timing, TraceEntry};

const ROWS: usize = 8;
const TIMING: Timing = Timing {
    upload_ns: 100,
    upload_ns_per_row: 50,
    compute_ns: 500,
    compute_ns_per_row: 0,
    download_ns: 100,
    download_ns_per_row: 10,
};

/// The trace of forty rows in batches of eight, all submitted at once, and when the last was done.
fn run(depth: usize) -> (Vec<TraceEntry>, u64) {
    let clock = Arc::new(AtomicU64::new(0));
    let device = fake(BackendKind::Wgpu, "fake").timed(Arc::clone(&clock), TIMING);
    let config = PipelineConfig { depth, max_rows: ROWS, capacity: 64, ..Default::default() };
    let mut bench = Bench::new(&device, 100.0, config);
    bench.clock.store(0, Ordering::Relaxed);
    let tickets: Vec<_> =
        (0..5 * ROWS).map(|row| bench.pipeline.submit(&[row as f32, 1.0]).unwrap()).collect();
    while tickets.iter().any(|ticket| !ticket.is_ready()) {
        while bench.workers[0].step() == Step::Progress {}
        // The device's clock is the pipeline's, too.
        let next_ns = device.next_event_ns().unwrap_or_else(|| clock.load(Ordering::Relaxed));
        clock.store(next_ns, Ordering::Release);
        bench.clock.store(next_ns, Ordering::Release);
    }
    for (row, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait().unwrap().scores(), [row as f32, 1.0]);
    }
    (device.trace(), clock.load(Ordering::Relaxed))
}

/// Whether one batch is on one engine while another batch is on the other.
fn overlap(trace: &[TraceEntry], one: Engine, other: Engine) -> bool {
    let of = |engine| trace.iter().filter(move |entry| entry.engine == engine);
    of(one).any(|a| of(other).any(|b| a.batch != b.batch && a.overlaps(b)))
}

const PAIRS: [(Engine, Engine); 2] =
    [(Engine::Upload, Engine::Compute), (Engine::Download, Engine::Compute)];

#[test]
fn two_contexts_overlap_copies_with_computation() {
    let (trace, end_ns) = run(2);
    for (one, other) in PAIRS {
        assert!(overlap(&trace, one, other), "{one:?} beside {other:?}: {trace:?}");
    }
    let (_, alone_ns) = run(1);
    assert!(end_ns < alone_ns, "{end_ns} against {alone_ns}");
}

#[test]
fn one_context_does_one_thing_at_a_time() {
    let (trace, _) = run(1);
    for (one, other) in PAIRS {
        assert!(!overlap(&trace, one, other), "{one:?} beside {other:?}: {trace:?}");
    }
}
