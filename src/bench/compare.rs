//! The whole experiment: every device that is there, checked against the oracle, then measured.

use std::sync::Arc;
use std::time::Duration;

use super::agreement;
use super::images::{self, OwnedRows};
use super::machine::Machine;
use super::measure::{Budget, measure};
use super::report::{Cell, DeviceReport, Method, ModelFacts, Report, State};
use crate::Error;
use crate::backend::{
    self, BackendError, BackendKind, Device, Executable, Finding, OpenOptions, cpu,
};
use crate::model::Model;
use crate::plan::{InputType, Plan, PlanOptions};

/// Rows the measured batches walk through, where memory allows.
pub(super) const ROWS_WALKED: usize = 4096;
/// The most memory generated rows may take; batches that need more are left out.
const ROWS_BYTES_MAX: usize = 256 << 20;
/// Multiplications the oracle may spend, so that a large model is checked on fewer rows.
pub(super) const ORACLE_PRODUCTS_MAX: usize = 2_000_000_000;
/// The time all figures together may take.
const TOTAL_TIME: Duration = Duration::from_secs(40);

/// What to compare, and for how long.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Input type and precision.
    pub plan: PlanOptions,
    /// The batch sizes.
    pub batches: Vec<usize>,
    /// Generated images to compare with the oracle, fewer where the model is large.
    pub rows_checked: usize,
    /// The seed of the images.
    pub seed: u64,
    /// The longest time for one figure; less where there are many.
    pub cell_time: Duration,
}

impl Default for CompareOptions {
    fn default() -> CompareOptions {
        CompareOptions {
            plan: PlanOptions::default(),
            batches: vec![1, 8, 64, 256, 1024],
            rows_checked: 1000,
            seed: images::SEED,
            cell_time: Duration::from_secs(1),
        }
    }
}

/// One device to compare, or the reason why one cannot take part.
#[derive(Clone, Debug)]
pub struct Candidate {
    report: DeviceReport,
    device: Option<Arc<dyn Device>>,
}

impl Candidate {
    /// A device that takes part.
    pub fn device(device: Arc<dyn Device>) -> Candidate {
        Candidate { report: DeviceReport::found(device.info()), device: Some(device) }
    }

    /// What is known of it before it has run.
    pub fn report(&self) -> &DeviceReport {
        &self.report
    }

    /// Whether it has a device that was opened.
    pub fn takes_part(&self) -> bool {
        self.device.is_some()
    }

    /// The device, where it takes part.
    pub(super) fn opened(&self) -> Option<&Arc<dyn Device>> {
        self.device.as_ref()
    }

    fn of(finding: &Finding, wanted: &OpenOptions) -> Candidate {
        let report = DeviceReport::of(finding);
        let Finding::Found(info) = finding else {
            return Candidate { report, device: None };
        };
        if info.software && !wanted.software {
            let reason = "a software adapter, fit for tests and not for speed; --software runs it";
            return Candidate { report: report.because(State::LeftOut, reason), device: None };
        }
        let this = OpenOptions {
            backend: info.backend,
            adapter: Some(info.name.clone()),
            software: wanted.software,
            timestamps: wanted.timestamps,
            // The others have nothing like it.
            persistent: wanted.persistent && info.backend == BackendKind::Cuda,
            ..OpenOptions::default()
        };
        match backend::open_with(&this) {
            Ok(device) => Candidate { report, device: Some(device) },
            Err(error) => {
                Candidate { report: report.because(State::Failed, error.to_string()), device: None }
            }
        }
    }
}

