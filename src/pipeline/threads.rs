//! The threads: each does what can be done, and then spins, yields, parks or waits for its device.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::super::sync::{Arc, now, thread};
use super::clock::NEVER;
use super::config::Waiting;
use super::core::Core;
use super::waiter::discard;
use super::watchdog::Watchdog;
use super::worker::{Step, Worker};

/// How long one wait for a device lasts at most: as long as new rows may go unseen meanwhile.
const DEVICE_WAIT: Duration = Duration::from_micros(100);

/// How long the watchdog waits after it panicked.
const AFTER_PANIC: Duration = Duration::from_millis(20);

/// Runs a worker until it is of no more use.
pub(crate) fn work(mut worker: Worker) {
    let (core, seat) = (Arc::clone(&worker.core), Arc::clone(&worker.seat));
    core.bell.introduce(seat.number, thread::current());
    let step = |worker: &mut Worker| guarded(worker, Worker::step);
    let wait = |worker: &mut Worker| {
        worker.wait_for_device(DEVICE_WAIT);
        Step::InFlight
    };
    let mut patience = Patience::new(core.config.waiting);
    loop {
        match step(&mut worker) {
            Step::Progress => patience.renew(),
            Step::Leave => break,
            Step::InFlight if patience.is_left() => {}
            Step::InFlight if guarded(&mut worker, wait) == Step::InFlight => {}
            Step::InFlight => break,
            Step::Idle | Step::Until(_) if patience.is_left() => {}
            Step::Idle | Step::Until(_) => {
                core.bell.lie_down(seat.number);
                match step(&mut worker) {
                    Step::Idle => park_until(&core, seat.number, NEVER),
                    Step::Until(then_ns) => park_until(&core, seat.number, then_ns),
                    Step::Leave => break,
                    Step::Progress | Step::InFlight => {}
                }
                core.bell.get_up(seat.number);
                patience.renew();
            }
        }
    }
    core.bell.get_up(seat.number);
    // Somebody may have rung for this worker just now: another has to look in its place.
    core.announce();
    worker.backend.worker_left();
    core.worker_left();
}

/// Lets a worker act. Should it panic, its backend is lost, and it leaves.
fn guarded(worker: &mut Worker, act: impl FnOnce(&mut Worker) -> Step) -> Step {
    catch_unwind(AssertUnwindSafe(|| act(worker))).unwrap_or_else(|panic| {
        worker.give_up(message_of(panic));
        Step::Leave
    })
}

/// Parks until woken at the bell, or until then.
fn park_until(core: &Core, number: usize, then_ns: u64) {
    while core.bell.lies(number) {
        if then_ns == NEVER {
            thread::park();
            continue;
        }
        let left = core.clock.until(then_ns);
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// Runs the watchdog until the pipeline is at its end. A panic of a driver whose contexts it drops
/// ends one round of it.
pub(crate) fn watch(mut watchdog: Watchdog) {
    let core = Arc::clone(watchdog.core());
    core.watch.introduce(thread::current());
    let step = |watchdog: &mut Watchdog| {
        let stepped = catch_unwind(AssertUnwindSafe(|| watchdog.step()));
        stepped.unwrap_or_else(|panic| {
            tracing::warn!(message = message_of(panic), "watchdog");
            AFTER_PANIC
        })
    };
    while !watchdog.is_done() {
        let wait = step(&mut watchdog);
        if wait <= watchdog.tick() {
            thread::park_timeout(wait);
            continue;
        }
        core.watch.lie_down();
        // Looks once more: a thread that wakes it looks whether it sleeps after the fact.
        match step(&mut watchdog) {
            wait if wait <= watchdog.tick() || watchdog.is_done() => {}
            Duration::MAX => {
                while core.watch.is_asleep() {
                    thread::park();
                }
            }
            wait => thread::park_timeout(wait),
        }
        core.watch.get_up();
    }
}

/// Spins to one look at the clock, which takes longer than a spin, and keeps the thread from seeing
/// what it waits for.
const SPINS_A_LOOK: u32 = 8;

/// How long a thread still spins before it does something that costs a wake-up.
#[derive(Debug)]
pub(crate) struct Patience {
    waiting: Waiting,
    since: Option<Instant>,
    /// Since it was begun.
    spins: u32,
    yields: u32,
}

impl Patience {
    pub(crate) fn new(waiting: Waiting) -> Patience {
        Patience { waiting, since: None, spins: 0, yields: 0 }
    }

    /// Begins anew.
    pub(crate) fn renew(&mut self) {
        *self = Patience::new(self.waiting);
    }

    /// Spins or yields once, where some patience is left.
    pub(crate) fn is_left(&mut self) -> bool {
        if !self.waiting.spin.is_zero() {
            let is_look = self.spins.is_multiple_of(SPINS_A_LOOK);
            let since = *self.since.get_or_insert_with(now);
            if !is_look || now().duration_since(since) < self.waiting.spin {
                self.spins = self.spins.wrapping_add(1);
                std::hint::spin_loop();
                return true;
            }
        }
        if self.yields < self.waiting.yields {
            self.yields += 1;
            thread::yield_now();
            return true;
        }
        false
    }
}

/// What a panic said, in one line.
pub(crate) fn message_of(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| String::from("no message"));
    discard(panic);
    format!("panicked: {}", text.lines().next().unwrap_or_default())
}
