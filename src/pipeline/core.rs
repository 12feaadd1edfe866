//! What producers, workers, the watchdog and tickets share.

use super::super::backend::process::Process;
use super::super::backend::{BackendError, BackendKind};
use super::super::model::ContentHash;
use super::super::sync::{
    Arc, AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Mutex, Ordering, Thread, fence, lock,
};
use super::backends::Backend;
use super::bell::{Bell, Rung};
use super::clock::{Clock, NEVER, nanoseconds};
use super::config::{PipelineConfig, SubmitOptions};
use super::dispatch::{Dispatcher, RowBatch, Scene};
use super::error::SubmitError;
use super::gauges::SharedTally;
use super::generation::Generation;
use super::metrics::Metrics;
use super::policy::{Decision, Waiting, decide};
use super::records::{Aftermath, Outcome, Rows};
use super::route::{Candidate, choose};
use super::space::Space;
use super::store::Store;

/// How long a worker lets another one go first before it looks again.
const DEFER_NS: u64 = 50_000;

/// The shared parts of one pipeline.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: PipelineConfig,
    /// The content hash of the first version.
    pub(crate) first_hash: ContentHash,
    pub(crate) clock: Clock,
    pub(crate) ring: Rows,
    pub(crate) store: Store,
    pub(crate) bell: Bell,
    /// Who waits for room, in each lane.
    pub(crate) spaces: Vec<Space>,
    pub(crate) tally: SharedTally,
    pub(crate) dispatcher: Mutex<Dispatcher>,
    pub(crate) backends: Mutex<Vec<Arc<Backend>>>,
    /// How many of them take batches. Written under their lock.
    ready: AtomicUsize,
    /// The bell's bits of the backend that is cheapest for one row.
    preferred: AtomicU64,
    /// [`RUNNING`], [`DRAINING`] or [`STOPPED`].
    stage: AtomicU8,
    /// Rows in batches that are not answered.
    in_flight: AtomicUsize,
    /// When the first deadline of those that wait passes, or earlier.
    next_deadline_ns: AtomicU64,
    /// Why the last backend was lost.
    reason: Mutex<String>,
    /// What backends did whose entry is another's now. Locked after the backends.
    pub(crate) past: Mutex<Metrics>,
    pub(crate) watch: Watch,
    /// The process that has the threads.
    process: Process,
}

const RUNNING: u8 = 0;
/// Nothing is taken any more; what was taken is run.
const DRAINING: u8 = 1;
/// What is left is turned away.
const STOPPED: u8 = 2;

/// How the watchdog is woken, and the time it has seen pass.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Nanoseconds that passed while batches were watched, pauses of the process left out. Written
    /// by the watchdog.
    seen_ns: AtomicU64,
    asleep: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

/// What a worker that is free may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Run the batch.
    Batch,
    /// Look again then, or when woken.
    Later(u64),
    /// Wait to be woken.
    Nothing,
}

impl Core {
    /// A pipeline without backends; `None` where memory runs out.
    pub(crate) fn new(
        config: PipelineConfig,
        clock: Clock,
        ring: Rows,
        store: Store,
        generation: Arc<Generation>,
    ) -> Option<Core> {
        let lanes = config.lanes().len();
        let first_hash = generation.hash;
        let dispatcher = Dispatcher::new(&ring, lanes, generation)?;
        let bell = Bell::new();
        bell.set_deserted(true);
        Some(Core {
            config,
            first_hash,
            clock,
            ring,
            store,
            bell,
            spaces: (0..lanes).map(Space::new).collect(),
            tally: SharedTally::default(),
            dispatcher: Mutex::new(dispatcher),
            backends: Mutex::default(),
            ready: AtomicUsize::new(0),
            preferred: AtomicU64::new(0),
            stage: AtomicU8::new(RUNNING),
            in_flight: AtomicUsize::new(0),
            next_deadline_ns: AtomicU64::new(NEVER),
            reason: Mutex::new(String::from("none was attached")),
            past: Mutex::default(),
            watch: Watch::default(),
            process: Process::this(),
        })
    }

    // --- producers ---

    /// Lets a worker know that something was committed.
    pub(crate) fn announce(&self) {
        if self.bell.ring(self.preferred.load(Ordering::Relaxed)) == Rung::Deserted {
            self.turn_all_away();
        }
    }

    /// Notes a deadline of something that was committed.
    pub(crate) fn note_deadline(&self, deadline_ns: u64) {
        // Release: whoever takes the note sees what was committed.
        self.next_deadline_ns.fetch_min(deadline_ns, Ordering::Release);
    }

