//! A batch in flight, and the question of who may answer it.
//!
//! The worker that submitted a batch owns it until it *lands*. Whoever finds it overdue may
//! *revoke* it first: its rows then run again elsewhere, and when the worker comes back from
//! wherever it was stuck, it finds that the batch is no longer its own. Both happen under one lock,
//! so exactly one of them answers the rows. Where the worker was stuck handing the rows over, it
//! may still read them: each is held until it came back.
//!
//! A device that reads rows where they lie reads them until its batch has completed, and those of
//! a revoked batch may be freed, claimed and written anew meanwhile. What it makes of them is
//! nobody's answer any more, and the block they lie in is the device's to keep.

use super::super::sync::{Mutex, lock, planted};
use super::ring::Ring;

/// Rows that run together.
#[derive(Clone, Debug)]
pub(crate) struct Batch<G> {
    /// Row numbers, in the order of the scores.
    pub(crate) rows: Vec<u32>,
    /// Spans of neighbouring rows that they are.
    pub(crate) pieces: usize,
    /// Which weights they run with.
    pub(crate) generation: G,
    /// How often they were tried before.
    pub(crate) tried: u32,
    /// When the batch was formed.
    pub(crate) formed_ns: u64,
}

impl<G> Batch<G> {
    /// Adds a row.
    pub(crate) fn push(&mut self, row: u32) {
        let follows = self.rows.last().is_some_and(|last| last + 1 == row);
        self.pieces += usize::from(!follows);
        self.rows.push(row);
    }
}

/// The place of one batch in flight: one for each context.
#[derive(Debug)]
pub(crate) struct Flight<G> {
    state: Mutex<State<G>>,
}

#[derive(Debug)]
struct State<G> {
    status: Status,
    /// `None` where nothing is in flight.
    batch: Option<Batch<G>>,
    deadline_ns: u64,
    /// When somebody found it overdue for the first time.
    suspect_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nothing is in flight.
    Idle,
    /// The rows are being handed over, and read.
    Submitting,
    /// The rows were handed over, and no call of the worker's reads them any more.
    Submitted,
    /// Taken from its worker, which was not reading the rows.
    Revoked,
    /// Taken from its worker while it may have been reading the rows.
    RevokedHeld,
}

impl<G: Clone> Flight<G> {
    pub(crate) fn new() -> Flight<G> {
        Flight {
            state: Mutex::new(State {
                status: Status::Idle,
                batch: None,
                deadline_ns: 0,
                suspect_ns: None,
            }),
        }
    }

    /// The worker is about to hand the batch over.
    pub(crate) fn take_off(&self, batch: Batch<G>, deadline_ns: u64) {
        let mut state = lock(&self.state);
        debug_assert_eq!(state.status, Status::Idle, "one batch in flight");
        *state =
            State { status: Status::Submitting, batch: Some(batch), deadline_ns, suspect_ns: None };
    }

    /// The worker has handed the batch over, or failed to: it reads the rows no more. Returns
    /// whether the batch is still its own, and the rows freed by its reading no more.
    pub(crate) fn handed_over<Q, A>(&self, ring: &Ring<Q, A>) -> (bool, u32) {
        let mut state = lock(&self.state);
        match state.status {
            Status::Submitting => {
                state.status = Status::Submitted;
                (true, 0)
            }
            Status::RevokedHeld => {
                state.status = Status::Revoked;
                let rows = state.batch.as_ref().map_or(&[][..], |batch| &batch.rows);
                (false, rows.iter().map(|row| ring.unhold(*row)).sum())
            }
            _ => (false, 0),
        }
    }

    /// Takes the batch out, for whoever is to answer it; `None` where it was revoked.
    pub(crate) fn land(&self) -> Option<Batch<G>> {
        let mut state = lock(&self.state);
        let owned = matches!(state.status, Status::Submitting | Status::Submitted);
        let batch = state.batch.take();
        state.status = Status::Idle;
        if owned || !planted::CHECKS_ATTEMPT { batch } else { None }
    }

    /// Takes an overdue batch from its worker, and returns it for another attempt. It has to be
    /// found overdue twice, `grace_ns` apart: after a pause of the whole process, the worker gets
    /// the chance to land it first.
    pub(crate) fn revoke_overdue<Q, A>(
        &self,
        ring: &Ring<Q, A>,
        now_ns: u64,
        grace_ns: u64,
    ) -> Option<Batch<G>> {
        let mut state = lock(&self.state);
        let in_flight = matches!(state.status, Status::Submitting | Status::Submitted);
        if !in_flight || now_ns < state.deadline_ns {
            return None;
        }
        let suspect_ns = *state.suspect_ns.get_or_insert(now_ns);
        if now_ns < suspect_ns.saturating_add(grace_ns) {
            return None;
        }
        Self::revoke_locked(&mut state, ring)
    }

    /// Takes the batch from its worker, whose device was lost, and returns it for another attempt.
    pub(crate) fn revoke<Q, A>(&self, ring: &Ring<Q, A>) -> Option<Batch<G>> {
        Self::revoke_locked(&mut lock(&self.state), ring)
    }

    fn revoke_locked<Q, A>(state: &mut State<G>, ring: &Ring<Q, A>) -> Option<Batch<G>> {
        let status = match state.status {
            Status::Submitting => Status::RevokedHeld,
            Status::Submitted => Status::Revoked,
            Status::Idle | Status::Revoked | Status::RevokedHeld => return None,
        };
        let batch = state.batch.clone()?;
        if status == Status::RevokedHeld {
            batch.rows.iter().for_each(|row| ring.hold(*row));
        }
        state.status = status;
        Some(Batch { tried: batch.tried + 1, ..batch })
    }

    /// When the batch is due; `None` where none is in flight.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        let state = lock(&self.state);
        let in_flight = matches!(state.status, Status::Submitting | Status::Submitted);
        in_flight.then_some(state.deadline_ns)
    }
}
