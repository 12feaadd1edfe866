//! Virtual time: when the engines of a device do what, by a clock that the test moves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a batch takes on each engine, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// The upload of any batch, besides its rows.
    pub upload_ns: u64,
    /// The upload of a row.
    pub upload_ns_per_row: u64,
    /// The computation of any batch, besides its rows.
    pub compute_ns: u64,
    /// The computation of a row.
    pub compute_ns_per_row: u64,
    /// The download of any batch's scores, besides its rows'.
    pub download_ns: u64,
    /// The download of a row's scores.
    pub download_ns_per_row: u64,
}

impl Timing {
    /// What a batch of so many rows takes.
    fn of(&self, engine: Engine, rows: usize) -> u64 {
        let (each, per_row) = match engine {
            Engine::Upload => (self.upload_ns, self.upload_ns_per_row),
            Engine::Compute => (self.compute_ns, self.compute_ns_per_row),
            Engine::Download => (self.download_ns, self.download_ns_per_row),
        };
        each.saturating_add(per_row.saturating_mul(rows as u64))
    }
}

/// A part of a device that works beside the others, on one batch at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// Copies rows to the device.
    Upload,
    /// Computes scores.
    Compute,
    /// Copies scores from the device.
    Download,
}

impl Engine {
    /// All of them, as a batch goes through them.
    pub const ALL: [Engine; 3] = [Engine::Upload, Engine::Compute, Engine::Download];
}

/// One engine at work on one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// The batch, counted from 0 in the order of submission on the device.
    pub batch: u64,
    /// The context that submitted it, counted from 0 in the order of creation on the device.
    pub context: u64,
    /// The engine.
    pub engine: Engine,
    /// When it begins.
    pub begin_ns: u64,
    /// When it is done.
    pub end_ns: u64,
}

impl TraceEntry {
    /// Whether both are at work at some instant.
    pub fn overlaps(&self, other: &TraceEntry) -> bool {
        self.begin_ns.max(other.begin_ns) < self.end_ns.min(other.end_ns)
    }
}

/// The clock, and what the engines do by it.
#[derive(Debug)]
pub(super) struct Timeline {
    clock: Arc<AtomicU64>,
    timing: Timing,
    /// When each engine is done with all it was given.
    free_ns: [u64; Engine::ALL.len()],
    trace: Vec<TraceEntry>,
    /// The ends of downloads that the clock may not have reached, in order.
    ends_ns: VecDeque<u64>,
    batches: u64,
}

impl Timeline {
    pub(super) fn new(clock: Arc<AtomicU64>, timing: Timing) -> Timeline {
        Timeline {
            clock,
            timing,
            free_ns: [0; Engine::ALL.len()],
            trace: Vec::new(),
            ends_ns: VecDeque::new(),
            batches: 0,
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        // Whoever moved the clock first wrote what it wants seen by then.
        self.clock.load(Ordering::Acquire)
    }

    /// Hands a batch to the engines now, and returns when its download ends.
    pub(super) fn schedule(&mut self, context: u64, rows: usize) -> u64 {
        let batch = self.batches;
        self.batches += 1;
        let mut ready_ns = self.now_ns();
        for (engine, free_ns) in Engine::ALL.into_iter().zip(&mut self.free_ns) {
            let begin_ns = ready_ns.max(*free_ns);
            let end_ns = begin_ns.saturating_add(self.timing.of(engine, rows));
            self.trace.push(TraceEntry { batch, context, engine, begin_ns, end_ns });
            *free_ns = end_ns;
            ready_ns = end_ns;
        }
        self.ends_ns.push_back(ready_ns);
        ready_ns
    }

    pub(super) fn trace(&self) -> &[TraceEntry] {
        &self.trace
    }

    /// The first end of a download that the clock has not reached.
    pub(super) fn next_event_ns(&mut self) -> Option<u64> {
        let now_ns = self.now_ns();
        while self.ends_ns.front().is_some_and(|end_ns| *end_ns <= now_ns) {
            self.ends_ns.pop_front();
        }
        self.ends_ns.front().copied()
    }
}
