//! The backends that serve one pipeline, and the seats of their workers.

use super::super::backend::{BackendKind, DeviceInfo, Executable};
use super::super::sync::{Arc, AtomicU8, AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use super::clock::{NEVER, nanoseconds};
use super::config::PipelineConfig;
use super::cost::CostTable;
use super::flight::Flight;
use super::gauges::WorkerGauges;
use super::generation::{Generation, Loaded};
use super::health::{BackendHealth, LostBackend};

/// A device that serves, or served.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Its place among the pipeline's backends.
    pub(crate) number: usize,
    /// How many joined before it: no other backend ever has this one, even in the same place.
    pub(crate) serial: u64,
    pub(crate) info: DeviceInfo,
    /// What the first version was loaded as: the way to its device.
    pub(crate) home: Arc<dyn Executable>,
    pub(crate) cost: CostTable,
    pub(crate) seats: Vec<Arc<Seat>>,
    /// The most rows in one of its batches.
    pub(crate) max_rows: usize,
    /// How long one of its batches is to take at most, and may, in nanoseconds.
    limits: Limits,
    /// [`JOINING`] to [`REPLACED`]; moved forwards by whoever finds out.
    state: AtomicU8,
    /// Workers that have not left.
    workers: AtomicUsize,
    /// Why it was lost.
    reason: Mutex<String>,
}

/// Times of a backend's batches.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// What the estimate of a batch of several rows stays within.
    batch_ns: u64,
    /// After this a batch counts as lost; [`NEVER`] where it is computed by the worker itself.
    timeout_ns: u64,
    /// Batches in flight at once.
    depth: u64,
}

/// Batches are to be done in this part of the time they may take, with all those before them.
const HASTE: u32 = 2;
/// A row that alone takes longer than that is given so many times its estimate.
const LENIENCE: u64 = 4;

const JOINING: u8 = 0;
const READY: u8 = 1;
const LOST: u8 = 2;
/// Lost, and opened again under another entry.
const REPLACED: u8 = 3;

/// What a worker shares with the others.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The worker's number at the bell.
    pub(crate) number: usize,
    /// One for each context.
    pub(crate) flights: Vec<Flight<Arc<Generation>>>,
    /// Versions that wait for the worker to take them, the newest last.
    incoming: Mutex<Vec<Loaded>>,
    /// Versions that the worker is done with, for somebody else to drop.
    pub(crate) retired: Mutex<Vec<Loaded>>,
    pub(crate) gauges: WorkerGauges,
    /// When its batches in flight are expected back. Written by the worker.
    pub(crate) busy_until_ns: AtomicU64,
    /// Batches it has in flight. Written by the worker.
    pub(crate) in_flight: AtomicUsize,
}

