//! Devices with the model on them, and what was measured of each.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::super::agreement::Agreement;
use super::super::energy::{Energy, Meter, NoEnergy};
use super::super::load::Durations;
use super::super::measure::Measurement;
use super::super::report::{DeviceReport, key_of};
use super::candidates::Candidate;
use super::workload::Workload;
use crate::Error;
use crate::backend::{Device, Executable};
use crate::plan::{Peak, Plan, PlanOptions};

/// A device with the model on it.
pub(super) struct Subject {
    /// The backend, with a number from the second device of a backend on.
    pub(super) key: String,
    pub(super) executable: Arc<dyn Executable>,
    /// What counts its energy, or why nothing does.
    pub(super) meter: Result<RefCell<Meter>, NoEnergy>,
    /// Its place among the candidates.
    pub(super) place: usize,
    /// How right it was until now.
    pub(super) agreement: Agreement,
    /// Why it is measured no more.
    pub(super) failed: Option<Error>,
    /// One entry per batch size, in the order they were measured.
    pub(super) taken: Vec<Taken>,
}

/// A device at one batch size.
pub(super) struct Taken {
    pub(super) batch: usize,
    pub(super) rounds: Vec<Round>,
    pub(super) agreement: Agreement,
    pub(super) peak: Option<Peak>,
}

/// A round: a window of time in which one device ran batches, and no other did.
pub(super) struct Round {
    pub(super) times: Durations,
    /// From the first batch's start to the last one's end.
    pub(super) together: Duration,
    /// The energy it took, where that was told.
    pub(super) energy: Option<Energy>,
}

impl Subject {
    fn backend(&self) -> &'static str {
        self.executable.device().info().backend.name()
    }

    /// The total that its meter tells, in joules, where it does.
    pub(super) fn joules(&self) -> Option<f64> {
        self.meter.as_ref().ok()?.borrow_mut().joules().ok()
    }

    /// What its meter told, where it moved by so many joules.
    pub(super) fn energy(&self, joules: f64, rows: u64, time: Duration) -> Option<Energy> {
        self.meter.as_ref().ok()?.borrow().energy(joules, rows, time)
    }

    /// Why no energy is told of rounds of this length, where none is.
    pub(super) fn no_energy(&self, round: Duration) -> Option<String> {
        match &self.meter {
            Ok(meter) => meter.borrow().why_not(round),
            Err(reason) => Some(reason.to_string()),
        }
    }
}

impl Taken {
    /// The figures of all rounds.
    pub(super) fn measurement(&self) -> Measurement {
        let (mut times, mut together) = (Durations::default(), Duration::ZERO);
        for round in &self.rounds {
            times.merge(&round.times);
            together += round.together;
        }
        Measurement::of(times.histogram(), self.batch, together)
    }

    /// The energy of all rounds, where it was told: as much a row as in their median.
    pub(super) fn energy(&self) -> Option<Energy> {
        let mut told: Vec<Energy> = self.rounds.iter().filter_map(|round| round.energy).collect();
        told.sort_by(|a, b| a.row_j.total_cmp(&b.row_j));
        told.get(told.len().checked_sub(1)? / 2).copied()
    }

    /// Each round's figures.
    pub(super) fn by_round(&self) -> impl Iterator<Item = Measurement> {
        let of =
            |round: &Round| Measurement::of(round.times.histogram(), self.batch, round.together);
        self.rounds.iter().map(of)
    }
}

/// Loads the model on every candidate that has a device, and checks it there. What became of each
/// candidate is in its report; those that work are subjects.
pub(super) fn prepare(
    workload: &Workload<'_>,
    candidates: &[Candidate],
    options: &PlanOptions,
) -> (Vec<Subject>, Vec<DeviceReport>) {
    let (mut subjects, mut devices) = (Vec::<Subject>::new(), Vec::new());
    let is_alone = candidates.iter().filter(|candidate| candidate.takes_part()).count() == 1;
    for (place, candidate) in candidates.iter().enumerate() {
        let mut report = candidate.report().clone();
        if let Some(device) = candidate.opened() {
            match load(&**device, workload, options, &mut report) {
                Ok((executable, agreement)) => subjects.push(Subject {
                    key: key_of(report.backend, subjects.iter().map(Subject::backend)),
                    executable,
                    meter: Meter::open(device.info()).map(RefCell::new),
                    place,
                    agreement,
                    failed: None,
                    taken: Vec::new(),
                }),
                Err(error) => report = report.refused(&error, is_alone),
            }
        }
        devices.push(report);
    }
    (subjects, devices)
}

fn load(
    device: &dyn Device,
    workload: &Workload<'_>,
    options: &PlanOptions,
    report: &mut DeviceReport,
) -> Result<(Arc<dyn Executable>, Agreement), Error> {
    let plan = Plan::new(workload.model, device.limits(), options)?;
    report.plan = Some(plan.to_string());
    let executable = device.load(plan)?;
    report.kernels = executable.kernels();
    let agreement = workload.check(&*executable, workload.rows_checked)?;
    Ok((executable, agreement))
}
