//! What the experiments share: devices that are ready, where results go, and what was found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};

use super::super::compare::{Candidate, Progress};
use super::super::error::BenchError;
use super::super::images;
use super::super::record::{Environment, Fact, Findings, Record, Watch, figure};
use super::super::report::{DeviceReport, ModelFacts, State};
use super::super::stream::{Job, Workload};
use super::PaperOptions;
use crate::Error;
use crate::backend::{BackendError, Executable};
use crate::model::Model;
use crate::plan::Plan;

/// A device with the model on it.
pub(super) struct Subject {
    /// How tables and keys name it: the backend, with a number where several share one.
    pub(super) name: String,
    executable: Arc<dyn Executable>,
}

/// The file that results are written to.
enum Results {
    Given(PathBuf),
    /// Goes with the experiments.
    Temporary(TempPath),
}

impl Results {
    fn of(given: Option<&Path>) -> Result<Results, BenchError> {
        let Some(path) = given else {
            let made = NamedTempFile::with_prefix("fusewire-results-").map_err(|error| {
                let path = std::env::temp_dir().display().to_string();
                BenchError::Sink { path, reason: error.to_string() }
            })?;
            return Ok(Results::Temporary(made.into_temp_path()));
        };
        Ok(Results::Given(path.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Results::Given(path) => path,
            Results::Temporary(path) => path,
        }
    }
}

/// Everything the experiments work with.
pub(super) struct Lab<'a> {
    model: &'a Model,
    pub(super) options: &'a PaperOptions,
    workload: Workload,
    pub(super) subjects: Vec<Subject>,
    devices: Vec<DeviceReport>,
    results: Results,
    progress: &'a mut dyn FnMut(Progress<'_>),
    /// Steps done, and those that each subject has.
    done: usize,
    steps: usize,
    watch: Watch,
    pub(super) findings: Findings,
}

impl<'a> Lab<'a> {
    pub(super) fn new(
        model: &'a Model,
        candidates: &[Candidate],
        options: &'a PaperOptions,
        (steps, progress): (usize, &'a mut dyn FnMut(Progress<'_>)),
    ) -> Result<Lab<'a>, BenchError> {
        let watch = Environment::watch();
        let workload = workload(model, options)?;
        let (subjects, devices) = prepare(model, candidates, options, &workload)?;
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

    /// The record of what was found.
    pub(super) fn finish(self) -> Record {
        let title = format!("The paper's experiments, embedded: {}", self.model.architecture());
        self.findings.record(
            ("paper", &title),
            ModelFacts::of(self.model),
            method(self.options, &self.workload),
            (self.watch, &self.devices),
        )
    }

    /// A job on the subject of this index.
    pub(super) fn job(&self, subject: usize, parallelism: usize) -> Job<'_> {
        Job {
            executable: &self.subjects[subject].executable,
            workload: &self.workload,
            parallelism,
            waiting: self.options.waiting,
            results: self.results.path(),
        }
    }

    /// Says what is done next.
    pub(super) fn step(&mut self, doing: &str) {
        let of = self.subjects.len() * self.steps;
        (self.progress)(Progress { done: self.done, of, doing });
        self.done += 1;
    }
}

fn workload(model: &Model, options: &PaperOptions) -> Result<Workload, BenchError> {
    match &options.rows {
        None => Ok(Workload::generated(model, options.plan.input)),
        Some(rows) => Workload::given(model, rows.clone()).ok_or_else(|| {
            let (inputs, values) = (model.inputs(), rows.len());
            Error::from(BackendError::WrongRowLength { inputs, values }).into()
        }),
    }
}

/// Loads the model on every device, and has all rows scored there once.
fn prepare(
    model: &Model,
    candidates: &[Candidate],
    options: &PaperOptions,
    workload: &Workload,
) -> Result<(Vec<Subject>, Vec<DeviceReport>), BenchError> {
    let (mut subjects, mut devices) = (Vec::<Subject>::new(), Vec::new());
    for candidate in candidates {
        let mut report = candidate.report().clone();
        if let Some(device) = candidate.opened() {
            let loaded = Plan::new(model, device.limits(), &options.plan)
                .map_err(Error::from)
                .and_then(|plan| device.load(plan).map_err(Error::from));
            match loaded.map_err(BenchError::from).and_then(|executable| {
                workload.check(&*executable)?;
                Ok(executable)
            }) {
                Ok(executable) => {
                    let name = name_of(report.backend, &subjects);
                    subjects.push(Subject { name, executable });
                }
                Err(BenchError::Failed(error)) => {
                    report = report.because(State::Failed, error.to_string());
                }
                Err(wrong) => return Err(wrong),
            }
        }
        devices.push(report);
    }
    if subjects.is_empty() {
        let said = devices.iter().find_map(|device| device.reason.clone());
        let reason = said.unwrap_or_else(|| String::from("there is no device"));
        return Err(BenchError::NoDevice { reason });
    }
    Ok((subjects, devices))
}

/// The backend's name, numbered from the second device of a backend on.
fn name_of(backend: &str, others: &[Subject]) -> String {
    let same =
        others.iter().filter(|other| other.executable.device().info().backend.name() == backend);
    match same.count() {
        0 => backend.to_owned(),
        others => format!("{backend}-{}", others + 1),
    }
}

fn method(options: &PaperOptions, workload: &Workload) -> Vec<Fact> {
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
        Fact::new("arrivals", "open loops: equal intervals; closed loops: 10 requests a second"),
        Fact::new("sink", results),
        Fact::new("answers", "every score held against double precision"),
    ]
}
