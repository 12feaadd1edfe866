//! What batches cost on a device, with nothing around it: no queue, no second thread.
//!
//! Two clocks run, each on an opening of the device of its own, because the second costs the first
//! something. The caller's covers one batch of one context, from rows in the device's own host
//! memory to scores in the host's: the round trip. The device's covers launches alone. Where a
//! device has a memory of its own, some contexts are kept busy in turn, and a pipeline is fed, too.
//! Beside all of these stand the ceilings of the device and of the way to it, measured in the same
//! process.

mod fed;
mod lines;
mod pattern;
mod record;
mod report;
mod roof;
mod taken;
mod trial;

use std::sync::Arc;
use std::time::Duration;

pub use report::{
    Achieved, Ceilings, InFlight, KernelCell, KernelMethod, KernelReport, PipelineCell,
};

use self::pattern::Pattern;
use self::taken::Taken;
use self::trial::Trial;
use super::compare::{Candidate, Progress, candidates};
use super::energy::Meter;
use super::images;
use super::machine::Machine;
use super::measure::Budget;
use super::record::Environment;
use super::report::{DeviceReport, ModelFacts, State, key_of};
use crate::Error;
use crate::backend::{Device, OpenOptions};
use crate::model::Model;
use crate::plan::PlanOptions;

/// Parts of a figure's time, one after the other: what records are compared by.
const ROUNDS: u32 = 5;

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct KernelOptions {
    /// Input type and precision.
    pub plan: PlanOptions,
    /// The batch sizes; those past what a device takes at once are left out.
    pub batches: Vec<usize>,
    /// The seed of the images.
    pub seed: u64,
    /// The time for one figure; each batch size has two or three of them.
    pub figure_time: Duration,
}

impl Default for KernelOptions {
    fn default() -> KernelOptions {
        KernelOptions {
            plan: PlanOptions::default(),
            batches: (0..=8).map(|power| 4_usize.pow(power)).collect(),
            seed: images::SEED,
            figure_time: Duration::from_millis(300),
        }
    }
}

/// A device, opened with its clock and without, or the reason why one cannot take part.
#[derive(Clone, Debug)]
pub struct Subject {
    plain: Candidate,
    timed: Option<Arc<dyn Device>>,
}

impl Subject {
    /// A device that takes part, and the same again with its clock.
    pub fn device(plain: Arc<dyn Device>, timed: Option<Arc<dyn Device>>) -> Subject {
        Subject { plain: Candidate::device(plain), timed }
    }

    /// What is known of it before it has run.
    pub fn candidate(&self) -> &Candidate {
        &self.plain
    }
}

/// Opens every device `wanted` allows, twice.
///
/// # Errors
/// As [`candidates`].
pub fn subjects(wanted: &OpenOptions) -> Result<Vec<Subject>, Error> {
    let opened = |timestamps| candidates(&OpenOptions { timestamps, ..wanted.clone() });
    let plain = opened(false)?;
    // The same findings in the same order. What cannot be opened with its clock has the caller's.
    let timed = opened(true).unwrap_or_default();
    let clock = |number: usize| timed.get(number).and_then(|it| it.opened().cloned());
    let pair = |(number, plain)| Subject { plain, timed: clock(number) };
    Ok(plain.into_iter().enumerate().map(pair).collect())
}

