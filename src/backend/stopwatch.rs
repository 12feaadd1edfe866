//! Time as it passes for a thread that looks at the clock again and again.
//!
//! A process may stand still for a while: stopped by a signal, throttled, or moved to another
//! machine. A thread sees that as a gap between two looks, far longer than it meant to be away.
//! Nothing else in the process ran in that gap either, so it must not count against a device that
//! was to be done by some time. A gap counts as one tick.

use std::time::{Duration, Instant};

use super::{BackendError, ExecutionContext};

/// Ticks in a limit.
const TICKS: u32 = 16;
/// The shortest tick.
pub(crate) const TICK_MIN: Duration = Duration::from_millis(1);
/// A gap is longer than this part of the limit.
const GAP: u32 = 8;

/// Counts the time that a thread was there for, up to some limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    tick: Duration,
    gap: Duration,
    last: Duration,
    counted: Duration,
}

impl Stopwatch {
    /// Begins to count at `now`, for a limit of this length, in ticks that are no longer than that.
    pub(crate) fn new(limit: Duration, tick_max: Duration, now: Duration) -> Stopwatch {
        let tick = (limit / TICKS).min(tick_max).max(TICK_MIN);
        Stopwatch { tick, gap: limit / GAP, last: now, counted: Duration::ZERO }
    }

    /// How often the thread is to look.
    pub(crate) fn tick(&self) -> Duration {
        self.tick
    }

    /// Looks at the clock. Returns the time counted until `now`.
    pub(crate) fn look(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.last);
        self.last = now;
        self.counted += if passed > self.gap { self.tick.min(self.gap) } else { passed };
        self.counted
    }
}

/// Calls `wait` with instants a tick apart, by the clock `now`, until it says that what it waits
/// for is there, or `limit` was counted. Returns whether it is there.
pub(crate) fn wait_for<E>(
    limit: Duration,
    now: impl Fn() -> Instant,
    mut wait: impl FnMut(Instant) -> Result<bool, E>,
) -> Result<bool, E> {
    let begun = now();
    // Every tick may cost `wait` an error that says how late it is, so they are few.
    let mut stopwatch = Stopwatch::new(limit, limit, Duration::ZERO);
    let mut left = limit;
    loop {
        if wait(now() + left.min(stopwatch.tick()))? {
            return Ok(true);
        }
        let counted = stopwatch.look(now().saturating_duration_since(begun));
        left = limit.saturating_sub(counted);
        if left.is_zero() {
            return Ok(false);
        }
    }
}

/// Waits until the batch in flight has completed, for `limit` at most as `now` tells the time.
pub(crate) fn complete(
    context: &mut dyn ExecutionContext,
    limit: Duration,
    now: impl Fn() -> Instant,
) -> Result<(), BackendError> {
    let mut late = None;
    let is_complete = wait_for(limit, now, |until| match context.wait(until) {
        Ok(()) => Ok(true),
        Err(error @ BackendError::Timeout { .. }) => {
            late = Some(error);
            Ok(false)
        }
        Err(error) => Err(error),
    })?;
    late.filter(|_| !is_complete).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);
    const TICK_MAX: Duration = Duration::from_millis(20);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn time_counts_as_it_passes() {
        let mut stopwatch = Stopwatch::new(LIMIT, TICK_MAX, ms(100));
        assert_eq!(stopwatch.tick(), TICK_MAX);
        assert_eq!(stopwatch.look(ms(120)), ms(20));
        assert_eq!(stopwatch.look(ms(120)), ms(20));
        assert_eq!(stopwatch.look(ms(370)), ms(270), "a slow machine's tick");
        assert_eq!(stopwatch.look(ms(300)), ms(270), "a clock that goes backwards");
    }

    #[test]
    fn a_gap_counts_as_a_tick_however_long_it_is() {
        let mut stopwatch = Stopwatch::new(LIMIT, TICK_MAX, Duration::ZERO);
        for gaps in 1..50 {
            assert_eq!(stopwatch.look(ms(3_600_000 * gaps)), ms(20 * gaps));
        }
    }

    #[test]
    fn the_shortest_limit_is_reached_by_ticks_that_are_longer() {
        let mut stopwatch = Stopwatch::new(ms(1), TICK_MAX, Duration::ZERO);
        let looks = (1..).find(|looks| stopwatch.look(ms(*looks)) >= ms(1));
        assert_eq!(looks, Some(8));
    }

    /// Waits for something that is never there, on a clock that each wait moves by `steps`.
    fn waits(limit: Duration, steps: impl Fn(u32) -> Duration) -> u32 {
        let (begun, passed, looks) = (Instant::now(), Cell::new(Duration::ZERO), Cell::new(0));
        let there = wait_for(
            limit,
            || begun + passed.get(),
            |_| {
                looks.set(looks.get() + 1);
                passed.set(passed.get() + steps(looks.get()));
                Ok::<bool, ()>(false)
            },
        );
        assert_eq!(there, Ok(false));
        looks.get()
    }

    #[test]
    fn a_wait_ends_with_its_limit_and_a_pause_is_none_of_it() {
        assert_eq!(waits(LIMIT, |_| ms(20)), 100);
        let paused = |look| if look == 7 { Duration::from_secs(3600) } else { ms(20) };
        // The pause counts as a tick, which is a sixteenth of the limit.
        assert_eq!(waits(LIMIT, paused), 95);
        assert_eq!(waits(Duration::ZERO, |_| ms(20)), 1);
        let found = wait_for(LIMIT, Instant::now, |_| Ok::<bool, ()>(true));
        assert_eq!(found, Ok(true));
        assert_eq!(wait_for(LIMIT, Instant::now, |_| Err(7)), Err(7));
    }
}
