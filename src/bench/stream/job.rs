//! A job: a device that scores, how many operators at once, and where results go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::error::BenchError;
use super::super::load::{Kept, Schedule};
use super::sink::Sink;
use super::source::{Source, Stages};
use super::workload::Workload;
use crate::backend::Executable;
use crate::pipeline::{Pipeline, PipelineConfig, Waiting};

/// Rows that may be under way: a quarter of a second of the papers' highest rate.
const CAPACITY: usize = 8192;
/// Rows of a batch, at most: the papers' largest request is one.
const BATCH_ROWS: usize = 1024;
/// How long rows under way may take once a job ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A model on a device, and the rows it is given.
#[derive(Clone, Copy)]
pub(in crate::bench) struct Job<'a> {
    pub(in crate::bench) executable: &'a Arc<dyn Executable>,
    pub(in crate::bench) workload: &'a Workload,
    /// Operators at once: workers of a processor, batches in flight on any other device.
    pub(in crate::bench) parallelism: usize,
    /// How the pipeline waits.
    pub(in crate::bench) waiting: Waiting,
    /// The file that results are written to.
    pub(in crate::bench) results: &'a Path,
}

/// What came of an open loop.
#[derive(Clone, Debug, Default)]
pub(in crate::bench) struct Outcome {
    pub(in crate::bench) kept: Kept,
    pub(in crate::bench) stages: Stages,
    /// Batches that were run.
    pub(in crate::bench) batches: u64,
    /// Results that are in the file, one for each row.
    pub(in crate::bench) results: u64,
}

impl Outcome {
    /// Adds what came of doing the same again.
    pub(in crate::bench) fn add(&mut self, other: &Outcome) {
        self.kept.add(&other.kept);
        self.stages.merge(&other.stages);
        self.batches += other.batches;
        self.results += other.results;
    }
}

impl Job<'_> {
    /// Sends requests of so many rows by the schedule, and keeps what came of them.
    pub(in crate::bench) fn open_loop(
        &self,
        schedule: &Schedule,
        rows: usize,
    ) -> Result<Outcome, BenchError> {
        let mut sink = Sink::create(self.results)?;
        let tolerance = self.tolerance();
        let run = |pipeline: &Pipeline| {
            let mut source = Source::new(pipeline, (self.workload, rows), tolerance, &mut sink);
            let kept = schedule.keep(&mut source)?;
            Ok((kept, source.stages))
        };
        let ((kept, stages), batches, answered) = self.with_pipeline(run)?;
        let results = sink.finish()?.results;
        if results != answered {
            return Err(BenchError::Unbalanced { admitted: answered, answered: results });
        }
        Ok(Outcome { kept, stages, batches, results })
    }

    /// How far scores may be from the oracle's.
    pub(super) fn tolerance(&self) -> f64 {
        self.executable.plan().precision().tolerance()
    }

    /// Runs something on a pipeline of its own, and sees to it that every row was answered. Returns
    /// the batches and rows it ran, too.
    pub(super) fn with_pipeline<T>(
        &self,
        run: impl FnOnce(&Pipeline) -> Result<T, BenchError>,
    ) -> Result<(T, u64, u64), BenchError> {
        let config = PipelineConfig {
            capacity: CAPACITY,
            max_rows: BATCH_ROWS,
            workers: self.parallelism,
            depth: self.parallelism.clamp(2, PipelineConfig::DEPTH_MAX),
            waiting: self.waiting,
            ..PipelineConfig::default()
        };
        let pipeline = Pipeline::start(Arc::clone(self.executable), config)?;
        let outcome = run(&pipeline);
        let watcher = pipeline.clone();
        pipeline.shutdown(PATIENCE);
        let outcome = outcome?;
        let metrics = watcher.metrics();
        let (admitted, answered) = (metrics.admitted, metrics.completed);
        if answered != admitted {
            return Err(BenchError::Unbalanced { admitted, answered });
        }
        let batches = metrics.backends.iter().map(|backend| backend.batches).sum();
        Ok((outcome, batches, answered))
    }
}
