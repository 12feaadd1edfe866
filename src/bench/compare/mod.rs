//! The whole experiment: every device that is there, checked against the oracle, then measured.
//!
//! Devices take turns: at each batch size every one of them is measured for a short round, then all
//! of them again, so that the ratio of two comes from the same moments of the machine.

mod candidates;
mod crossover;
mod record;
mod roof;
mod subjects;
#[cfg(test)]
mod tests;
mod turns;
mod workload;

use std::time::Duration;

pub use candidates::{Candidate, candidates};
pub(in crate::bench) use workload::{ORACLE_PRODUCTS_MAX, ROWS_WALKED, rows_that_fit};

use self::crossover::Line;
use self::subjects::Subject;
use self::turns::Pace;
use self::workload::Workload;
use super::images;
use super::machine::Machine;
use super::record::{Environment, Record};
use super::report::{Cell, Method, ModelFacts, Report, State};
use crate::Error;
use crate::model::Model;
use crate::plan::PlanOptions;

/// What to compare, and for how long.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Input type and precision.
    pub plan: PlanOptions,
    /// The batch sizes; one that is there twice is measured once.
    pub batches: Vec<usize>,
    /// Generated images to compare with the oracle, fewer where the model is large.
    pub rows_checked: usize,
    /// The seed of the images.
    pub seed: u64,
    /// The longest time for one figure; less where there are many.
    pub cell_time: Duration,
    /// How many rounds that time is divided into; of four or more, ratios have intervals.
    pub rounds: usize,
}

impl Default for CompareOptions {
    fn default() -> CompareOptions {
        CompareOptions {
            plan: PlanOptions::default(),
            batches: vec![1, 8, 64, 256, 1024],
            rows_checked: 1000,
            seed: images::SEED,
            cell_time: Duration::from_secs(1),
            rounds: 5,
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The figures, for programs.
    pub report: Report,
    /// The same as a page and files, with the rounds and times behind the figures.
    pub record: Record,
}

impl Comparison {
    /// Which device is the fastest, and from which batch sizes on it is another, a sentence each.
    pub fn in_short(&self) -> Vec<String> {
        crossover::told(&self.report)
    }
}

/// How far a comparison has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub of: usize,
    /// What is being done now.
    pub doing: &'a str,
}

/// Checks and measures `model` on every candidate that has a device. A device that fails is
/// reported as failed and the others go on.
///
/// # Errors
/// [`Error::Backend`] where a batch size is 0, or larger than memory for its rows allows.
pub fn compare(
    model: &Model,
    candidates: &[Candidate],
    options: &CompareOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Comparison, Error> {
    let watch = Environment::watch();
    let workload = Workload::new(model, options)?;
    let (mut subjects, mut devices) = subjects::prepare(&workload, candidates, &options.plan);
    let batches = distinct(&options.batches);
    let of = subjects.len() * batches.len();
    let pace = Pace::of(options, of);
    for (number, batch) in batches.into_iter().enumerate() {
        let before = number * subjects.len();
        let mut tell =
            |done: usize, doing: &str| progress(Progress { done: before + done, of, doing });
        for (index, outcome) in turns::take(&subjects, &workload, (batch, &pace), &mut tell) {
            let subject = &mut subjects[index];
            match outcome {
                Ok(taken) => {
                    subject.agreement = taken.agreement;
                    subject.taken.push(taken);
                }
                Err(error) => subject.failed = Some(error),
            }
        }
    }
    for subject in &subjects {
        let device = &mut devices[subject.place];
        device.agreement = Some(subject.agreement);
        if let Some(error) = &subject.failed {
            *device = device.clone().because(State::Failed, error.to_string());
        }
    }
    let lines: Vec<Line> = subjects.iter().map(Line::of).collect();
    let report = Report {
        model: ModelFacts::of(model),
        machine: Machine::here(),
        method: method(options, &workload, &pace),
        devices,
        results: subjects.iter().flat_map(cells).collect(),
        ratios: crossover::ratios(&lines),
        crossovers: crossover::crossovers(&lines),
    };
    let record = record::of(&report, (&subjects, pace.round_time()), watch);
    Ok(Comparison { report, record })
}

/// The sizes, each once, in their order.
fn distinct(batches: &[usize]) -> Vec<usize> {
    let mut found = Vec::new();
    for batch in batches {
        if !found.contains(batch) {
            found.push(*batch);
        }
    }
    found
}

fn method(options: &CompareOptions, workload: &Workload<'_>, pace: &Pace) -> Method {
    Method {
        load: "closed",
        clock: "one call of Executable::run, rows and scores in host memory",
        input: options.plan.input.name(),
        precision: options.plan.precision.name(),
        rows_checked: workload.rows_checked,
        seed: options.seed,
        cell_s: pace.cell.as_secs_f64(),
        rounds: pace.rounds,
    }
}

/// What was measured of a subject.
fn cells(subject: &Subject) -> Vec<Cell> {
    let info = subject.executable.device().info();
    let both = subject.taken.iter().zip(roof::points(subject));
    let cell = both.map(|(taken, roofline)| Cell {
        key: subject.key.clone(),
        backend: info.backend.name(),
        device: info.name.clone(),
        software: info.software,
        batch: taken.batch,
        measurement: taken.measurement(),
        rounds: taken.rounds.len(),
        roofline,
        energy: taken.energy(),
        max_abs_error: taken.agreement.max_abs_error,
        agrees: taken.agreement.agrees,
    });
    cell.collect()
}