    /// Where those wait who want room for requests with these options.
    pub(crate) fn space(&self, options: &SubmitOptions) -> Result<&Space, SubmitError> {
        self.spaces.get(options.priority.lane()).ok_or(SubmitError::NoBulk)
    }

    /// Rows in the ring that takes requests with these options.
    pub(crate) fn capacity(&self, options: &SubmitOptions) -> Result<usize, SubmitError> {
        self.space(options).map(|_| self.ring.capacity(options.priority.lane()))
    }

    /// Whether this is a child of the pipeline's process: nobody runs its rows here, and a thread
    /// that is not here may have held any of its locks.
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_this()
    }

    /// Whether the pipeline takes rows at all.
    pub(crate) fn is_running(&self) -> bool {
        self.stage.load(Ordering::Acquire) == RUNNING
    }

    /// Whether a backend is there to run them.
    pub(crate) fn is_deserted(&self) -> bool {
        self.ready.load(Ordering::Acquire) == 0
    }

    /// Why the last backend was lost.
    pub(crate) fn reason(&self) -> String {
        lock(&self.reason).clone()
    }

    /// The family and name of a backend, by its number.
    pub(crate) fn backend_info(&self, number: u8) -> (BackendKind, String) {
        let backends = if self.is_forked() {
            self.backends.try_lock().ok()
        } else {
            Some(lock(&self.backends))
        };
        let found = backends.as_ref().and_then(|them| them.get(usize::from(number)));
        let info = found.map(|backend| &backend.info);
        // Numbers in answers are those of backends that ran something.
        info.map_or((BackendKind::Auto, String::new()), |info| (info.backend, info.name.clone()))
    }

    // --- workers ---

    /// Forms a batch for a worker of `backend`, if it is time for one and no other backend would be
    /// done with it sooner.
    pub(crate) fn offer(
        &self,
        backend: &Backend,
        batch: &mut RowBatch,
        aftermath: &mut Aftermath,
    ) -> Offer {
        let mut dispatcher = lock(&self.dispatcher);
        aftermath.freed += dispatcher.revisit(&self.ring);
        let rows = dispatcher.waiting(&self.ring);
        if rows == 0 {
            return Offer::Nothing;
        }
        let now_ns = self.clock.now();
        let max_rows = backend.rows_in_time();
        if let Some(until_ns) = self.too_early(&dispatcher, backend, (rows, max_rows), now_ns) {
            return Offer::Later(until_ns);
        }
        if self.waits_for_older(&mut dispatcher, backend, aftermath) {
            return Offer::Later(now_ns + DEFER_NS);
        }
        if self.ready.load(Ordering::Relaxed) > 1
            && dispatcher.older().is_none()
            && let Some(other) = self.better(backend, rows, now_ns)
        {
            self.bell.wake(other);
            return Offer::Later(now_ns + DEFER_NS);
        }
        let scene = Scene { ring: &self.ring, tally: &self.tally, now_ns };
        dispatcher.form(scene, max_rows, batch, aftermath);
        // Counted before the lock is free, so that nobody sees the rows neither wait nor fly.
        self.in_flight.fetch_add(batch.rows.len(), Ordering::AcqRel);
        let left = dispatcher.waiting(&self.ring) > 0;
        drop(dispatcher);
        // What was visited no longer bars the way to free rows behind it.
        self.visited();
        if batch.rows.is_empty() {
            return Offer::Nothing;
        }
        if left {
            self.bell.ring(self.preferred.load(Ordering::Relaxed));
        }
        self.watch.wake();
        Offer::Batch
    }

    /// Whether a backend has to let others go first, because something waits that was begun with a
    /// version it never loaded. Where no other has it either, that is given up.
    fn waits_for_older(
        &self,
        dispatcher: &mut Dispatcher,
        backend: &Backend,
        aftermath: &mut Aftermath,
    ) -> bool {
        while let Some(older) = dispatcher.older().cloned() {
            if older.on(backend.serial).is_some() {
                return false;
            }
            let backends = lock(&self.backends);
            let able = backends
                .iter()
                .filter(|backend| backend.has_workers() && older.on(backend.serial).is_some());
            let workers = able.fold(0, |mask, backend| mask | backend.bell_mask());
            drop(backends);
            if workers != 0 {
                self.bell.wake(workers);
                return true;
            }
            dispatcher.give_up_version(self.scene(), older.version, aftermath);
        }
        false
    }

    /// Until when rows are to wait for others, if they are.
    fn too_early(
        &self,
        dispatcher: &Dispatcher,
        backend: &Backend,
        (rows, max_rows): (u64, usize),
        now_ns: u64,
    ) -> Option<u64> {
        if self.config.max_delay.is_zero() {
            return None;
        }
        let oldest_ns = dispatcher.oldest_ns(&self.ring);
        if oldest_ns == NEVER {
            // Nothing is committed, but something was given up, and is to be cleared away.
            return None;
        }
        // A request with a deadline is committed, then noted, and then announced.
        let start_by_ns = match self.next_deadline_ns.load(Ordering::Relaxed) {
            // Where more rows wait than fit a batch, they are not looked at one by one.
            _ if rows >= max_rows as u64 => NEVER,
            NEVER => NEVER,
            _ => dispatcher.start_by_ns(&self.ring, backend.cost.estimate_ns(rows as usize)),
        };
        let waiting = Waiting { rows, oldest_ns, start_by_ns, closing: !self.is_running() };
        let max_delay_ns = nanoseconds(self.config.max_delay);
        match decide(now_ns, waiting, max_rows, max_delay_ns) {
            Decision::Take => None,
            Decision::WaitUntil(until_ns) => Some(until_ns),
        }
    }

    /// The bell's bits of a backend that would be done sooner with so many rows. Where there is
    /// none, those that were passed over forget some of what they cost.
    fn better(&self, backend: &Backend, rows: u64, now_ns: u64) -> Option<u64> {
        let backends = lock(&self.backends);
        // Workers leave a pipeline that drains, each in its own time.
        let manned = || backends.iter().filter(|backend| backend.has_workers());
        let candidates = manned().map(|backend| {
            let (busy_until_ns, in_flight) = backend.busy_until_ns();
            Candidate { busy_until_ns, in_flight, cost: &backend.cost }
        });
        let rows = rows.min(self.config.max_rows as u64) as usize;
        let best = manned().nth(choose(rows, now_ns, candidates)?)?;
        if best.number != backend.number {
            return Some(best.bell_mask());
        }
        let others = manned().filter(|other| other.number != backend.number);
        for idle in others.filter(|other| !other.busy_until_ns().1) {
            idle.cost.forget(rows);
        }
        None
    }

    /// Says that rows of a batch were answered, or go back to wait.
    pub(crate) fn landed(&self, rows: usize) {
        let before = self.in_flight.fetch_sub(rows, Ordering::AcqRel);
        if before == rows && !self.is_running() {
            // The last rows: workers that wait for them may leave.
            self.bell.ring_all();
        }
    }

    /// Does what is left to do after rows were answered.
    pub(crate) fn settle(&self, aftermath: &mut Aftermath) {
        for waiter in aftermath.wake.drain(..) {
            waiter.wake();
        }
        match std::mem::take(&mut aftermath.freed) {
            0 => {}
            rows => self.freed(rows),
        }
    }

    /// Whether everything that was taken was answered, and nothing will be taken any more.
    pub(crate) fn is_drained(&self) -> bool {
        !self.is_running() && self.queued_and_pending().1 == 0
    }

    /// Rows that are committed and in no batch, and those that are not answered.
    pub(crate) fn queued_and_pending(&self) -> (u64, u64) {
        let dispatcher = lock(&self.dispatcher);
        let queued = dispatcher.queued(&self.ring);
        (queued, queued + self.in_flight() as u64)
    }

    /// Rows in batches that are not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    // --- failure ---

    /// Counts a backend in, which was made ready.
    pub(crate) fn joined(&self) {
        self.count_ready(&lock(&self.backends));
        self.bell.ring_all();
    }

    /// Takes a backend out for good: what it had in flight runs again on another.
    pub(crate) fn lose(&self, backend: &Backend, error: &BackendError) {
        let backends = lock(&self.backends);
        if !backend.set_lost(&error.to_string()) {
            return;
        }
        *lock(&self.reason) = error.to_string();
        self.count_ready(&backends);
        drop(backends);
        self.revoke_all(backend);
        self.bell.ring_all();
        if self.is_deserted() {
            self.turn_all_away();
        }
        tracing::warn!(backend = backend.kind().name(), %error, "backend lost");
    }

    /// Has everything run again that a backend has in flight.
    fn revoke_all(&self, backend: &Backend) {
        let flights = backend.seats.iter().flat_map(|seat| &seat.flights);
        for batch in flights.filter_map(|flight| flight.revoke(&self.ring)) {
            self.retry(batch);
        }
    }

    /// Has a batch run again that failed, unless it was tried often enough.
    pub(crate) fn retry(&self, batch: RowBatch) {
        let rows = batch.rows.len();
        let mut aftermath = Aftermath::default();
        let mut dispatcher = lock(&self.dispatcher);
        if batch.tried < self.config.attempts {
            self.tally.retried(rows as u64);
            dispatcher.retry(batch);
        } else {
            dispatcher.give_up(self.scene(), batch, &mut aftermath);
        }
        drop(dispatcher);
        self.landed(rows);
        self.settle(&mut aftermath);
        self.announce();
    }

    /// A worker's thread is at its end. The last one of a pipeline that drains answers what came
    /// too late for it.
    pub(crate) fn worker_left(&self) {
        let gone = lock(&self.backends).iter().all(|backend| !backend.has_workers());
        if gone && !self.is_running() {
            self.desert();
        }
    }

    /// Says that no worker is left to take batches.
    fn desert(&self) {
        let backends = lock(&self.backends);
        self.ready.store(0, Ordering::Release);
        self.bell.set_deserted(true);
        drop(backends);
        self.turn_all_away();
    }

    /// Answers everything that waits: nobody will run it.
    pub(crate) fn turn_all_away(&self) {
        let outcome = if self.is_running() { Outcome::Failed } else { Outcome::ShutDown };
        let mut aftermath = Aftermath::default();
        lock(&self.dispatcher).turn_all_away(self.scene(), outcome, &mut aftermath);
        self.settle(&mut aftermath);
        self.spaces.iter().for_each(Space::wake_all);
    }

    /// Answers what waits and has expired. Returns when to look again: when the first deadline of
    /// those that wait passes, or earlier. It is found out `anew` where that is asked for.
    pub(crate) fn expire(&self, anew: bool) -> u64 {
        let next_ns = self.next_deadline_ns.load(Ordering::Relaxed);
        if next_ns == NEVER || (self.clock.now() < next_ns && !anew) {
            return next_ns;
        }
        let mut aftermath = Aftermath::default();
        // Takes the note: a deadline that is noted from here on is noted anew.
        self.next_deadline_ns.swap(NEVER, Ordering::Acquire);
        let next_ns = lock(&self.dispatcher).expire(self.scene(), &mut aftermath);
        self.note_deadline(next_ns);
        self.settle(&mut aftermath);
        self.next_deadline_ns.load(Ordering::Relaxed)
    }

    /// Takes nothing any more.
    pub(crate) fn drain(&self) {
        // Never backwards from stopped to draining.
        self.stage.fetch_max(DRAINING, Ordering::AcqRel);
        self.ring.close();
        self.bell.ring_all();
        self.spaces.iter().for_each(Space::wake_all);
        self.watch.wake();
    }

    /// Runs nothing any more either.
    pub(crate) fn stop(&self) {
        self.stage.fetch_max(STOPPED, Ordering::AcqRel);
        self.drain();
        self.desert();
        let backends = lock(&self.backends).clone();
        backends.iter().for_each(|backend| self.revoke_all(backend));
    }

    /// Whether the pipeline is at its end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stage.load(Ordering::Acquire) == STOPPED
    }

    fn scene(&self) -> Scene<'_> {
        Scene { ring: &self.ring, tally: &self.tally, now_ns: self.clock.now() }
    }

    /// Counts the backends that take batches, and finds the cheapest for one row.
    fn count_ready(&self, backends: &[Arc<Backend>]) {
        let ready = || backends.iter().filter(|backend| backend.is_ready());
        let cheapest = ready().min_by_key(|backend| backend.cost.estimate_ns(1));
        let mask = cheapest.map_or(0, |backend| backend.bell_mask());
        self.preferred.store(mask, Ordering::Relaxed);
        let count = if self.is_stopped() { 0 } else { ready().count() };
        self.ready.store(count, Ordering::Release);
        self.bell.set_deserted(count == 0);
    }
}

impl Watch {
    /// Says which thread the watchdog is.
    pub(crate) fn introduce(&self, thread: Thread) {
        *lock(&self.thread) = Some(thread);
    }

    /// Wakes the watchdog if it sleeps for good.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            let thread = lock(&self.thread).clone();
            if let Some(thread) = thread {
                thread.unpark();
            }
        }
    }

    /// Counts time that the watchdog saw pass.
    pub(crate) fn see(&self, seen_ns: u64) {
        self.seen_ns.store(seen_ns, Ordering::Relaxed);
    }

    /// The time counted so far: what batches in flight are timed by.
    pub(crate) fn seen_ns(&self) -> u64 {
        self.seen_ns.load(Ordering::Relaxed)
    }

    /// Says that the watchdog is going to sleep until it is woken; it has to look once more.
    pub(crate) fn lie_down(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that it is up.
    pub(crate) fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether it was not woken yet.
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Acquire)
    }
}
