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
mod latency;
mod limits;
#[cfg(test)]
mod tests;
mod throughput;

use std::time::Duration;

use super::compare::{Candidate, Progress};
use super::error::BenchError;
use super::lab::{Lab, LabOptions, Scaling};
use super::record::Record;
use crate::model::Model;

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct PaperOptions {
    /// What all of them are told.
    pub lab: LabOptions,
    /// Rates of the throughput experiment, rows a second.
    pub rates: Vec<f64>,
    /// Rows of a request of the latency experiment.
    pub batches: Vec<usize>,
    /// Operators at once in the scalability experiment.
    pub parallelism: Vec<usize>,
    /// The rate of the scalability experiment, rows a second.
    pub scaling_rate: f64,
    /// What 99 of 100 rows must stay within, from generation to answer, at the highest rate.
    pub p99_bound: Duration,
}

impl PaperOptions {
    /// A look at this machine: less than two minutes with `backends` backends.
    pub fn quick(backends: usize) -> PaperOptions {
        let [run, warm_up, probe] = [500, 100, 250].map(Duration::from_millis);
        let lab = LabOptions::lasting(run, warm_up, probe);
        let share = 1.0 / backends.max(1) as f64;
        PaperOptions { lab: lab.scaled(share), ..PaperOptions::full() }
    }

    /// The paper's durations: 5 runs of 300 s each, some seven hours a backend.
    pub fn full() -> PaperOptions {
        let [run, warm_up, probe] = [300, 20, 5].map(Duration::from_secs);
        PaperOptions {
            lab: LabOptions::lasting(run, warm_up, probe),
            rates: vec![10.0, 100.0, 1e3, 1e4],
            batches: vec![1, 10, 100, 250, 500, 1000],
            parallelism: vec![1, 2, 4, 8, 16],
            scaling_rate: 3e4,
            p99_bound: Duration::from_millis(1),
        }
    }

    /// The same with runs of another length, and searches in proportion.
    #[must_use]
    pub fn with_run_time(self, time: Duration) -> PaperOptions {
        let share = time.as_secs_f64() / self.lab.run_time.as_secs_f64();
        PaperOptions { lab: self.lab.scaled(share), ..self }
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
    let mut lab = Lab::new(model, candidates, &options.lab, (steps, progress))?;
    throughput::run(&mut lab, &options.rates)?;
    latency::run(&mut lab, &options.batches)?;
    let scaling = Scaling {
        title: "Vertical scalability",
        operators: "parallelism",
        counts: &options.parallelism,
        rate: options.scaling_rate,
    };
    scaling.run(&mut lab)?;
    let limits = limits::run(&mut lab, options.p99_bound)?;
    lab.findings.section(headlines::section(&limits));
    lab.findings.lead(limits.iter().map(|limit| limit.in_short(options.p99_bound)).collect());
    let arrivals = "open loops: equal intervals; closed loops: 10 requests a second";
    Ok(lab.finish(("paper", "The paper's experiments, embedded"), arrivals))
}