impl Seat {
    /// An empty seat.
    pub(crate) fn new(number: usize, depth: usize) -> Seat {
        Seat {
            number,
            flights: (0..depth).map(|_| Flight::new()).collect(),
            incoming: Mutex::default(),
            retired: Mutex::default(),
            gauges: WorkerGauges::default(),
            busy_until_ns: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Leaves a version for the worker to take. Of those that wait, only the newest two are of use;
    /// returns one that no longer is.
    pub(crate) fn bring(&self, loaded: Loaded) -> Option<Loaded> {
        let mut incoming = lock(&self.incoming);
        incoming.push(loaded);
        (incoming.len() > 2).then(|| incoming.remove(0))
    }

    /// Takes a version that waits for the worker. Older ones are let go: nothing new runs with
    /// them.
    pub(crate) fn take(&self, version: u64) -> Option<Loaded> {
        let mut incoming = lock(&self.incoming);
        let index = incoming.iter().position(|loaded| loaded.version == version)?;
        let loaded = incoming.remove(index);
        lock(&self.retired).extend(incoming.drain(..index));
        Some(loaded)
    }
}

impl Limits {
    fn new(config: &PipelineConfig, computes_in_call: bool) -> Limits {
        let timeout = config.batch_timeout / HASTE;
        let depth = config.depth as u64;
        if computes_in_call {
            return Limits { batch_ns: nanoseconds(timeout), timeout_ns: NEVER, depth: 1 };
        }
        let batch_ns = nanoseconds(timeout) / depth;
        Limits { batch_ns, timeout_ns: nanoseconds(config.batch_timeout), depth }
    }
}

impl Backend {
    /// A backend that takes no batches yet.
    pub(crate) fn new(
        (number, serial): (usize, u64),
        home: Arc<dyn Executable>,
        cost: CostTable,
        seats: Vec<Arc<Seat>>,
        config: &PipelineConfig,
    ) -> Backend {
        let max_rows = config.rows_max(home.plan());
        let limits = Limits::new(config, home.device().computes_in_call());
        Backend {
            number,
            serial,
            info: home.device().info().clone(),
            home,
            cost,
            workers: AtomicUsize::new(seats.len()),
            seats,
            max_rows,
            limits,
            state: AtomicU8::new(JOINING),
            reason: Mutex::default(),
        }
    }

    /// The most rows of the next batch: as many as are expected to be done in good time.
    pub(crate) fn rows_in_time(&self) -> usize {
        self.cost.rows_within(self.limits.batch_ns, self.max_rows)
    }

    /// How long a batch may be in flight before its device counts as lost.
    pub(crate) fn timeout_ns(&self, rows: usize) -> u64 {
        let Limits { batch_ns, timeout_ns, depth } = self.limits;
        match self.cost.estimate_ns(rows) {
            expected if expected <= batch_ns => timeout_ns,
            expected => timeout_ns.max(expected.saturating_mul(LENIENCE * depth)),
        }
    }

    /// Whether its workers compute batches themselves, and call no driver.
    pub(crate) fn computes_in_call(&self) -> bool {
        self.limits.timeout_ns == NEVER
    }

    /// Whether it takes batches.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.load(Ordering::Acquire) == READY
    }

    /// Lets it take batches.
    pub(crate) fn set_ready(&self) {
        self.state.store(READY, Ordering::Release);
    }

    /// Lets it take no more batches. Returns whether it did until now.
    pub(crate) fn set_lost(&self, reason: &str) -> bool {
        let mut why = lock(&self.reason);
        let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
        let was_ready = self.state.compare_exchange(READY, LOST, order, failed).is_ok();
        if was_ready {
            reason.clone_into(&mut why);
        }
        was_ready
    }

    /// Says that a lost backend serves again, under another entry.
    pub(crate) fn set_replaced(&self) {
        let (order, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        // Only what is lost is replaced.
        let _ = self.state.compare_exchange(LOST, REPLACED, order, failed);
    }

    /// Whether nothing can be expected of it any more and its entry may be another's.
    pub(crate) fn is_gone(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        state >= LOST && self.workers.load(Ordering::Acquire) == 0
    }

    /// Whether a worker may still take batches for it.
    pub(crate) fn has_workers(&self) -> bool {
        self.is_ready() && self.workers.load(Ordering::Acquire) > 0
    }

    /// Counts a worker that leaves.
    pub(crate) fn worker_left(&self) {
        self.workers.fetch_sub(1, Ordering::AcqRel);
    }

    /// How it is; `None` where another entry speaks for it.
    pub(crate) fn health(&self) -> Option<BackendHealth> {
        match self.state.load(Ordering::Acquire) {
            JOINING => Some(BackendHealth::Joining),
            READY => Some(BackendHealth::Ready),
            LOST => Some(BackendHealth::Lost),
            _ => None,
        }
    }

    /// What is to be said of it where it was lost.
    pub(crate) fn lost(&self) -> Option<LostBackend> {
        let lost = self.health() == Some(BackendHealth::Lost);
        let reason = lock(&self.reason);
        lost.then(|| LostBackend::new(self.info.backend, &self.info.name, &*reason))
    }

    /// The workers' bits at the bell.
    pub(crate) fn bell_mask(&self) -> u64 {
        self.seats.iter().fold(0, |mask, seat| mask | 1 << seat.number)
    }

    /// When it is expected to be done with what it has in flight: that of its least busy worker,
    /// and whether that one has anything in flight.
    pub(crate) fn busy_until_ns(&self) -> (u64, bool) {
        let seats = self.seats.iter().map(|seat| {
            let in_flight = seat.in_flight.load(Ordering::Relaxed) > 0;
            let until_ns = seat.busy_until_ns.load(Ordering::Relaxed);
            (if in_flight { until_ns } else { 0 }, in_flight)
        });
        seats.min().unwrap_or((u64::MAX, true))
    }

    /// The family, for replies.
    pub(crate) fn kind(&self) -> BackendKind {
        self.info.backend
    }
}
