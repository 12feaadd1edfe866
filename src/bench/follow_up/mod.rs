//! The experiments of the study that followed the seed paper (Crayfish, on serving models in stream
//! processing), with the model embedded, on every backend there is.
//!
//! Its generator sends requests of many rows at three rates, shares one rate among ever more
//! replicas, and bursts above the rate that can be sustained; the first quarter of what is sent is
//! left out of every figure.

mod bursts;
mod rates;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::bursts::Bursts;
use super::compare::{Candidate, Progress};
use super::error::BenchError;
use super::lab::{Lab, LabOptions, Scaling};
use super::record::Record;
use crate::model::Model;

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct FollowUpOptions {
    /// What all of them are told.
    pub lab: LabOptions,
    /// Rates, requests a second.
    pub rates: Vec<f64>,
    /// Rows of a request, each at each rate.
    pub batches: Vec<usize>,
    /// Operators at once.
    pub replicas: Vec<usize>,
    /// The rate that replicas share, rows a second.
    pub scaling_rate: f64,
    /// Bursts above what can be sustained.
    pub bursts: Bursts,
}

impl FollowUpOptions {
    /// A look at this machine: less than two minutes with `backends` backends.
    pub fn quick(backends: usize) -> FollowUpOptions {
        let share = 1.0 / backends.max(1) as f64;
        let mut quick = FollowUpOptions::full().shortened(share / 750.0);
        // Shorter ones drown in what else a machine does.
        quick.lab.probe_time = Duration::from_millis(250).mul_f64(share);
        quick.bursts = Bursts::default().scaled(share / 150.0);
        quick
    }

    /// The study's rates, batches, replicas and bursts: 5 runs of 300 s each, of which 225 s are
    /// counted, some eight hours a backend.
    pub fn full() -> FollowUpOptions {
        // Of 300 s the first quarter is dropped; a rate is tried for as much as a burst lasts.
        let [run, warm_up, probe] = [225, 75, 30].map(Duration::from_secs);
        FollowUpOptions {
            lab: LabOptions::lasting(run, warm_up, probe),
            rates: vec![512.0, 2048.0, 4096.0],
            batches: vec![1, 32, 128, 512],
            replicas: vec![2, 4, 8, 16, 32],
            scaling_rate: 3e4,
            bursts: Bursts::default(),
        }
    }

    /// The same with runs of another length, and everything else in proportion.
    #[must_use]
    pub fn with_run_time(self, time: Duration) -> FollowUpOptions {
        let share = time.as_secs_f64() / self.lab.run_time.as_secs_f64();
        self.shortened(share)
    }

    fn shortened(self, share: f64) -> FollowUpOptions {
        FollowUpOptions { lab: self.lab.scaled(share), bursts: self.bursts.scaled(share), ..self }
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
    options: &FollowUpOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Record, BenchError> {
    let cells = options.rates.len() * options.batches.len();
    let steps = cells + options.replicas.len() + bursts::STEPS;
    let mut lab = Lab::new(model, candidates, &options.lab, (steps, progress))?;
    rates::run(&mut lab, &options.rates, &options.batches)?;
    let scaling = Scaling {
        title: "Replicas",
        operators: "replicas",
        counts: &options.replicas,
        rate: options.scaling_rate,
    };
    scaling.run(&mut lab)?;
    let lead = bursts::run(&mut lab, &options.bursts)?;
    lab.findings.lead(lead);
    let title = "The follow-up study's experiments, embedded";
    Ok(lab.finish(("follow-up", title), "open loops: equal intervals, and bursts of them"))
}