/// Opens every device `wanted` allows, once per name, and says of the others why they are out.
///
/// # Errors
/// [`Error::Backend`] where one backend or adapter was asked for and it is not there.
pub fn candidates(wanted: &OpenOptions) -> Result<Vec<Candidate>, Error> {
    if wanted.backend != BackendKind::Auto || wanted.adapter.is_some() || wanted.device.is_some() {
        return Ok(vec![Candidate::device(backend::open_with(wanted)?)]);
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for finding in backend::survey() {
        let report = DeviceReport::of(&finding);
        let same = |seen: &Candidate| {
            (seen.report.backend, &seen.report.name) == (report.backend, &report.name)
        };
        // One card seen through two graphics APIs opens as the same adapter both times.
        if report.state == State::Missing || !candidates.iter().any(same) {
            candidates.push(Candidate::of(&finding, wanted));
        }
    }
    Ok(candidates)
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
) -> Result<Report, Error> {
    let workload = Workload::new(model, options)?;
    let devices = candidates.iter().filter(|candidate| candidate.device.is_some()).count();
    let cells = devices * options.batches.len();
    let cell_time = options.cell_time.min(TOTAL_TIME / cells.max(1) as u32);
    let mut done = 0;
    let mut step = |doing: &str| {
        progress(Progress { done, of: cells, doing });
        done += 1;
    };
    let mut report = Report {
        model: ModelFacts::of(model),
        machine: Machine::here(),
        method: method(options, &workload, cell_time),
        devices: Vec::new(),
        results: Vec::new(),
    };
    for candidate in candidates {
        let mut device_report = candidate.report.clone();
        if let Some(device) = &candidate.device {
            let mut trial = Trial { device: &**device, workload: &workload, cell_time };
            let outcome = trial.run(options, &mut device_report, &mut report.results, &mut step);
            match outcome {
                Ok(()) => {}
                // Of all devices there are, those with kernels for the precision take part.
                Err(Error::Backend(error @ BackendError::NoKernels { .. })) if devices > 1 => {
                    device_report = device_report.because(State::LeftOut, error.to_string());
                }
                Err(error) => {
                    device_report = device_report.because(State::Failed, error.to_string());
                }
            }
        }
        report.devices.push(device_report);
    }
    Ok(report)
}

fn method(options: &CompareOptions, workload: &Workload<'_>, cell_time: Duration) -> Method {
    Method {
        load: "closed",
        clock: "one call of Executable::run, rows and scores in host memory",
        input: options.plan.input.name(),
        precision: options.plan.precision.name(),
        rows_checked: workload.rows_checked,
        seed: options.seed,
        cell_s: cell_time.as_secs_f64(),
    }
}

/// Rows that so many bytes hold, at least one.
pub(super) fn rows_that_fit(model: &Model, input: InputType, bytes: usize) -> usize {
    (bytes / (model.inputs() * input.bytes())).max(1)
}

/// The rows every device gets, and the scores of the first of them.
struct Workload<'a> {
    model: &'a Model,
    rows: OwnedRows,
    rows_checked: usize,
    expected: Vec<f64>,
}

impl<'a> Workload<'a> {
    fn new(model: &'a Model, options: &CompareOptions) -> Result<Workload<'a>, Error> {
        let fitting = rows_that_fit(model, options.plan.input, ROWS_BYTES_MAX);
        let largest = options.batches.iter().copied().max().unwrap_or(1);
        if largest > fitting || options.batches.contains(&0) {
            let rows = if largest > fitting { largest } else { 0 };
            return Err(backend::BackendError::BatchSize { rows_max: fitting, rows }.into());
        }
        let affordable = agreement::rows_affordable(model, ORACLE_PRODUCTS_MAX);
        let rows_checked = options.rows_checked.clamp(1, affordable).min(fitting);
        let count = ROWS_WALKED.min(fitting).max(largest).max(rows_checked);
        let pixels = images::pixels(count, model.inputs(), options.seed);
        let rows = OwnedRows::from_pixels(pixels, options.plan.input, model.u8_scale());
        let checked = rows.as_rows().slice(0..rows_checked, model.inputs());
        let expected = cpu::oracle(model, checked);
        Ok(Workload { model, rows, rows_checked, expected })
    }
}

/// One device at work.
struct Trial<'a> {
    device: &'a dyn Device,
    workload: &'a Workload<'a>,
    cell_time: Duration,
}

