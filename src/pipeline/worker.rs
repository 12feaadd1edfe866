//! A worker: one thread, one backend, a queue of contexts that complete in order.
//!
//! A worker that has a free context asks for a batch, hands its rows to the context where they lie,
//! and answers them when the context is done. It is the only one to touch its contexts. It never
//! holds a lock while a device works, and whatever a device does, or however a step ends, its rows
//! are answered by somebody: see [`flight`](super::flight).

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::time::Duration;

use tracing::Span;

use super::super::backend::{BackendError, Rows};
use super::super::sync::{Arc, Ordering, lock, now};
use super::backends::{Backend, Seat};
use super::clock::nanoseconds;
use super::core::{Core, Offer};
use super::dispatch::{PIECES_MAX, RowBatch};
use super::gauges::BatchDone;
use super::generation::{Generation, Loaded};
use super::records::{Aftermath, Answer, Outcome, Times};
use super::ring::room;

/// One worker of a backend.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(super) core: Arc<Core>,
    pub(super) backend: Arc<Backend>,
    pub(super) seat: Arc<Seat>,
    /// Contexts by version, the newest last.
    loaded: Vec<Loaded>,
    /// What is in flight, the oldest first.
    in_flight: VecDeque<InFlight>,
    /// What the next batch is formed in.
    forming: RowBatch,
    /// A batch that is being answered, and how many of its rows are.
    landing: Option<(RowBatch, usize)>,
    aftermath: Aftermath,
    /// Row lists that wait for their next batch.
    spare: Vec<Vec<u32>>,
    /// The span of each place's batch.
    spans: Vec<Span>,
}

/// One submitted batch.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    /// Which flight, and which of a version's contexts.
    place: usize,
    version: u64,
    rows: usize,
    /// When it was begun to hand it over, and when that was done.
    begun_ns: u64,
    submitted_ns: u64,
}

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was done; there may be more.
    Progress,
    /// Nothing but to wait for the device.
    InFlight,
    /// Nothing until then, or until woken.
    Until(u64),
    /// Nothing until woken.
    Idle,
    /// The worker is of no more use.
    Leave,
}

impl Worker {
    /// A worker in a seat of a backend; `None` where memory runs out.
    pub(crate) fn new(
        core: Arc<Core>,
        backend: Arc<Backend>,
        seat: Arc<Seat>,
        generation: Arc<Generation>,
    ) -> Option<Worker> {
        let rows = || room(backend.max_rows);
        Some(Worker {
            loaded: Vec::with_capacity(2),
            in_flight: VecDeque::with_capacity(seat.flights.len()),
            forming: RowBatch { rows: rows()?, pieces: 0, generation, tried: 0, formed_ns: 0 },
            landing: None,
            aftermath: Aftermath { wake: room(backend.max_rows)?, freed: 0 },
            spare: seat.flights.iter().map(|_| rows()).collect::<Option<_>>()?,
            spans: seat.flights.iter().map(|_| Span::none()).collect(),
            core,
            backend,
            seat,
        })
    }

    /// Does what can be done at once.
    pub(crate) fn step(&mut self) -> Step {
        if self.core.is_stopped() || !self.backend.is_ready() {
            self.give_up_flights();
            return Step::Leave;
        }
        match self.advance() {
            Ok(Step::Idle) if self.core.is_drained() => Step::Leave,
            Ok(step) => step,
            Err(error) => {
                self.core.lose(&self.backend, &error);
                self.give_up_flights();
                Step::Leave
            }
        }
    }

    /// Waits for the device for so long at most.
    pub(crate) fn wait_for_device(&mut self, limit: Duration) {
        let Some(front) = self.in_flight.front().copied() else { return };
        // The next step sees what became of it.
        let deadline = now() + limit;
        if let Some(loaded) = self.loaded.iter_mut().find(|one| one.version == front.version) {
            let _ = loaded.contexts[front.place].wait(deadline);
        }
    }

    /// After a panic: the backend is lost, and whatever the worker had goes to others.
    pub(crate) fn give_up(&mut self, message: String) {
        let device = self.backend.info.name.clone();
        self.core.lose(&self.backend, &BackendError::Device { device, message });
        if let Some((mut batch, answered)) = self.landing.take() {
            batch.rows.drain(..answered);
            batch.tried += 1;
            self.core.retry(batch);
        }
        if !self.forming.rows.is_empty() {
            let next = self.forming.clone_empty();
            let batch = std::mem::replace(&mut self.forming, next);
            self.core.retry(batch);
        }
        self.core.settle(&mut self.aftermath);
        self.give_up_flights();
    }

