//! Where the threads of a pipeline count what they do.
//!
//! Each worker has gauges of its own and is their only writer, so that counting is a load and a
//! store on a cache line nobody else writes. What any thread may count stands in a tally apart.

use crossbeam::utils::CachePadded;

use super::super::backend::BackendKind;
use super::super::sync::{AtomicU64, Ordering};
use super::health::BackendHealth;
use super::histogram::Histogram;
use super::metrics::{BackendMetrics, Metrics};

/// A counter with one writer: a second one's counts could be lost.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, more: u64) {
        self.0.store(self.get() + more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts; only its own thread writes.
#[derive(Debug, Default)]
pub(crate) struct WorkerGauges {
    own: CachePadded<Own>,
}

#[derive(Debug, Default)]
struct Own {
    batches: Counter,
    completed: Counter,
    cancelled: Counter,
    queue_ns: Histogram,
    total_ns: Histogram,
    input_ns: Histogram,
    compute_ns: Histogram,
    output_ns: Histogram,
    batch_rows: Histogram,
}

/// A batch that came back with scores, times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchDone {
    /// Rows in the batch.
    pub(crate) rows: u64,
    /// Gathering the rows and handing them to the device.
    pub(crate) input_ns: u64,
    /// From the hand-over to the batch's completion.
    pub(crate) compute_ns: u64,
    /// Handing the scores to the callers.
    pub(crate) output_ns: u64,
}

impl WorkerGauges {
    /// Counts a batch that came back; its rows are counted one by one as they are answered.
    pub(crate) fn batch(&self, batch: &BatchDone) {
        self.own.batches.add(1);
        self.own.batch_rows.record(batch.rows);
        self.own.input_ns.record(batch.input_ns);
        self.own.compute_ns.record(batch.compute_ns);
        self.own.output_ns.record(batch.output_ns);
    }

    /// Counts a row answered with scores, and how long it waited and took.
    pub(crate) fn completed(&self, queue_ns: u64, total_ns: u64) {
        self.own.completed.add(1);
        self.own.queue_ns.record(queue_ns);
        self.own.total_ns.record(total_ns);
    }

    /// Counts rows whose caller gave them up before they were computed.
    pub(crate) fn cancelled(&self, rows: u64) {
        self.own.cancelled.add(rows);
    }

    /// Adds this worker's counts to those of the whole pipeline.
    pub(crate) fn add_to(&self, metrics: &mut Metrics) {
        metrics.batches += self.own.batches.get();
        metrics.completed += self.own.completed.get();
        metrics.cancelled += self.own.cancelled.get();
        metrics.queue_ns.merge(&self.own.queue_ns.snapshot());
        metrics.total_ns.merge(&self.own.total_ns.snapshot());
        metrics.input_ns.merge(&self.own.input_ns.snapshot());
        metrics.compute_ns.merge(&self.own.compute_ns.snapshot());
        metrics.output_ns.merge(&self.own.output_ns.snapshot());
        metrics.batch_rows.merge(&self.own.batch_rows.snapshot());
    }

    /// The entry of the one backend this worker drives.
    pub(crate) fn backend(
        &self,
        name: &str,
        backend: BackendKind,
        health: BackendHealth,
    ) -> BackendMetrics {
        let (rows, batches) = (self.own.completed.get(), self.own.batches.get());
        BackendMetrics { name: name.to_owned(), backend, rows, batches, health }
    }
}

/// What any thread may count: submitters, a watchdog, whoever shuts the pipeline down.
#[derive(Debug, Default)]
pub(crate) struct SharedTally {
    counts: CachePadded<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rejected: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
    expired: AtomicU64,
    cancelled: AtomicU64,
    shut_down: AtomicU64,
}

