//! The seed paper's three experiments, with the model embedded, on every backend there is.
//!
//! Its Table 1 asks how many predictions a second come out at given rates (throughput), how long
//! requests of some rows take (latency), and what more operators at once are worth (vertical
//! scalability). To these the highest rates are added that are still sustained, and that still meet
//! a bound on the 99th percentile, which the paper does not search for.
//!
//! Rows are random images as in the paper, or those of a file. A rate is the rate that is sent: the
//! paper's own harness halves what is configured. Both of its clocks are stated.

mod headlines;
mod lab;
mod latency;
mod limits;
mod scalability;
#[cfg(test)]
mod tests;
mod throughput;

use std::path::PathBuf;
use std::time::Duration;

use self::lab::Lab;
use super::compare::{Candidate, Progress};
use super::error::BenchError;
use super::images::OwnedRows;
use super::record::Record;
use crate::model::Model;
use crate::pipeline::Waiting;
use crate::plan::PlanOptions;

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct PaperOptions {
    /// Input type and precision.
    pub plan: PlanOptions,
    /// How the pipeline waits.
    pub waiting: Waiting,
    /// Rows to send in place of generated ones, `[n, inputs]` row-major, of the planned type.
    pub rows: Option<OwnedRows>,
    /// Rates of the throughput experiment, rows a second.
    pub rates: Vec<f64>,
    /// Rows of a request of the latency experiment.
    pub batches: Vec<usize>,
    /// Operators at once in the scalability experiment.
    pub parallelism: Vec<usize>,
    /// The rate of the scalability experiment, rows a second.
    pub scaling_rate: f64,
    /// Runs of each experiment, each with a figure of its own; one at least.
    pub runs: usize,
    /// How long a run takes, warm-up left out.
    pub run_time: Duration,
    /// What comes before a run and is not counted.
    pub warm_up: Duration,
    /// How long a rate is tried in the search for the highest.
    pub probe_time: Duration,
    /// What 99 of 100 rows must stay within, from generation to answer, at the highest rate.
    pub p99_bound: Duration,
    /// The file that results are written to; it is replaced by each run. Where there is none, a
    /// temporary one, which goes when the experiment is over.
    pub results: Option<PathBuf>,
}

impl PaperOptions {
    /// A look at this machine: less than two minutes with `backends` backends.
    pub fn quick(backends: usize) -> PaperOptions {
        let share = backends.max(1) as u32;
        PaperOptions {
            runs: 5,
            run_time: Duration::from_millis(500) / share,
            warm_up: Duration::from_millis(100) / share,
            probe_time: Duration::from_millis(250) / share,
            ..PaperOptions::full()
        }
    }

    /// The paper's durations: 5 runs of 300 s each, some seven hours a backend.
    pub fn full() -> PaperOptions {
        PaperOptions {
            plan: PlanOptions::default(),
            waiting: Waiting::default(),
            rows: None,
            rates: vec![10.0, 100.0, 1e3, 1e4],
            batches: vec![1, 10, 100, 250, 500, 1000],
            parallelism: vec![1, 2, 4, 8, 16],
            scaling_rate: 3e4,
            runs: 5,
            run_time: Duration::from_secs(300),
            warm_up: Duration::from_secs(20),
            probe_time: Duration::from_secs(5),
            p99_bound: Duration::from_millis(1),
            results: None,
        }
    }

    /// The same with runs of another length, and searches in proportion.
    #[must_use]
    pub fn with_run_time(self, time: Duration) -> PaperOptions {
        let share = time.as_secs_f64() / self.run_time.as_secs_f64();
        let scaled = |time: Duration| time.mul_f64(share.min(1e6));
        let (warm_up, probe_time) = (scaled(self.warm_up), scaled(self.probe_time));
        PaperOptions { run_time: time, warm_up, probe_time, ..self }
    }
}

/// Runs the experiments on every candidate that has a device. A device that fails is reported as
/// failed and the others go on; a wrong answer ends all of it.
///
/// # Errors
/// [`BenchError`]: an answer was wrong or missing, results could not be kept, no device took part,
/// or something failed on the way.
pub fn run(
    model: &Model,
    candidates: &[Candidate],
    options: &PaperOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Record, BenchError> {
    let figures = options.rates.len() + options.batches.len() + options.parallelism.len();
    let steps = figures + limits::STEPS;
    let mut lab = Lab::new(model, candidates, options, (steps, progress))?;
    throughput::run(&mut lab)?;
    latency::run(&mut lab)?;
    scalability::run(&mut lab)?;
    let limits = limits::run(&mut lab)?;
    lab.findings.section(headlines::section(&limits));
    lab.findings.lead(limits.iter().map(|limit| limit.in_short(options)).collect());
    Ok(lab.finish())
}
