//! How workers sleep and are woken: no wake-up is lost, and a producer pays one load where nobody
//! sleeps.
//!
//! A worker that finds nothing to do *lies down*: it says so, and then looks once more. A producer
//! publishes, and then looks whether somebody lies. A fence on both sides between saying and
//! looking makes at least one of them see the other (Dekker's argument).

use crossbeam::utils::CachePadded;

use super::super::sync::{AtomicU64, Mutex, Ordering, Thread, fence, lock, planted};

/// Workers a bell can wake.
pub(crate) const WORKERS_MAX: usize = 63;
/// Nobody will ever come: whoever rings has to see to the rows himself.
const DESERTED: u64 = 1 << 63;

/// Wakes workers, known by their number.
#[derive(Debug)]
pub(crate) struct Bell {
    /// A bit for each worker that lies, and [`DESERTED`]. Set by the worker, cleared by whoever
    /// wakes it, or by itself.
    lying: CachePadded<AtomicU64>,
    threads: Mutex<Vec<Option<Thread>>>,
}

/// What became of ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// Somebody is awake, or was woken.
    Heard,
    /// There is no worker left.
    Deserted,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        let threads = (0..WORKERS_MAX).map(|_| None).collect();
        Bell { lying: CachePadded::new(AtomicU64::new(0)), threads: Mutex::new(threads) }
    }

    /// Says which thread a worker is.
    pub(crate) fn introduce(&self, worker: usize, thread: Thread) {
        lock(&self.threads)[worker] = Some(thread);
    }

    /// Wakes one worker, if any lies: one in `preferred` if possible. To be called after what it
    /// is to find was published.
    pub(crate) fn ring(&self, preferred: u64) -> Rung {
        if !planted::WAKES {
            return Rung::Heard;
        }
        fence(Ordering::SeqCst);
        let mut lying = self.lying.load(Ordering::Relaxed);
        loop {
            if lying == 0 {
                return Rung::Heard;
            }
            if lying & DESERTED != 0 {
                return Rung::Deserted;
            }
            let wanted = if lying & preferred != 0 { lying & preferred } else { lying };
            let worker = wanted.trailing_zeros() as usize;
            // Whoever clears the bit wakes the worker, and nobody else does.
            lying = self.lying.fetch_and(!(1 << worker), Ordering::AcqRel);
            if lying & 1 << worker != 0 {
                self.unpark(worker);
                return Rung::Heard;
            }
        }
    }

    /// Wakes one of these workers, if one of them lies.
    pub(crate) fn wake(&self, workers: u64) {
        fence(Ordering::SeqCst);
        let mut lying = self.lying.load(Ordering::Relaxed) & workers & !DESERTED;
        while lying != 0 {
            let worker = lying.trailing_zeros() as usize;
            lying = self.lying.fetch_and(!(1 << worker), Ordering::AcqRel) & workers & !DESERTED;
            if lying & 1 << worker != 0 {
                self.unpark(worker);
                return;
            }
        }
    }

    /// Wakes every worker that lies.
    pub(crate) fn ring_all(&self) {
        fence(Ordering::SeqCst);
        let lying = self.lying.fetch_and(DESERTED, Ordering::AcqRel);
        for worker in (0..WORKERS_MAX).filter(|worker| lying & 1 << worker != 0) {
            self.unpark(worker);
        }
    }

    /// Says that a worker is going to park; it has to look for work once more before it does.
    pub(crate) fn lie_down(&self, worker: usize) {
        self.lying.fetch_or(1 << worker, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Says that a worker is up, after it was woken or because it found something.
    pub(crate) fn get_up(&self, worker: usize) {
        self.lying.fetch_and(!(1 << worker), Ordering::AcqRel);
    }

    /// Whether a worker lies that was not woken.
    pub(crate) fn lies(&self, worker: usize) -> bool {
        self.lying.load(Ordering::Acquire) & 1 << worker != 0
    }

    /// Says whether there are workers at all.
    pub(crate) fn set_deserted(&self, deserted: bool) {
        if deserted {
            self.lying.fetch_or(DESERTED, Ordering::AcqRel);
        } else {
            self.lying.fetch_and(!DESERTED, Ordering::AcqRel);
        }
        fence(Ordering::SeqCst);
    }

    fn unpark(&self, worker: usize) {
        let thread = lock(&self.threads)[worker].clone();
        if let Some(thread) = thread {
            thread.unpark();
        }
    }
}