    fn advance(&mut self) -> Result<Step, BackendError> {
        let mut progress = self.collect()?;
        let mut until_ns = None;
        if self.in_flight.len() < self.seat.flights.len() {
            let offer = self.core.offer(&self.backend, &mut self.forming, &mut self.aftermath);
            if offer == Offer::Batch {
                self.launch()?;
                self.collect()?;
                progress = true;
            }
            if let Offer::Later(then_ns) = offer {
                until_ns = Some(then_ns);
            }
            self.core.settle(&mut self.aftermath);
        }
        Ok(match until_ns {
            _ if progress => Step::Progress,
            _ if !self.in_flight.is_empty() => Step::InFlight,
            Some(then_ns) => Step::Until(then_ns),
            None => Step::Idle,
        })
    }

    /// Hands the batch that was formed to a free context.
    fn launch(&mut self) -> Result<(), BackendError> {
        let taken = |place: &usize| self.in_flight.iter().any(|it| it.place == *place);
        let free = (0..self.seat.flights.len()).find(|place| !taken(place));
        // There are fewer batches in flight than places.
        let place = free.unwrap_or(0);
        let rows = self.forming.rows.len();
        let generation = Arc::clone(&self.forming.generation);
        let in_flight = InFlight {
            place,
            version: generation.version,
            rows,
            begun_ns: self.forming.formed_ns,
            submitted_ns: 0,
        };
        self.spans[place] = tracing::trace_span!(
            "batch",
            backend = self.backend.kind().name(),
            version = generation.version,
            rows,
            input_ns = tracing::field::Empty,
            compute_ns = tracing::field::Empty,
            output_ns = tracing::field::Empty,
        );
        // From here on the flight has the rows; until then a panic leaves them where they are.
        let spare = self.spare.pop().unwrap_or_default();
        let next = RowBatch { rows: spare, ..self.forming.clone_empty() };
        let batch = std::mem::replace(&mut self.forming, next);
        let begun_ns = self.core.clock.now();
        let due_ns = self.core.watch.seen_ns().saturating_add(self.backend.timeout_ns(rows));
        let pieces = Pieces::of(&batch.rows);
        self.seat.flights[place].take_off(batch, due_ns);
        if !self.backend.is_ready() {
            // Lost in between: whoever lost it may not have seen this flight.
            return Ok(());
        }
        self.foresee(rows, begun_ns);
        let outcome = self.submit(&generation, place, &pieces);
        let (owned, freed) = self.seat.flights[place].handed_over(&self.core.ring);
        self.aftermath.freed += freed;
        if owned {
            outcome?;
            let submitted_ns = self.core.clock.now();
            self.in_flight.push_back(InFlight { submitted_ns, ..in_flight });
        }
        Ok(())
    }

    /// Says when the worker is expected to be done.
    fn foresee(&self, rows: usize, now_ns: u64) {
        let until_ns = self.seat.busy_until_ns.load(Ordering::Relaxed).max(now_ns);
        let until_ns = until_ns.saturating_add(self.backend.cost.estimate_ns(rows));
        self.seat.busy_until_ns.store(until_ns, Ordering::Relaxed);
        self.seat.in_flight.store(self.in_flight.len() + 1, Ordering::Relaxed);
    }

    /// Says anew when the worker is expected to be done, once a batch is.
    fn foresee_rest(&self, now_ns: u64) {
        let rest = self.in_flight.iter().map(|it| self.backend.cost.estimate_ns(it.rows));
        let until_ns = rest.fold(now_ns, u64::saturating_add);
        self.seat.busy_until_ns.store(until_ns, Ordering::Relaxed);
        self.seat.in_flight.store(self.in_flight.len(), Ordering::Relaxed);
    }

    fn submit(
        &mut self,
        generation: &Generation,
        place: usize,
        pieces: &Pieces,
    ) -> Result<(), BackendError> {
        let core = Arc::clone(&self.core);
        let loaded = self.loaded_for(generation)?;
        let mut rows = [Rows::U8(&[]); PIECES_MAX];
        for (slot, (first, count)) in rows.iter_mut().zip(pieces.spans()) {
            // SAFETY: the rows were taken for this batch; until `handed_over` nobody frees them,
            // and the slice is gone by then. What the device reads later, it reads by itself.
            *slot = unsafe { core.store.rows(*first..first + count) };
        }
        loaded.contexts[place].submit_pieces(&rows[..pieces.count])
    }

