//! Devices that take turns at one batch size.

use std::time::{Duration, Instant};

use super::super::agreement::Agreement;
use super::super::load::Durations;
use super::super::measure::{Budget, Walk};
use super::CompareOptions;
use super::subjects::{Round, Subject, Taken};
use super::workload::Workload;
use crate::Error;
use crate::backend::BackendError;

/// The time all figures together may take.
const TOTAL_TIME: Duration = Duration::from_secs(40);
/// The most rounds that it is divided into.
const ROUNDS_MAX: usize = 1000;
/// A device is warmed up again at each of its turns where a round had so many batches: where it had
/// fewer, that would take as long as the round.
const BATCHES_TO_WARM_UP: u64 = 10;

/// How long turns are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The time of all rounds of a device at a batch size.
    pub(super) cell: Duration,
    pub(super) rounds: usize,
}

impl Pace {
    /// The pace at which so many cells are measured in time.
    pub(super) fn of(options: &CompareOptions, cells: usize) -> Pace {
        let cell = options.cell_time.min(TOTAL_TIME / cells.max(1) as u32);
        Pace { cell, rounds: options.rounds.clamp(1, ROUNDS_MAX) }
    }

    /// The time of a round.
    pub(super) fn round_time(&self) -> Duration {
        self.cell / self.rounds as u32
    }

    fn round(&self) -> Budget {
        Budget { time: self.round_time(), batches_min: 1 }
    }

    fn first_warm_up(&self) -> Budget {
        Budget { time: self.cell, ..Budget::default() }.warm_up()
    }

    /// Whether slow batches have taken so long that there are no more rounds of them.
    fn is_spent(&self, measured: Duration) -> bool {
        measured > 3 * self.cell
    }
}

/// Measures every subject that has not failed, in turns; each round begins with another of them.
/// What became of each comes with its index. `tell` hears of every turn: of how many subjects the
/// time is over, and what is done now.
pub(super) fn take(
    subjects: &[Subject],
    workload: &Workload<'_>,
    (batch, pace): (usize, &Pace),
    tell: &mut dyn FnMut(usize, &str),
) -> Vec<(usize, Result<Taken, Error>)> {
    let alive = subjects.iter().enumerate().filter(|(_, subject)| subject.failed.is_none());
    let begin = |(index, subject)| {
        tell(0, &doing(subject, batch));
        (index, Lane::begin(subject, workload, batch))
    };
    let mut lanes: Vec<(usize, Result<Lane<'_>, Error>)> = alive.map(begin).collect();
    let count = lanes.len();
    for turn in 0..pace.rounds * count {
        let round = turn / count;
        let (index, lane) = &mut lanes[(turn + round) % count];
        let Ok(running) = lane else { continue };
        let what = doing(&subjects[*index], batch);
        tell(turn / pace.rounds, &format!("{what}, round {} of {}", round + 1, pace.rounds));
        if let Err(error) = running.go(pace) {
            *lane = Err(error.into());
        }
    }
    let finish = |(index, lane): (usize, Result<Lane<'_>, Error>)| {
        (index, lane.and_then(|lane| lane.finish(workload)))
    };
    lanes.into_iter().map(finish).collect()
}

fn doing(subject: &Subject, batch: usize) -> String {
    let info = subject.executable.device().info();
    format!("{} {}, batch {batch}", info.backend.name(), info.name)
}

/// A device between two turns.
struct Lane<'a> {
    subject: &'a Subject,
    batch: usize,
    walk: Walk<'a>,
    agreement: Agreement,
    rounds: Vec<Round>,
    /// What the rounds took.
    measured: Duration,
}

impl<'a> Lane<'a> {
    fn begin(
        subject: &'a Subject,
        workload: &'a Workload<'_>,
        batch: usize,
    ) -> Result<Lane<'a>, Error> {
        let executable = &*subject.executable;
        let agreement = subject.agreement.and(workload.check(executable, batch)?);
        let walk = Walk::new(executable, workload.rows.as_rows(), batch)?;
        let (rounds, measured) = (Vec::new(), Duration::ZERO);
        Ok(Lane { subject, batch, walk, agreement, rounds, measured })
    }

    /// One round.
    fn go(&mut self, pace: &Pace) -> Result<(), BackendError> {
        if pace.is_spent(self.measured) {
            return Ok(());
        }
        let (budget, walk) = (pace.round(), &mut self.walk);
        match self.rounds.last().map(|last| last.times.count()) {
            None => _ = pace.first_warm_up().spend(|| walk.run_next())?,
            Some(BATCHES_TO_WARM_UP..) => _ = budget.warm_up().spend(|| walk.run_next())?,
            Some(_) => {}
        }
        let mut times = Durations::default();
        let before = self.subject.joules();
        let together = budget.spend(|| {
            let begun = Instant::now();
            walk.run_next()?;
            times.add(begun.elapsed());
            Ok::<_, BackendError>(())
        })?;
        let joules = self.subject.joules().zip(before).map(|(after, before)| after - before);
        let rows = times.count() * self.batch as u64;
        let energy = joules.and_then(|joules| self.subject.energy(joules, rows, together));
        self.measured += together;
        self.rounds.push(Round { times, together, energy });
        Ok(())
    }

    /// Checks the device once more, and asks it for its ceilings.
    fn finish(self, workload: &Workload<'_>) -> Result<Taken, Error> {
        let executable = &*self.subject.executable;
        let agreement = self.agreement.and(workload.check(executable, self.batch)?);
        let peak = executable.device().peak(executable.plan().cost().bytes(self.batch));
        Ok(Taken { batch: self.batch, rounds: self.rounds, agreement, peak })
    }
}
