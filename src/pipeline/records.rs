//! What is written into the ring about a request and about its answers, and how rows are answered
//! that are not run.

#![allow(unsafe_code)]

use std::time::Duration;

use super::super::model::ContentHash;
use super::super::plan::Precision;
use super::clock::NEVER;
use super::gauges::SharedTally;
use super::ring::{Answered, Ring};
use super::waiter::Waiter;

/// The ring as the pipeline uses it.
pub(crate) type Rows = Ring<Request, Answer>;

/// What a producer says about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) submitted_ns: u64,
    /// [`NEVER`] where there is none.
    pub(crate) deadline_ns: u64,
}

impl Default for Request {
    fn default() -> Request {
        Request { submitted_ns: 0, deadline_ns: NEVER }
    }
}

/// How a row ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has scores.
    #[default]
    Completed,
    /// Its deadline passed before a device was free.
    Expired,
    /// Its ticket was dropped before it was run.
    Cancelled,
    /// No backend could run it.
    Failed,
    /// The pipeline was shut down before it was run.
    ShutDown,
}

/// What is known about a row once it is answered; the rest only where it has scores.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    /// The backend's number.
    pub(crate) backend: u8,
    pub(crate) precision: Precision,
    pub(crate) version: u64,
    pub(crate) hash: Option<ContentHash>,
    pub(crate) times: Times,
}

/// Where the time of a row went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// From submission until a batch took the row.
    pub queue: Duration,
    /// Forming the batch and handing it to the device.
    pub input: Duration,
    /// From there until the device was done. Where it computes while it is handed the batch, as a
    /// processor does, this is that.
    pub compute: Duration,
    /// Copying the scores out.
    pub output: Duration,
}

impl Times {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.queue + self.input + self.compute + self.output
    }
}

/// What is left to do, outside all locks, after rows were answered: nobody is woken before all of
/// a batch are.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    pub(crate) wake: Vec<Waiter>,
    /// Rows that became free.
    pub(crate) freed: u32,
}

impl Aftermath {
    /// Takes what came of answering a row, and tells whether its ticket was gone.
    pub(crate) fn add(&mut self, answered: Answered) -> bool {
        self.freed += answered.freed;
        self.wake.extend(answered.waiter);
        answered.abandoned
    }
}

/// Answers `count` rows of a request, from `row` on, without running them.
///
/// # Safety
/// The caller holds them, taken and not answered yet.
pub(crate) unsafe fn turn_away(
    ring: &Rows,
    tally: &SharedTally,
    (row, count): (u32, u32),
    outcome: Outcome,
    aftermath: &mut Aftermath,
) {
    let mut row = row;
    for _ in 0..count {
        // SAFETY: the row is held, and not answered before the next line.
        let next = unsafe { ring.next_of(row) };
        let write = |answer: &mut Answer| *answer = Answer { outcome, ..Answer::default() };
        // SAFETY: the row is held, and answered this once.
        let abandoned = aftermath.add(unsafe { ring.answer(row, write) });
        match outcome {
            _ if abandoned => tally.cancelled(1),
            Outcome::Expired => tally.expired(1),
            Outcome::Failed => tally.failed(1),
            Outcome::ShutDown => tally.shut_down(1),
            Outcome::Cancelled | Outcome::Completed => tally.cancelled(1),
        }
        row = next;
    }
}