impl SharedTally {
    /// Counts rows turned away at submission.
    pub(crate) fn rejected(&self, rows: u64) {
        self.counts.rejected.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows given to a backend once more after a failure.
    pub(crate) fn retried(&self, rows: u64) {
        self.counts.retried.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows answered with a device's error.
    pub(crate) fn failed(&self, rows: u64) {
        self.counts.failed.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows whose deadline passed before they were computed.
    pub(crate) fn expired(&self, rows: u64) {
        self.counts.expired.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows whose caller gave them up before they were computed.
    pub(crate) fn cancelled(&self, rows: u64) {
        self.counts.cancelled.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows turned away because the pipeline is shut down.
    pub(crate) fn shut_down(&self, rows: u64) {
        self.counts.shut_down.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows turned away until now because the pipeline is shut down.
    pub(crate) fn turned_away(&self) -> u64 {
        self.counts.shut_down.load(Ordering::Relaxed)
    }

    /// Adds these counts to those of the whole pipeline.
    pub(crate) fn add_to(&self, metrics: &mut Metrics) {
        metrics.retried_rows += self.counts.retried.load(Ordering::Relaxed);
        metrics.rejected += self.counts.rejected.load(Ordering::Relaxed);
        metrics.failed += self.counts.failed.load(Ordering::Relaxed);
        metrics.expired += self.counts.expired.load(Ordering::Relaxed);
        metrics.cancelled += self.counts.cancelled.load(Ordering::Relaxed);
        metrics.shut_down += self.turned_away();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers and a tally that have counted every kind of row.
    fn counted() -> Metrics {
        let workers = [WorkerGauges::default(), WorkerGauges::default()];
        let tally = SharedTally::default();
        workers[0].batch(&BatchDone { rows: 3, input_ns: 100, compute_ns: 2000, output_ns: 50 });
        workers[1].batch(&BatchDone { rows: 1, input_ns: 300, compute_ns: 9000, output_ns: 70 });
        for row in 0..3 {
            workers[0].completed(500 + row, 3000 + row);
        }
        workers[1].completed(10, 9500);
        workers[0].cancelled(11);
        tally.retried(17);
        tally.failed(100);
        tally.expired(200);
        tally.cancelled(300);
        tally.shut_down(400);
        tally.rejected(500);

        let mut metrics = Metrics { admitted: 1015 + 2, pending: 2, ..Metrics::default() };
        workers.iter().for_each(|worker| worker.add_to(&mut metrics));
        tally.add_to(&mut metrics);
        let (name, kind, health) = ("Some CPU", BackendKind::Cpu, BackendHealth::Ready);
        metrics.backends.push(workers[0].backend(name, kind, health));
        let (name, kind, health) = ("Some GPU", BackendKind::Wgpu, BackendHealth::Lost);
        metrics.backends.push(workers[1].backend(name, kind, health));
        metrics
    }

    #[test]
    fn every_count_arrives_in_its_own_field() {
        let got = counted();
        assert_eq!((got.completed, got.failed, got.expired), (4, 100, 200));
        assert_eq!((got.cancelled, got.shut_down, got.rejected), (311, 400, 500));
        assert_eq!((got.batches, got.retried_rows), (2, 17));
        let histograms = [
            &got.queue_ns,
            &got.total_ns,
            &got.input_ns,
            &got.compute_ns,
            &got.output_ns,
            &got.batch_rows,
        ];
        assert_eq!(histograms.map(|h| h.count()), [4, 4, 2, 2, 2, 2]);
        assert_eq!(histograms.map(|h| h.min()), [10, 3000, 100, 2000, 50, 1]);
        assert_eq!(histograms.map(|h| h.max()), [502, 9500, 300, 9000, 70, 3]);
        assert_eq!((got.backends[0].rows, got.backends[1].batches), (3, 1));
    }

    #[test]
    fn rows_are_conserved_and_one_too_many_is_told() {
        let whole = counted();
        assert!(whole.conserves());
        let fields: [fn(&mut Metrics) -> &mut u64; 7] = [
            |metrics| &mut metrics.admitted,
            |metrics| &mut metrics.completed,
            |metrics| &mut metrics.shut_down,
            |metrics| &mut metrics.expired,
            |metrics| &mut metrics.cancelled,
            |metrics| &mut metrics.failed,
            |metrics| &mut metrics.pending,
        ];
        for field in fields {
            let mut metrics = whole.clone();
            *field(&mut metrics) += 1;
            assert!(!metrics.conserves());
        }
    }

    #[test]
    fn a_tally_loses_nothing_among_threads() {
        let tally = SharedTally::default();
        let start = std::sync::Barrier::new(2);
        let count = || {
            start.wait();
            (0..500_000).for_each(|_| tally.expired(1));
        };
        std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(count))));
        let mut metrics = Metrics::default();
        tally.add_to(&mut metrics);
        assert_eq!(metrics.expired, 1_000_000);
    }

    #[test]
    fn what_different_threads_write_shares_no_cache_line() {
        let line = align_of::<CachePadded<u8>>();
        assert_eq!((align_of::<WorkerGauges>(), align_of::<SharedTally>()), (line, line));
    }

    #[test]
    fn metrics_print_as_a_table() {
        let expected = "\
rows      1017 admitted, 500 rejected, 4 completed
          2 pending, 0 of them queued
          200 expired, 311 cancelled, 100 failed, 400 shut down, 17 retried
batches   2
cpu       ready, 3 rows in 1 batches, Some CPU
wgpu      lost, 1 rows in 1 batches, Some GPU
                   p50         p90         p99       p99.9         max
queue us           0.5         0.5         0.5         0.5         0.5
total us           3.0         9.5         9.5         9.5         9.5
input us           0.1         0.3         0.3         0.3         0.3
compute us         2.0         9.0         9.0         9.0         9.0
output us          0.1         0.1         0.1         0.1         0.1
batch rows           1           3           3           3           3
";
        assert_eq!(counted().to_string(), expected);
    }

    #[test]
    fn metrics_are_json_with_names_for_kinds_and_states() {
        let json = serde_json::to_value(counted()).unwrap();
        assert_eq!(json["admitted"], 1017);
        assert_eq!(json["total_ns"]["max"], 9500);
        let expected = serde_json::json!(
            {"name": "Some GPU", "backend": "wgpu", "rows": 1, "batches": 1, "health": "lost"}
        );
        assert_eq!(json["backends"][1], expected);
    }
}
