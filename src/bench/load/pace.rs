//! Waiting for a moment without keeping a core busy all the while.
//!
//! A sleeping thread is woken too late, by an amount that depends on the machine and is much the
//! same from sleep to sleep: so a pacer sleeps until that long before the moment, having seen how
//! late it was lately, and spins for the rest. On Linux it also asks the system not to gather its
//! wake-ups with others (prctl(2), `PR_SET_TIMERSLACK`), which is worth fifty microseconds.

use std::thread;
use std::time::{Duration, Instant};

/// What sleeps are taken to be late by before any has been seen.
const LATE_FIRST_NS: u64 = 100_000;
/// The most that is spun for: a sleep that was later than that met something rare.
const LATE_MAX_NS: u64 = 400_000;
/// Sleeps shorter than this gain nothing.
const SLEEP_MIN_NS: u64 = 5_000;

/// Looks in vain, some fifty microseconds of them, before a thread with a core to itself yields.
const LOOKS: u32 = 1_000;

/// Sleeps short of a moment, by what sleeps were late before.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Pacer {
    lateness: Lateness,
    /// Looks in vain since something was seen, or since the last yield, and how many there may be.
    looks: u32,
    patience: u32,
}

impl Pacer {
    /// For this thread.
    pub(in crate::bench) fn new() -> Pacer {
        ask_for_prompt_wake_ups();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let patience = if cores > 1 { LOOKS } else { 1 };
        Pacer { lateness: Lateness { ns: LATE_FIRST_NS }, looks: 0, patience }
    }

    /// Something was seen that the thread looked for.
    pub(in crate::bench) fn saw(&mut self) {
        self.looks = 0;
    }

    /// Rests where nothing is due for `ns`. A thread that looks for something meanwhile spins, and
    /// having looked for long in vain it yields: what it looks for may wait for this very core.
    /// Any other sleeps, where there is time for that.
    pub(in crate::bench) fn rest(&mut self, ns: u64, looks: bool) {
        if !looks && self.sleep_within(ns) {
            return;
        }
        self.looks += 1;
        if self.looks < self.patience {
            std::hint::spin_loop();
        } else {
            self.looks = 0;
            thread::yield_now();
        }
    }

    /// Sleeps for a part of `ns`, such that hardly any sleep ends past it; not at all where that is
    /// too short. Returns whether it slept.
    pub(in crate::bench) fn sleep_within(&mut self, ns: u64) -> bool {
        let Some(sleep_ns) = self.lateness.sleep_for(ns) else { return false };
        let begun = Instant::now();
        thread::sleep(Duration::from_nanos(sleep_ns));
        let took_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.lateness.learn(took_ns.saturating_sub(sleep_ns));
        true
    }
}

/// How late sleeps end: an estimate above nearly all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lateness {
    ns: u64,
}

impl Lateness {
    /// How long to sleep where something is due in `ns`.
    fn sleep_for(self, ns: u64) -> Option<u64> {
        ns.checked_sub(self.ns).filter(|ns| *ns >= SLEEP_MIN_NS)
    }

    /// Follows what is later at once half-way, and what is earlier slowly: so it stays above all
    /// but few.
    fn learn(&mut self, late_ns: u64) {
        // A quarter more than was seen, for what has not been.
        let late_ns = (late_ns + late_ns / 4).min(LATE_MAX_NS);
        self.ns = match late_ns.checked_sub(self.ns) {
            Some(more) => self.ns + more / 2,
            None => self.ns - (self.ns - late_ns) / 64,
        };
    }
}

#[cfg(target_os = "linux")]
fn ask_for_prompt_wake_ups() {
    // Where the system refuses, sleeps are later and the pacer spins for longer.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

#[cfg(not(target_os = "linux"))]
fn ask_for_prompt_wake_ups() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_stays_above_nearly_all_sleeps() {
        let mut lateness = Lateness { ns: LATE_FIRST_NS };
        let seen = |n: u64| 15_000 + (n * 7_919 % 10) * 1_000;
        let later = (0..2_000).filter(|n| {
            let was_later = seen(*n) > lateness.ns;
            lateness.learn(seen(*n));
            was_later && *n > 1_000
        });
        let later = later.count();
        assert!(later < 20, "{later} of 1,000 were later");
        assert!((20_000..40_000).contains(&lateness.ns), "{}", lateness.ns);
        // One that was held up for long is half forgotten after some tens of others.
        lateness.learn(50_000_000);
        assert!(lateness.ns <= LATE_MAX_NS / 2 + 20_000, "{}", lateness.ns);
        (0..200).for_each(|n| lateness.learn(seen(n)));
        assert!(lateness.ns < 50_000, "{}", lateness.ns);
    }

    #[test]
    fn what_is_due_soon_is_not_slept_for() {
        let lateness = Lateness { ns: 60_000 };
        assert_eq!(lateness.sleep_for(60_000 + SLEEP_MIN_NS - 1), None);
        assert_eq!(lateness.sleep_for(100_000), Some(40_000));
        assert_eq!(lateness.sleep_for(0), None);
    }
}
