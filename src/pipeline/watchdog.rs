//! The watchdog: sees to what no worker can, because it is stuck in a driver or busy computing.
//!
//! It takes overdue batches from workers that do not come back, answers rows whose deadline passes
//! while they wait, passes over callers that do not come for room they were woken for, and drops
//! what workers are done with. While nothing is in flight it sleeps until the first deadline of
//! those that wait, and costs nothing.
//!
//! Batches are timed by its own looks at the clock, so that a pause of the whole process, in which
//! no worker could land its batch either, is no time that a device took. Callers' deadlines are
//! instants, and pass during a pause as well.

use std::time::Duration;

use super::super::backend::BackendError;
use super::super::backend::stopwatch::{Stopwatch, TICK_MIN};
use super::super::sync::{Arc, lock};
use super::backends::Backend;
use super::clock::{NEVER, nanoseconds};
use super::core::Core;

/// The longest wait between two looks while there is something to watch.
const TICK_MAX: Duration = Duration::from_millis(20);
/// Rounds without anything to watch before it sleeps for good.
const QUIET_ROUNDS: u32 = 8;

/// Watches one pipeline.
#[derive(Debug)]
pub(crate) struct Watchdog {
    core: Arc<Core>,
    /// The backends, while it looks after them.
    backends: Vec<Arc<Backend>>,
    stopwatch: Stopwatch,
    quiet: u32,
}

impl Watchdog {
    pub(crate) fn new(core: Arc<Core>) -> Watchdog {
        let now = Duration::from_nanos(core.clock.now());
        let stopwatch = Stopwatch::new(core.config.batch_timeout, TICK_MAX, now);
        Watchdog { core, backends: Vec::new(), stopwatch, quiet: 0 }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Whether there is nothing to watch any more.
    pub(crate) fn is_done(&self) -> bool {
        self.core.is_stopped() || self.core.is_drained()
    }

    /// The longest wait between two looks while there is something to watch.
    pub(crate) fn tick(&self) -> Duration {
        self.stopwatch.tick()
    }

    /// Looks after everything once. Returns how long to wait: more than a [tick](Self::tick) unless
    /// woken, and [`Duration::MAX`] until woken.
    pub(crate) fn step(&mut self) -> Duration {
        self.backends.clone_from(&lock(&self.core.backends));
        self.take_overdue();
        self.drop_retired();
        self.backends.clear();
        let mut turns = false;
        for space in &self.core.spaces {
            turns |= space.pass_over();
        }
        let next_ns = self.core.expire(false);
        let busy = self.core.in_flight() > 0 || turns || !self.core.is_running();
        self.quiet = if busy { 0 } else { self.quiet.saturating_add(1) };
        if self.quiet <= QUIET_ROUNDS {
            return self.core.clock.until(next_ns).clamp(TICK_MIN, self.stopwatch.tick());
        }
        // Rows with deadlines may have been answered since those were noted.
        match self.core.expire(true) {
            NEVER => Duration::MAX,
            next_ns => self.core.clock.until(next_ns).max(TICK_MIN),
        }
    }

    /// Takes batches from workers that are overdue with them.
    fn take_overdue(&mut self) {
        let core = &self.core;
        let seen = self.stopwatch.look(Duration::from_nanos(core.clock.now()));
        let (seen_ns, grace_ns) = (nanoseconds(seen), nanoseconds(self.stopwatch.tick()));
        core.watch.see(seen_ns);
        for backend in self.backends.iter().filter(|backend| backend.is_ready()) {
            let flights = backend.seats.iter().flat_map(|seat| &seat.flights);
            for flight in flights {
                if let Some(batch) = flight.revoke_overdue(&core.ring, seen_ns, grace_ns) {
                    let device = backend.info.name.clone();
                    core.lose(backend, &BackendError::Timeout { device });
                    core.retry(batch);
                }
            }
        }
    }

    fn drop_retired(&self) {
        for seat in self.backends.iter().flat_map(|backend| &backend.seats) {
            let retired = std::mem::take(&mut *lock(&seat.retired));
            drop(retired);
        }
    }
}
