//! What a pipeline has done so far, as plain numbers.

use std::fmt;

use serde::{Serialize, Serializer};

use super::super::backend::BackendKind;
use super::health::BackendHealth;
use super::histogram::HistogramSnapshot;

/// What a pipeline has done since it was opened, read while it runs.
///
/// A row is admitted or rejected. An admitted row is pending until it is answered, once, in one of
/// five ways: completed, expired, cancelled, failed or shut down. Counters are read one after the
/// other, so figures of a busy pipeline may be apart by the rows that were answered meanwhile; once
/// it is at rest [`Metrics::conserves`] holds.
///
/// As JSON, keys are the fields' names; a histogram is its summary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Rows taken in.
    pub admitted: u64,
    /// Rows turned away at submission, never admitted.
    pub rejected: u64,
    /// Admitted rows answered with scores.
    pub completed: u64,
    /// Admitted rows whose deadline passed before they were computed.
    pub expired: u64,
    /// Admitted rows whose caller gave them up before they were computed.
    pub cancelled: u64,
    /// Admitted rows answered with a device's error.
    pub failed: u64,
    /// Admitted rows turned away because the pipeline was shut down.
    pub shut_down: u64,
    /// Admitted rows not answered yet.
    pub pending: u64,
    /// Rows that wait for a batch; they are pending, too.
    pub queue_depth: u64,
    /// Batches that came back with scores.
    pub batches: u64,
    /// Rows given to a backend once more after a failure; a row counts each time.
    pub retried_rows: u64,
    /// One entry per backend.
    pub backends: Vec<BackendMetrics>,
    /// Nanoseconds from a row's admission to its batch's start, of completed rows.
    pub queue_ns: HistogramSnapshot,
    /// Nanoseconds from a row's admission to its answer, of completed rows.
    pub total_ns: HistogramSnapshot,
    /// Nanoseconds in which a batch was gathered and handed to the device.
    pub input_ns: HistogramSnapshot,
    /// Nanoseconds from a batch's hand-over to the device to its completion.
    pub compute_ns: HistogramSnapshot,
    /// Nanoseconds in which a batch's scores were handed to their callers.
    pub output_ns: HistogramSnapshot,
    /// Rows in a batch.
    pub batch_rows: HistogramSnapshot,
}

/// What one backend of a pipeline has done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BackendMetrics {
    /// The device's name.
    pub name: String,
    /// The family.
    #[serde(serialize_with = "kind_by_name")]
    pub backend: BackendKind,
    /// Rows it answered with scores.
    pub rows: u64,
    /// Batches it came back with scores for.
    pub batches: u64,
    /// How it is.
    pub health: BackendHealth,
}

fn kind_by_name<S: Serializer>(kind: &BackendKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

impl Metrics {
    /// Admitted rows that have their answer, of whichever kind.
    pub fn answered(&self) -> u64 {
        self.completed + self.expired + self.cancelled + self.failed + self.shut_down
    }

    /// Whether every admitted row was answered once or is pending: true of every pipeline at rest.
    pub fn conserves(&self) -> bool {
        self.admitted == self.answered() + self.pending
    }
}

/// A table for people: counters, backends, and percentiles in microseconds.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metrics { admitted, rejected, completed, pending, queue_depth, .. } = self;
        let Metrics { expired, cancelled, failed, shut_down, batches, retried_rows, .. } = self;
        writeln!(f, "rows      {admitted} admitted, {rejected} rejected, {completed} completed")?;
        writeln!(f, "          {pending} pending, {queue_depth} of them queued")?;
        write!(f, "          {expired} expired, {cancelled} cancelled, {failed} failed, ")?;
        writeln!(f, "{shut_down} shut down, {retried_rows} retried")?;
        writeln!(f, "batches   {batches}")?;
        for BackendMetrics { name, backend, rows, batches, health } in &self.backends {
            let (backend, health) = (backend.name(), health.name());
            writeln!(f, "{backend:<9} {health}, {rows} rows in {batches} batches, {name}")?;
        }
        write_line(f, "", ["p50", "p90", "p99", "p99.9", "max"])?;
        let times = [
            ("queue us", &self.queue_ns),
            ("total us", &self.total_ns),
            ("input us", &self.input_ns),
            ("compute us", &self.compute_ns),
            ("output us", &self.output_ns),
        ];
        for (name, nanoseconds) in times {
            let us = |ns: u64| format!("{:.1}", ns as f64 / 1e3);
            write_line(f, name, percentiles(nanoseconds).map(us))?;
        }
        write_line(f, "batch rows", percentiles(&self.batch_rows))
    }
}

fn percentiles(histogram: &HistogramSnapshot) -> [u64; 5] {
    let summary = histogram.summary();
    [summary.p50, summary.p90, summary.p99, summary.p999, summary.max]
}

fn write_line<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    values: [T; 5],
) -> fmt::Result {
    write!(f, "{name:<10}")?;
    values.iter().try_for_each(|value| write!(f, " {value:>11}"))?;
    writeln!(f)
}
