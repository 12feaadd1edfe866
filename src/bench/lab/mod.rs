//! What experiments on streams share: devices that are ready, where results go, runs, searches, and
//! what was found.
//!
//! An experiment asks its `Lab` for jobs, runs them, and adds findings; the lab makes a record of
//! them.

mod highest;
mod options;
mod results;
mod runs;
mod scaling;
mod subject;

pub(in crate::bench) use highest::{Probe, Probes, SEARCH, SUSTAINED_SHARE, VERDICTS};
pub use options::LabOptions;
pub(in crate::bench) use options::scaled;
pub(in crate::bench) use runs::{ABOUT_RUNS, Runs, columns};
pub(in crate::bench) use scaling::Scaling;

use self::results::Results;
use self::subject::Subject;
use super::compare::{Candidate, Progress};
use super::error::BenchError;
use super::images;
use super::record::{Environment, Fact, Findings, Record, Watch, figure};
use super::report::{DeviceReport, ModelFacts};
use super::stream::{Job, Workload};
use crate::Error;
use crate::backend::BackendError;
use crate::model::Model;

/// Everything an experiment works with.
pub(in crate::bench) struct Lab<'a> {
    model: &'a Model,
    pub(in crate::bench) options: &'a LabOptions,
    workload: Workload,
    pub(in crate::bench) subjects: Vec<Subject>,
    devices: Vec<DeviceReport>,
    results: Results,
    progress: &'a mut dyn FnMut(Progress<'_>),
    /// Steps done, and those that each subject has.
    done: usize,
    steps: usize,
    watch: Watch,
    pub(in crate::bench) findings: Findings,
}

impl<'a> Lab<'a> {
    /// Loads the model on every candidate that has a device. One that fails is reported and left
    /// out; that all of them score every row right is seen before anything is timed.
    pub(in crate::bench) fn new(
        model: &'a Model,
        candidates: &[Candidate],
        options: &'a LabOptions,
        (steps, progress): (usize, &'a mut dyn FnMut(Progress<'_>)),
    ) -> Result<Lab<'a>, BenchError> {
        let watch = Environment::watch();
        let workload = workload(model, options)?;
        let (subjects, devices) = subject::prepare(model, candidates, &options.plan, &workload)?;
        let results = Results::of(options.results.as_deref())?;
        Ok(Lab {
            model,
            options,
            workload,
            subjects,
            devices,
            results,
            progress,
            done: 0,
            steps,
            watch,
            findings: Findings::default(),
        })
    }

    /// The record of what was found, under the experiment's name and title, and when requests
    /// arrived.
    pub(in crate::bench) fn finish(self, (name, title): (&str, &str), arrivals: &str) -> Record {
        let title = format!("{title}: {}", self.model.architecture());
        self.findings.record(
            (name, &title),
            ModelFacts::of(self.model),
            method(self.options, &self.workload, arrivals),
            (self.watch, &self.devices),
        )
    }

    /// A job on the subject of this index.
    pub(in crate::bench) fn job(&self, subject: usize, parallelism: usize) -> Job<'_> {
        Job {
            executable: &self.subjects[subject].executable,
            workload: &self.workload,
            parallelism,
            waiting: self.options.waiting,
            results: self.results.path(),
        }
    }

    /// Says what is done next.
    pub(in crate::bench) fn step(&mut self, doing: &str) {
        let of = self.subjects.len() * self.steps;
        (self.progress)(Progress { done: self.done, of, doing });
        self.done += 1;
    }
}

fn workload(model: &Model, options: &LabOptions) -> Result<Workload, BenchError> {
    match &options.rows {
        None => Ok(Workload::generated(model, options.plan.input)),
        Some(rows) => Workload::given(model, rows.clone()).ok_or_else(|| {
            let (inputs, values) = (model.inputs(), rows.len());
            Error::from(BackendError::WrongRowLength { inputs, values }).into()
        }),
    }
}

fn method(options: &LabOptions, workload: &Workload, arrivals: &str) -> Vec<Fact> {
    let seconds = |time: std::time::Duration| format!("{} s", figure(time.as_secs_f64()));
    let rows = match &options.rows {
        Some(_) => format!("{} of a file", workload.count()),
        None => format!("{} random images, seed {:#x}", workload.count(), images::SEED),
    };
    let results = "16 bytes a row to a file, synchronised, read back and compared by checksum";
    vec![
        Fact::new("rows", rows),
        Fact::new("input", options.plan.input.name()),
        Fact::new("precision", options.plan.precision.name()),
        Fact::new("runs", options.runs.to_string()),
        Fact::new("run", seconds(options.run_time)),
        Fact::new("warm-up", seconds(options.warm_up)),
        Fact::new("clock: from generation", "from the time a row was scheduled to be generated"),
        Fact::new("clock: from call", "from the call that handed the row over"),
        Fact::new("arrivals", arrivals),
        Fact::new("sink", results),
        Fact::new("answers", "every score held against double precision"),
    ]
}
