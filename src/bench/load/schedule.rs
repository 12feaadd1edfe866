//! Requests at a fixed rate, each due at its own time whatever became of those before it.
//!
//! Latency counts from the time a request was *due*. One that could not be sent in time, because
//! the service or the sender itself was held up, has waited all the same: leaving that out would
//! hide each pause behind the requests that it kept from being sent.

use std::collections::VecDeque;
use std::time::Duration;

use super::durations::Durations;

/// What a schedule is kept for. Time is in nanoseconds since a moment of the service's own.
pub(in crate::bench) trait Service {
    /// What ends the experiment.
    type Error;

    /// The time.
    fn now_ns(&self) -> u64;

    /// Hands a request over; false where there is no room for it now.
    fn offer(&mut self, number: u64) -> Result<bool, Self::Error>;

    /// The next request that was answered, in the order they were offered, and when.
    fn collect(&mut self) -> Result<Option<(u64, u64)>, Self::Error>;

    /// Nothing is due for so long: the service may let others run.
    fn rest(&mut self, ns: u64);
}

/// A rate, and how long it is to be kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Schedule {
    interval_ns: f64,
    requests: u64,
}

/// How a schedule was kept, and what came of it.
#[derive(Debug, Default)]
pub(in crate::bench) struct Kept {
    /// From the time each request was due to its answer; what was not sent counts with the time it
    /// had waited when the schedule was given up.
    pub(in crate::bench) latency: Durations,
    /// From the time each request was due to the time it was sent.
    pub(in crate::bench) late: Durations,
    /// From the time each request was sent to its answer: what is left of the latency without the
    /// sender's own delay.
    pub(in crate::bench) called: Durations,
    /// Requests that found no room when they were due, and waited.
    pub(in crate::bench) full: u64,
    /// Requests that were given up because time was over.
    pub(in crate::bench) unsent: u64,
}

/// A schedule is kept where 99 of 100 requests were sent within this of their time.
const LATE_MAX: Duration = Duration::from_micros(100);

impl Schedule {
    /// So many requests a second for so long, one at least.
    pub(in crate::bench) fn new(per_s: f64, time: Duration) -> Schedule {
        let interval_ns = 1e9 / per_s.max(1e-3);
        let requests = (time.as_nanos() as f64 / interval_ns) as u64;
        Schedule { interval_ns, requests: requests.max(1) }
    }

    /// When a request is due.
    fn due_ns(&self, number: u64) -> u64 {
        (number as f64 * self.interval_ns) as u64
    }

    /// When nothing more is sent: half as late again as the last request is due, so that a service
    /// that cannot keep up ends the schedule instead of stretching it.
    fn over_ns(&self) -> u64 {
        self.due_ns(self.requests).saturating_mul(3) / 2
    }

    /// Keeps the schedule. A sender that was held up sends what is overdue one after the other, and
    /// takes answers in between.
    pub(in crate::bench) fn keep<S: Service>(&self, service: &mut S) -> Result<Kept, S::Error> {
        let start_ns = service.now_ns();
        let mut kept = Kept::default();
        let (mut next, mut answered, mut end) = (0, 0, self.requests);
        let mut found_full = None;
        // When each request was sent that is not answered, the oldest first.
        let mut sent_ns = VecDeque::new();
        while answered < end {
            let now_ns = service.now_ns() - start_ns;
            if next < end && now_ns > self.over_ns() {
                let waited = (next..end).map(|number| now_ns - self.due_ns(number));
                waited.for_each(|ns| kept.latency.add_ns(ns));
                kept.unsent = end - next;
                end = next;
            } else if next < end && self.due_ns(next) <= now_ns {
                if service.offer(next)? {
                    kept.late.add_ns(now_ns - self.due_ns(next));
                    sent_ns.push_back(now_ns);
                    next += 1;
                } else if found_full.replace(next) != Some(next) {
                    kept.full += 1;
                }
            }
            let left_ns = if next < end { self.due_ns(next).saturating_sub(now_ns) } else { 0 };
            match service.collect()? {
                Some((number, at_ns)) => {
                    answered += 1;
                    let at_ns = at_ns - start_ns;
                    kept.latency.add_ns(at_ns.saturating_sub(self.due_ns(number)));
                    let sent_ns = sent_ns.pop_front().unwrap_or(at_ns);
                    kept.called.add_ns(at_ns.saturating_sub(sent_ns));
                }
                None => service.rest(left_ns),
            }
        }
        Ok(kept)
    }
}

impl Kept {
    /// Whether the rate was what it was meant to be.
    pub(in crate::bench) fn is_kept(&self) -> bool {
        let late_max_us = LATE_MAX.as_secs_f64() * 1e6;
        self.unsent == 0 && self.late.percentiles().p99_us <= late_max_us
    }

