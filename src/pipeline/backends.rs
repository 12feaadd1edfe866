//! The backends that serve one pipeline, and the seats of their workers.

use super::super::backend::{BackendKind, DeviceInfo, Executable};
use super::super::sync::{Arc, AtomicU8, AtomicU64, AtomicUsize, Mutex, Ordering, lock};
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
    /// [`JOINING`] to [`REPLACED`]; moved forwards by whoever finds out.
    state: AtomicU8,
    /// Workers that have not left.
    workers: AtomicUsize,
    /// Why it was lost.
    reason: Mutex<String>,
}

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

impl Backend {
    /// A backend that takes no batches yet.
    pub(crate) fn new(
        (number, serial): (usize, u64),
        home: Arc<dyn Executable>,
        cost: CostTable,
        seats: Vec<Arc<Seat>>,
        max_rows: usize,
    ) -> Backend {
        Backend {
            number,
            serial,
            info: home.device().info().clone(),
            home,
            cost,
            workers: AtomicUsize::new(seats.len()),
            seats,
            max_rows,
            state: AtomicU8::new(JOINING),
            reason: Mutex::default(),
        }
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