    /// The contexts of a version: those there are, those that wait, or new ones.
    fn loaded_for(&mut self, generation: &Generation) -> Result<&mut Loaded, BackendError> {
        let version = generation.version;
        if !self.loaded.iter().any(|loaded| loaded.version == version) {
            let depth = self.seat.flights.len();
            let loaded = match self.seat.take(version) {
                Some(loaded) => loaded,
                None => generation
                    .contexts(self.backend.serial, depth)?
                    .ok_or(BackendError::WrongPlan)?,
            };
            self.loaded.push(loaded);
            self.loaded.sort_by_key(|loaded| loaded.version);
        }
        self.retire();
        // It is among them, or was pushed.
        let found = self.loaded.iter_mut().find(|loaded| loaded.version == version);
        found.ok_or(BackendError::WrongPlan)
    }

    /// Lets go of versions that nothing in flight needs and that are not the newest two.
    fn retire(&mut self) {
        while self.loaded.len() > 2 {
            let version = self.loaded[0].version;
            if self.in_flight.iter().any(|it| it.version == version) {
                return;
            }
            let old = self.loaded.remove(0);
            lock(&self.seat.retired).push(old);
        }
    }

    /// Answers every batch that is done, in the order they were submitted.
    fn collect(&mut self) -> Result<bool, BackendError> {
        let mut progress = false;
        while let Some(front) = self.in_flight.front().copied() {
            let loaded = self.loaded.iter_mut().find(|one| one.version == front.version);
            // Versions in flight are kept.
            let context = &mut loaded.ok_or(BackendError::Idle)?.contexts[front.place];
            if !context.is_complete()? {
                self.check_overdue(front)?;
                break;
            }
            self.land(front)?;
            progress = true;
        }
        Ok(progress)
    }

    fn check_overdue(&self, front: InFlight) -> Result<(), BackendError> {
        let due_ns = self.seat.flights[front.place].due_ns().unwrap_or(0);
        if self.core.watch.seen_ns() < due_ns {
            return Ok(());
        }
        Err(BackendError::Timeout { device: self.backend.info.name.clone() })
    }

    /// Answers the rows of the oldest batch, which is done.
    fn land(&mut self, front: InFlight) -> Result<(), BackendError> {
        let done_ns = self.core.clock.now();
        let loaded = self.loaded.iter().find(|one| one.version == front.version);
        let context = &loaded.ok_or(BackendError::Idle)?.contexts[front.place];
        let (scores, classes) = (context.scores(), self.core.store.shape().classes);
        if scores.len() != front.rows * classes {
            let expected = front.rows * classes;
            return Err(BackendError::WrongScoresLength { expected, got: scores.len() });
        }
        let compute_ns = context.compute_time().map(nanoseconds);
        self.in_flight.pop_front();
        self.foresee_rest(done_ns);
        let Some(batch) = self.seat.flights[front.place].land() else {
            // It was taken from this worker, and runs elsewhere.
            return Ok(());
        };
        for (row, scores) in batch.rows.iter().zip(scores.chunks_exact(classes)) {
            // SAFETY: the rows were taken for this batch, which is this worker's to answer.
            unsafe { self.core.store.scores_mut(*row) }.copy_from_slice(scores);
        }
        let copied_ns = self.core.clock.now();
        self.backend.cost.refresh(front.rows, done_ns.saturating_sub(front.begun_ns));
        let done = split(front, compute_ns, done_ns, copied_ns);
        self.landing = Some((batch, 0));
        self.answer(&done, copied_ns);
        let span = std::mem::replace(&mut self.spans[front.place], Span::none());
        span.record("input_ns", done.input_ns);
        span.record("compute_ns", done.compute_ns);
        span.record("output_ns", done.output_ns);
        if self.backend.computes_in_call() {
            self.warn_if_slow(front.rows, done_ns.saturating_sub(front.begun_ns));
        }
        Ok(())
    }

    /// A batch that the worker computed itself is never too late; what is slow is said.
    fn warn_if_slow(&self, rows: usize, took_ns: u64) {
        let took = Duration::from_nanos(took_ns);
        if took > self.core.config.batch_timeout {
            tracing::warn!(rows, ?took, "a batch took longer than batch_timeout");
        }
    }

