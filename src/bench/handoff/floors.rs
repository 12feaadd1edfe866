//! Round trips of two threads that share nothing but a cache line, a queue, or a wake-up: what no
//! pipeline between two threads can be faster than.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use super::super::load::Durations;

/// What an echo answers with nothing: the end.
const END: u64 = u64::MAX;
/// Looks before a spinning thread lets others run: so many more than a round trip takes that it
/// does so only where the other one has no core.
const LOOKS: u32 = 4_000;

/// Both threads spin, each on a word that the other writes.
pub(super) fn cache_line(time: Duration) -> Durations {
    let (there, back) = (Word::default(), Word::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while seen != END {
                seen = there.after(seen);
                back.0.store(seen, Ordering::Release);
            }
        });
        trips(time, |trip| {
            there.0.store(trip, Ordering::Release);
            back.until(trip);
        })
    })
}

/// Both threads spin, each on a queue that the other pushes to.
pub(super) fn queue(time: Duration) -> Durations {
    let (there, back) = (ArrayQueue::new(1024), ArrayQueue::new(1024));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut trip = 0;
            while trip != END {
                trip = spin(LOOKS, || there.pop());
                // The other thread has one number under way at a time.
                let _ = back.push(trip);
            }
        });
        trips(time, |trip| {
            let _ = there.push(trip);
            spin(LOOKS, || back.pop().filter(|got| *got == trip));
        })
    })
}

/// Both threads park, and each is unparked by the other.
pub(super) fn park(time: Duration) -> Durations {
    let (there, back) = (Word::default(), Word::default());
    let caller = thread::current();
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let mut seen = 0;
            while seen != END {
                let word = there.0.load(Ordering::Acquire);
                if word == seen {
                    thread::park();
                    continue;
                }
                seen = word;
                back.0.store(seen, Ordering::Release);
                caller.unpark();
            }
        });
        trips(time, |trip| {
            there.0.store(trip, Ordering::Release);
            echo.thread().unpark();
            while back.0.load(Ordering::Acquire) != trip {
                thread::park();
            }
        })
    })
}

/// Makes trips for some time, after a tenth of it that is left out, and ends the echo.
fn trips(time: Duration, mut make: impl FnMut(u64)) -> Durations {
    let mut number = 0;
    let mut make_for = |time: Duration| {
        let mut taken = Durations::default();
        let start = Instant::now();
        loop {
            number += 1;
            let begun = Instant::now();
            make(number);
            let done = Instant::now();
            taken.add(done - begun);
            if done - start >= time {
                return taken;
            }
        }
    };
    make_for(time / 10);
    let taken = make_for(time);
    make(END);
    taken
}

#[derive(Debug, Default)]
struct Word(CachePadded<AtomicU64>);

impl Word {
    /// Spins until the word is another than `seen`, and returns it.
    fn after(&self, seen: u64) -> u64 {
        spin(LOOKS, || Some(self.0.load(Ordering::Acquire)).filter(|word| *word != seen))
    }

    fn until(&self, expected: u64) {
        spin(LOOKS, || Some(self.0.load(Ordering::Acquire)).filter(|word| *word == expected));
    }
}

/// Spins until there is something, and lets other threads run after so many looks.
pub(super) fn spin<T>(patience: u32, mut look: impl FnMut() -> Option<T>) -> T {
    let mut looks = 0_u32;
    loop {
        if let Some(found) = look() {
            return found;
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(patience) { thread::yield_now() } else { spin_loop() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_floor_makes_trips_and_ends() {
        for floor in [cache_line, queue, park] {
            let trips = floor(Duration::from_millis(5));
            assert!(trips.count() > 0);
            assert!(trips.percentiles().p50_us > 0.0);
        }
    }

    #[test]
    fn a_trip_is_as_long_as_the_other_thread_takes() {
        let taken = trips(Duration::from_millis(20), |_| thread::sleep(Duration::from_millis(2)));
        assert!(taken.percentiles().p50_us >= 2_000.0);
        assert!((1..=10).contains(&taken.count()));
    }
}