impl Trial<'_> {
    fn run(
        &mut self,
        options: &CompareOptions,
        report: &mut DeviceReport,
        results: &mut Vec<Cell>,
        step: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let plan = Plan::new(self.workload.model, self.device.limits(), &options.plan)?;
        report.plan = Some(plan.to_string());
        let executable = self.device.load(plan)?;
        let mut agreement = self.check(&*executable, self.workload.rows_checked)?;
        report.agreement = Some(agreement);
        for batch in &options.batches {
            step(&format!("{} {}, batch {batch}", report.backend, self.device.info().name));
            agreement = agreement.and(self.check(&*executable, *batch)?);
            report.agreement = Some(agreement);
            results.push(self.measure(&*executable, *batch, agreement)?);
        }
        Ok(())
    }

    /// Compares the first `rows` rows, as one batch, with the oracle; at most those it has scored.
    fn check(
        &self,
        executable: &dyn Executable,
        rows: usize,
    ) -> Result<agreement::Agreement, Error> {
        let (model, count) = (self.workload.model, rows.min(self.workload.rows_checked));
        let rows = self.workload.rows.as_rows().slice(0..count, model.inputs());
        agreement::check(executable, rows, &self.workload.expected[..count * model.classes()])
    }

    fn measure(
        &self,
        executable: &dyn Executable,
        batch: usize,
        agreement: agreement::Agreement,
    ) -> Result<Cell, Error> {
        let budget = Budget { time: self.cell_time, ..Budget::default() };
        let measurement = measure(executable, self.workload.rows.as_rows(), batch, &budget)?;
        let info = self.device.info();
        Ok(Cell {
            backend: info.backend.name(),
            device: info.name.clone(),
            software: info.software,
            batch,
            measurement,
            max_abs_error: agreement.max_abs_error,
            agrees: agreement.agrees,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::FakeDevice;
    use crate::model::{Activation, Dense};

    fn model() -> Model {
        let layer = |inputs: usize, outputs: usize| {
            let weight = (0..inputs * outputs).map(|i| (i % 7) as f32 - 3.0).collect();
            Dense::new(inputs, outputs, weight, None, Activation::Relu).unwrap()
        };
        Model::from_layers(vec![layer(16, 8), layer(8, 3)]).unwrap()
    }

    fn quick() -> CompareOptions {
        CompareOptions {
            batches: vec![1, 4],
            rows_checked: 10,
            cell_time: Duration::from_millis(2),
            ..CompareOptions::default()
        }
    }

    #[test]
    fn every_device_is_checked_and_measured_at_every_batch_size() {
        let candidates = [Candidate::device(cpu::open())];
        let mut steps = Vec::new();
        let mut seen = |progress: Progress<'_>| steps.push((progress.done, progress.of));
        let report = compare(&model(), &candidates, &quick(), &mut seen).unwrap();
        assert!(report.is_sound());
        assert_eq!(steps, [(0, 2), (1, 2)]);
        assert_eq!(report.batches(), [1, 4]);
        assert_eq!(report.fastest(4).unwrap().backend, "cpu");
        assert_eq!(report.devices[0].agreement.unwrap().rows, 10);
        assert_eq!(report.to_csv().lines().count(), 3);
    }

    #[test]
    fn a_device_that_fails_is_reported_and_the_others_go_on() {
        let fake = FakeDevice::new(*cpu::open().limits());
        fake.run_out_of_memory_after(0);
        let candidates = [Candidate::device(Arc::new(fake)), Candidate::device(cpu::open())];
        let report = compare(&model(), &candidates, &quick(), &mut |_| {}).unwrap();
        assert!(!report.is_sound());
        assert_eq!(report.devices[0].state, State::Failed);
        assert_eq!(report.devices[1].state, State::Found);
        assert_eq!(report.results.len(), 2);
    }

    #[test]
    fn wrong_scores_are_found() {
        let right = model();
        let wrong = right.clone().with_u8_scale(0.9 / 255.0).unwrap();
        let options = CompareOptions {
            plan: PlanOptions { input: InputType::U8, ..PlanOptions::default() },
            ..quick()
        };
        let mut workload = Workload::new(&right, &options).unwrap();
        workload.model = &wrong;
        let device = cpu::open();
        let mut trial =
            Trial { device: &*device, workload: &workload, cell_time: options.cell_time };
        let mut report = DeviceReport::found(device.info());
        let mut results = Vec::new();
        trial.run(&options, &mut report, &mut results, &mut |_| {}).unwrap();
        assert!(!report.agreement.unwrap().agrees);
        assert!(results.iter().all(|cell| !cell.agrees));
    }

    #[test]
    fn batches_that_memory_does_not_allow_are_refused() {
        for batch in [0, usize::MAX] {
            let options = CompareOptions { batches: vec![batch], ..quick() };
            assert!(compare(&model(), &[], &options, &mut |_| {}).is_err());
        }
    }
}