    /// Answers the rows of the batch that is landing.
    fn answer(&mut self, done: &BatchDone, now_ns: u64) {
        let Some((batch, answered)) = &mut self.landing else { return };
        let template = Answer {
            outcome: Outcome::Completed,
            backend: self.backend.number as u8,
            precision: batch.generation.precision,
            version: batch.generation.version,
            hash: Some(batch.generation.hash),
            times: Times {
                queue: Duration::ZERO,
                input: Duration::from_nanos(done.input_ns),
                compute: Duration::from_nanos(done.compute_ns),
                output: Duration::from_nanos(done.output_ns),
            },
        };
        let gauges = &self.seat.gauges;
        let formed_ns = batch.formed_ns;
        for row in &batch.rows[*answered..] {
            // SAFETY: the row is this worker's to answer, and so is its request to read.
            let (first, _) = unsafe { self.core.ring.first_of(*row) };
            // SAFETY: as above.
            let submitted_ns = unsafe { self.core.ring.request(first) }.submitted_ns;
            let queue_ns = formed_ns.saturating_sub(submitted_ns);
            *answered += 1;
            let times = Times { queue: Duration::from_nanos(queue_ns), ..template.times };
            // SAFETY: as above, and it is answered this once.
            let answer = unsafe {
                self.core.ring.answer(*row, |answer| *answer = Answer { times, ..template })
            };
            match self.aftermath.add(answer) {
                true => gauges.cancelled(1),
                false => gauges.completed(queue_ns, now_ns.saturating_sub(submitted_ns)),
            }
        }
        gauges.batch(done);
        let rows = batch.rows.len();
        if let Some((mut batch, _)) = self.landing.take() {
            // Rows in the batch that is being formed are rows that nobody answered yet.
            batch.rows.clear();
            self.spare.push(batch.rows);
        }
        self.core.landed(rows);
        self.core.settle(&mut self.aftermath);
    }

    /// Lets others run what this worker has in flight, and releases what was held for it.
    fn give_up_flights(&mut self) {
        for flight in &self.seat.flights {
            if let Some(batch) = flight.revoke(&self.core.ring) {
                self.core.retry(batch);
            }
            let (_, freed) = flight.handed_over(&self.core.ring);
            self.aftermath.freed += freed;
        }
        self.in_flight.clear();
        self.seat.in_flight.store(0, Ordering::Relaxed);
        self.core.settle(&mut self.aftermath);
    }
}

impl RowBatch {
    /// A batch of no rows, with everything else alike.
    fn clone_empty(&self) -> RowBatch {
        RowBatch { rows: Vec::new(), pieces: 0, generation: Arc::clone(&self.generation), ..*self }
    }
}

/// The spans of neighbouring rows in a batch.
#[derive(Debug)]
struct Pieces {
    /// First row and number of rows.
    spans: [(u32, u32); PIECES_MAX],
    count: usize,
}

impl Pieces {
    fn of(rows: &[u32]) -> Pieces {
        let mut pieces = Pieces { spans: [(0, 0); PIECES_MAX], count: 0 };
        for row in rows {
            match pieces.spans[..pieces.count].last_mut() {
                Some((first, count)) if *first + *count == *row => *count += 1,
                _ => {
                    pieces.spans[pieces.count] = (*row, 1);
                    pieces.count += 1;
                }
            }
        }
        pieces
    }

    fn spans(&self) -> &[(u32, u32)] {
        &self.spans[..self.count]
    }
}

/// Where the time of a batch went. A device that says how long it computed is believed; one that
/// was done as soon as it had the rows computed while it was handed them.
fn split(batch: InFlight, compute_ns: Option<u64>, done_ns: u64, copied_ns: u64) -> BatchDone {
    let handing_ns = batch.submitted_ns.saturating_sub(batch.begun_ns);
    let waiting_ns = done_ns.saturating_sub(batch.submitted_ns);
    let (input_ns, default_ns) =
        if waiting_ns < handing_ns / 8 { (0, handing_ns) } else { (handing_ns, waiting_ns) };
    let compute_ns = compute_ns.unwrap_or(default_ns);
    BatchDone {
        rows: batch.rows as u64,
        input_ns: input_ns.max(default_ns.saturating_sub(compute_ns)),
        compute_ns,
        output_ns: copied_ns.saturating_sub(done_ns),
    }
}