/// Checks and measures `model` on every subject that has a device. A device that fails is reported
/// as failed and the others go on.
///
/// # Errors
/// [`Error::Backend`] where there is no memory for a single row.
pub fn run(
    model: &Model,
    subjects: &[Subject],
    options: &KernelOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<KernelReport, Error> {
    let watch = Environment::watch();
    let pattern = Pattern::new(model, options);
    let budget = Budget { time: options.figure_time, ..Budget::default() };
    let opened = subjects.iter().filter(|subject| subject.plain.opened().is_some()).count();
    let of = opened * options.batches.len();
    let mut done = 0;
    let mut step = |doing: &str| {
        progress(Progress { done, of, doing });
        done += 1;
    };
    let (mut devices, mut found) = (Vec::<DeviceReport>::new(), Vec::<Taken>::new());
    let took_part = |state| matches!(state, State::Found | State::Failed);
    for Subject { plain, timed } in subjects {
        let mut report = plain.report().clone();
        if let Some(device) = plain.opened() {
            let before = devices.iter().filter(|device| took_part(device.state));
            let name = key_of(report.backend, before.map(|device| device.backend));
            let mut taken = Taken { name, ..Taken::default() };
            let timed = timed.as_deref();
            let meter = Meter::open(device.info());
            let (pattern, device) = (&pattern, &**device);
            let mut trial = Trial { pattern, options, budget, device, timed, meter };
            if let Err(error) = trial.run(&mut report, &mut taken, &mut step) {
                report = report.refused(&error, opened == 1);
            }
            found.push(taken);
        }
        devices.push(report);
    }
    let (facts, method) = (ModelFacts::of(model), KernelMethod::of(options, pattern.count()));
    let record = record::of(&facts, &method, &found, (watch, &devices));
    let cells = found.iter().flat_map(|taken| &taken.cells);
    Ok(KernelReport {
        model: facts,
        machine: Machine::here(),
        method,
        results: cells.map(|taken| taken.cell.clone()).collect(),
        pipelines: found.iter().filter_map(|taken| taken.pipeline.clone()).collect(),
        devices,
        record,
    })
}

#[cfg(test)]
mod tests {
    use super::super::power;
    use super::super::tests::counter;
    use super::*;
    use crate::InputType;
    use crate::backend::cpu;
    use crate::backend::fake::FakeDevice;
    use crate::model::{Activation, Dense};

    fn model() -> Model {
        let layer = |inputs: usize, outputs: usize| {
            let weight = (0..inputs * outputs).map(|i| (i % 7) as f32 - 3.0).collect();
            Dense::new(inputs, outputs, weight, None, Activation::Relu).unwrap()
        };
        Model::from_layers(vec![layer(16, 8), layer(8, 3)]).unwrap()
    }

    fn quick(input: InputType) -> KernelOptions {
        KernelOptions {
            plan: PlanOptions { input, ..PlanOptions::default() },
            batches: vec![1, 4, 1500],
            figure_time: Duration::from_millis(2),
            ..KernelOptions::default()
        }
    }

    #[test]
    fn every_batch_size_is_checked_and_measured_by_both_clocks() {
        for input in [InputType::F32, InputType::U8] {
            let subjects = [Subject::device(cpu::open(), None)];
            let mut steps = Vec::new();
            let mut seen = |progress: Progress<'_>| steps.push((progress.done, progress.of));
            let report = run(&model(), &subjects, &quick(input), &mut seen).unwrap();
            assert!(report.is_sound(), "{report:?}");
            assert_eq!(steps, [(0, 3), (1, 3), (2, 3)]);
            let cells = &report.results;
            assert_eq!(cells.iter().map(|cell| cell.batch).collect::<Vec<_>>(), [1, 4, 1500]);
            for cell in cells {
                let achieved = &cell.achieved;
                assert_eq!((achieved.clock, cell.link_share), ("caller", None));
                assert!(achieved.memory_share.unwrap() > 0.0 && achieved.bytes_per_s > 0.0);
                assert!(achieved.flops_share.unwrap() > 0.0);
            }
        }
    }

    #[test]
    fn the_record_has_the_rounds_behind_every_figure() {
        let device = cpu::open();
        let subjects = [Subject::device(device.clone(), None), Subject::device(device, None)];
        let report = run(&model(), &subjects, &quick(InputType::F32), &mut |_| {}).unwrap();
        let record = &report.record;
        let keys: Vec<&str> = record.figures.iter().map(|figure| figure.key.as_str()).collect();
        let expected = ["cpu", "cpu-2"].map(|name| {
            [1, 4, 1500].map(|batch| {
                ["p50_us", "p99_us"].map(|times| format!("{name}.batch={batch}.trip.{times}"))
            })
        });
        assert_eq!(keys, expected.as_flattened().as_flattened());
        for (figure, cell) in record.figures.iter().step_by(2).zip(&report.results) {
            // Where the machine pauses for longer than all of a figure's time, there are fewer.
            assert!((1..=ROUNDS as usize).contains(&figure.rounds.len()), "{figure:?}");
            let (low, high) = figure.range().unwrap();
            let median = cell.measurement.p50_us;
            assert!((low..=high).contains(&median), "{median} in {figure:?}");
        }
        let batches: Vec<_> = record.histograms.iter().map(|it| it.times.count()).collect();
        let cells: Vec<_> = report.results.iter().map(|cell| cell.measurement.batches).collect();
        assert_eq!(batches, cells);
        assert!(record.sections[0].text.iter().all(|line| line.contains("rows/s in batches of")));
    }

    #[test]
    fn a_device_that_fails_or_answers_wrongly_is_found() {
        let failing = FakeDevice::new(*cpu::open().limits());
        failing.run_out_of_memory_after(0);
        let subjects = [Subject::device(Arc::new(failing), None)];
        let report = run(&model(), &subjects, &quick(InputType::F32), &mut |_| {}).unwrap();
        assert_eq!((report.devices[0].state, report.is_sound()), (State::Failed, false));

        let wrong = model().with_u8_scale(0.9 / 255.0).unwrap();
        let options = quick(InputType::U8);
        let right = model();
        let mut pattern = Pattern::new(&right, &options);
        pattern.model = &wrong;
        let device = cpu::open();
        let mut trial = trial(&pattern, &options, &*device);
        let mut about = super::super::report::DeviceReport::found(device.info());
        let mut found = Taken::default();
        trial.run(&mut about, &mut found, &mut |_| {}).unwrap();
        let mut report = run(&right, &[], &options, &mut |_| {}).unwrap();
        report.results = found.cells.into_iter().map(|taken| taken.cell).collect();
        assert!(!about.agreement.unwrap().agrees && !report.is_sound());
        assert!(report.results.len() == 3 && report.results.iter().all(|cell| !cell.agrees));
    }

    fn trial<'a>(
        pattern: &'a Pattern<'a>,
        options: &'a KernelOptions,
        device: &'a dyn Device,
    ) -> Trial<'a> {
        let budget = Budget { time: Duration::ZERO, batches_min: 1 };
        let meter = Meter::of_packages("no such folder".as_ref());
        Trial { pattern, options, budget, device, timed: None, meter }
    }

    #[test]
    fn energy_is_that_of_the_round_trips_where_it_can_be_read() {
        let (model, options, device) = (model(), quick(InputType::F32), cpu::open());
        let pattern = Pattern::new(&model, &options);
        let mut found = Taken::default();
        counter::moving(|folder| {
            let mut trial = trial(&pattern, &options, &*device);
            trial.budget.time = Duration::from_millis(60);
            trial.meter = Meter::of_packages(folder);
            let mut about = DeviceReport::found(device.info());
            trial.run(&mut about, &mut found, &mut |_| {}).unwrap();
        });
        assert_eq!(found.energy, None);
        for taken in &found.cells {
            let (energy, cell) = (taken.cell.energy.unwrap(), &taken.cell);
            assert_eq!(energy.covers, "packages");
            let per_s = energy.row_j * cell.measurement.rows_per_s;
            assert!(energy.row_j > 0.0 && (per_s / energy.power_w - 1.0).abs() < 1e-6, "{cell:?}");
        }
        let drawn = power::section(&[found.used()]);
        assert_eq!((drawn.charts.len(), drawn.tables[0].rows.len()), (2, 3));

        let (mut found, mut about) = (Taken::default(), DeviceReport::found(device.info()));
        trial(&pattern, &options, &*device).run(&mut about, &mut found, &mut |_| {}).unwrap();
        assert!(found.cells.iter().all(|taken| taken.cell.energy.is_none()));
        let said = power::section(&[found.used()]);
        assert!(said.charts.is_empty() && said.text[1].contains("no such folder"), "{said:?}");
    }

    #[test]
    fn batches_past_what_a_device_takes_are_left_out() {
        let limits = crate::Limits { buffer_bytes_max: 16 * 4 * 100, ..*cpu::open().limits() };
        let small = Arc::new(FakeDevice::new(limits));
        let subjects = [Subject::device(small.clone(), Some(small))];
        let report = run(&model(), &subjects, &quick(InputType::F32), &mut |_| {}).unwrap();
        let batches: Vec<_> = report.results.iter().map(|cell| cell.batch).collect();
        assert_eq!((batches, report.is_sound()), (vec![1, 4], true));
    }
}