    /// Adds what came of keeping the same schedule again.
    pub(in crate::bench) fn add(&mut self, other: &Kept) {
        self.latency.merge(&other.latency);
        self.late.merge(&other.late);
        self.called.merge(&other.called);
        self.full += other.full;
        self.unsent += other.unsent;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use super::*;

    /// A service on a clock that moves only by what is done: handing over takes 50 ns, and each
    /// request a fixed time of a single server.
    #[derive(Debug)]
    struct Fake {
        now_ns: u64,
        /// A request whose hand-over holds the sender up, and for how long.
        pause: (u64, u64),
        serving_ns: u64,
        room: usize,
        free_at_ns: u64,
        waiting: VecDeque<(u64, u64)>,
        rests_ns: u64,
    }

    impl Fake {
        fn new(serving_ns: u64, room: usize) -> Fake {
            let (now_ns, pause) = (77, (u64::MAX, 0));
            let waiting = VecDeque::new();
            Fake { now_ns, pause, serving_ns, room, free_at_ns: 0, waiting, rests_ns: 0 }
        }
    }

    impl Service for Fake {
        type Error = Infallible;

        fn now_ns(&self) -> u64 {
            self.now_ns
        }

        fn offer(&mut self, number: u64) -> Result<bool, Infallible> {
            self.now_ns += 50;
            if self.waiting.len() >= self.room {
                return Ok(false);
            }
            if self.pause.0 == number {
                self.now_ns += self.pause.1;
            }
            self.free_at_ns = self.free_at_ns.max(self.now_ns) + self.serving_ns;
            self.waiting.push_back((number, self.free_at_ns));
            Ok(true)
        }

        fn collect(&mut self) -> Result<Option<(u64, u64)>, Infallible> {
            let done = self.waiting.front().is_some_and(|(_, at_ns)| *at_ns <= self.now_ns);
            Ok(if done { self.waiting.pop_front() } else { None })
        }

        fn rest(&mut self, ns: u64) {
            self.rests_ns += ns;
            self.now_ns += ns.clamp(1, 100);
        }
    }

    /// A request a microsecond, for 10 ms.
    fn schedule() -> Schedule {
        Schedule::new(1e6, Duration::from_millis(10))
    }

    #[test]
    fn a_service_that_keeps_up_shows_its_own_time() {
        let kept = schedule().keep(&mut Fake::new(300, 100)).unwrap();
        let latency = kept.latency.percentiles();
        assert_eq!((kept.latency.count(), kept.late.count()), (10_000, 10_000));
        assert!((0.3..0.6).contains(&latency.p50_us) && latency.max_us < 0.8, "{latency:?}");
        assert_eq!((kept.full, kept.unsent, kept.is_kept()), (0, 0, true));
    }

    #[test]
    fn a_pause_counts_for_every_request_that_it_kept_from_being_sent() {
        let mut service = Fake::new(300, 10_000);
        service.pause = (5_000, 1_000_000);
        let kept = schedule().keep(&mut service).unwrap();
        let latency = kept.latency.percentiles();
        // A thousand requests were due during the pause: the longest hundred waited for 0.9 ms and
        // more, the median of all is that of the 9,000 others.
        assert_eq!(kept.latency.count(), 10_000);
        assert!((900.0..1_010.0).contains(&latency.p99_us), "{latency:?}");
        assert!(
            (1_000.0..1_010.0).contains(&latency.max_us) && latency.p50_us < 1.0,
            "{latency:?}"
        );
        assert!(kept.late.percentiles().max_us > 990.0 && !kept.is_kept());
        // The pause fell between the call and the answer of one request only.
        assert_eq!(kept.called.count(), 10_000);
        assert!(kept.called.percentiles().max_us > 1_000.0, "{:?}", kept.called.percentiles());
        assert!(kept.called.percentiles().p50_us < 1.0);
    }

    #[test]
    fn a_service_that_cannot_keep_up_ends_the_schedule() {
        let mut service = Fake::new(2_500, 16);
        let kept = schedule().keep(&mut service).unwrap();
        assert!(kept.full > 0 && !kept.is_kept());
        // In 15 ms it served 6,000; the others count as well, with what they had waited.
        assert!((3_900..4_100).contains(&kept.unsent), "{}", kept.unsent);
        assert_eq!(kept.latency.count(), 10_000);
        assert!(kept.latency.percentiles().p50_us > 1_000.0);
        assert!((15_000_000..15_100_000).contains(&service.now_ns), "{}", service.now_ns);
    }

    #[test]
    fn between_requests_the_service_rests() {
        let mut service = Fake::new(300, 16);
        let schedule = Schedule::new(1e3, Duration::from_millis(10));
        assert_eq!(schedule.keep(&mut service).unwrap().latency.count(), 10);
        assert!(service.rests_ns > 8_000_000, "{}", service.rests_ns);
        assert_eq!(Schedule::new(1e-9, Duration::ZERO).requests, 1);
    }

    #[test]
    fn windows_add_up() {
        let mut sum = schedule().keep(&mut Fake::new(2_500, 16)).unwrap();
        let (unsent, full) = (sum.unsent, sum.full);
        sum.add(&schedule().keep(&mut Fake::new(2_500, 16)).unwrap());
        assert_eq!((sum.unsent, sum.full), (2 * unsent, 2 * full));
        assert_eq!(sum.latency.count(), 20_000);
        assert_eq!(sum.called.count() + sum.unsent, 20_000);
    }
}
