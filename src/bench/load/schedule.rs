//! Requests as they arrive, each due at its own time whatever became of those before it.
//!
//! Latency counts from the time a request was *due*. One that could not be sent in time, because
//! the service or the sender itself was held up, has waited all the same: leaving that out would
//! hide each pause behind the requests that it kept from being sent.

use std::collections::VecDeque;
use std::time::Duration;

use super::arrivals::Arrivals;
use super::durations::Durations;

/// What a schedule is kept for. Time is in nanoseconds since a moment of the service's own.
pub(in crate::bench) trait Service {
    /// What ends the experiment.
    type Error;

    /// The time.
    fn now_ns(&self) -> u64;

    /// Hands a request over; false where there is no room for it now.
    fn offer(&mut self, number: u64) -> Result<bool, Self::Error>;

    /// When the next request was answered, in the order they were offered, if it was.
    fn collect(&mut self) -> Result<Option<u64>, Self::Error>;

    /// Nothing is due for so long: the service may let others run.
    fn rest(&mut self, ns: u64);
}

/// Times that requests are due, for so long.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Schedule {
    arrivals: Arrivals,
    time: Duration,
    /// The first requests, which are sent and answered and left out of every figure.
    warm_up: Duration,
    /// What latency is kept by, besides the whole.
    slices: Slices,
}

/// Equal parts of a time that repeats itself, such as a burst and what comes before it; none by
/// default.
#[derive(Clone, Copy, Debug, Default)]
struct Slices {
    period_ns: u64,
    count: usize,
}

impl Slices {
    /// The part that a time lies in, in nanoseconds after the first period began.
    fn of(&self, ns: u64) -> Option<usize> {
        let within_ns = u128::from(ns.checked_rem(self.period_ns)?);
        // Less than the count.
        Some((within_ns * self.count as u128 / u128::from(self.period_ns)) as usize)
    }
}

/// How a schedule was kept, and what came of it.
#[derive(Clone, Debug, Default)]
pub(in crate::bench) struct Kept {
    /// From the time each request was due to its answer; what was not sent counts with the time it
    /// had waited when the schedule was given up.
    pub(in crate::bench) latency: Durations,
    /// The same by the part of a period that each request was due in; empty where the schedule
    /// has no parts.
    pub(in crate::bench) slices: Vec<Durations>,
    /// From the time each request was due to the time it was sent.
    pub(in crate::bench) late: Durations,
    /// From the time each request was sent to its answer: what is left of the latency without the
    /// sender's own delay.
    pub(in crate::bench) called: Durations,
    /// Requests that found no room when they were due, and waited.
    pub(in crate::bench) full: u64,
    /// Requests that were given up because time was over.
    pub(in crate::bench) unsent: u64,
    /// Requests that were answered.
    pub(in crate::bench) answered: u64,
    /// From the time that the first of them was due until the last one's answer, or, where that is
    /// longer, the time that the schedule was for.
    pub(in crate::bench) took: Duration,
}

const QUARTERS: u32 = 4;

/// A schedule is kept where 99 of 100 requests were sent within this of their time.
pub(in crate::bench) const LATE_MAX: Duration = Duration::from_micros(100);

impl Schedule {
    /// So many requests a second, at equal intervals, for so long, one at least.
    pub(in crate::bench) fn new(per_s: f64, time: Duration) -> Schedule {
        Schedule::of(Arrivals::Constant { per_s }, time)
    }

    /// Requests as they arrive, for so long, one at least.
    pub(in crate::bench) fn of(arrivals: Arrivals, time: Duration) -> Schedule {
        Schedule { arrivals, time, warm_up: Duration::ZERO, slices: Slices::default() }
    }

    /// The same after some time that is not counted.
    pub(in crate::bench) fn after(self, warm_up: Duration) -> Schedule {
        Schedule { time: self.time + warm_up, warm_up, ..self }
    }

    /// The same with latencies kept by the part of a period that requests are due in, too: so many
    /// parts of periods that follow each other from the warm-up's end on.
    pub(in crate::bench) fn sliced(self, period: Duration, count: usize) -> Schedule {
        Schedule { slices: Slices { period_ns: nanoseconds(period), count }, ..self }
    }

    /// The same with latencies kept by quarters of what is counted, for [`Schedule::comes_out`].
    pub(in crate::bench) fn in_quarters(self) -> Schedule {
        self.sliced(self.counted(), QUARTERS as usize)
    }

    /// Whether at least this share of what went in came out, of a schedule in quarters: whether the
    /// last quarter's median latency grew beyond the first's by no more than the rest of the time
    /// between the two. How long each request takes is no matter as long as it stays the same, and
    /// neither is a pause that is over in less than half of a quarter.
    pub(in crate::bench) fn comes_out(&self, kept: &Kept, share: f64) -> bool {
        let [first, .., last] = &kept.slices[..] else { return false };
        if first.count() == 0 || last.count() == 0 {
            return false;
        }
        let between = self.counted() * (QUARTERS - 1) / QUARTERS;
        let growth_us = last.percentiles().p50_us - first.percentiles().p50_us;
        kept.unsent == 0 && growth_us <= (1.0 - share) * between.as_secs_f64() * 1e6
    }

    /// How long requests are counted.
    fn counted(&self) -> Duration {
        self.time - self.warm_up
    }

    /// When nothing more is sent: half as late again as the schedule is long, so that a service
    /// that cannot keep up ends the schedule instead of stretching it.
    fn over_ns(&self) -> u64 {
        nanoseconds(self.time).saturating_mul(3) / 2
    }

    /// Keeps the schedule. A sender that was held up sends what is overdue one after the other, and
    /// takes answers in between.
    pub(in crate::bench) fn keep<S: Service>(&self, service: &mut S) -> Result<Kept, S::Error> {
        let start_ns = service.now_ns();
        let (counted_from_ns, over_ns) = (nanoseconds(self.warm_up), self.over_ns());
        let mut due = self.arrivals.over(self.time).peekable();
        let mut keeping = Keeping::new(counted_from_ns, self.slices);
        let (mut next, mut found_full) = (0, None);
        loop {
            let now_ns = service.now_ns() - start_ns;
            match due.peek().copied() {
                Some(_) if now_ns > over_ns => {
                    due.by_ref().for_each(|due_ns| keeping.give_up(due_ns, now_ns));
                }
                Some(due_ns) if due_ns <= now_ns => {
                    if service.offer(next)? {
                        keeping.sent(due_ns, now_ns);
                        due.next();
                        next += 1;
                    } else if found_full.replace(next) != Some(next) {
                        keeping.full(due_ns);
                    }
                }
                Some(_) => {}
                None if keeping.under_way.is_empty() => break,
                None => {}
            }
            match service.collect()? {
                Some(at_ns) => keeping.answered(at_ns - start_ns),
                None => {
                    let left = due.peek().map_or(0, |due_ns| due_ns.saturating_sub(now_ns));
                    service.rest(left);
                }
            }
        }
        Ok(keeping.finish(self.counted()))
    }
}

/// A schedule while it is kept.
#[derive(Debug, Default)]
struct Keeping {
    kept: Kept,
    /// What is due before this is not counted.
    counted_from_ns: u64,
    slices: Slices,
    /// When each request was due and sent that is not answered, the oldest first.
    under_way: VecDeque<(u64, u64)>,
    last_ns: u64,
}

impl Keeping {
    fn new(counted_from_ns: u64, slices: Slices) -> Keeping {
        let mut keeping = Keeping { counted_from_ns, slices, ..Keeping::default() };
        keeping.kept.slices.resize_with(slices.count, Durations::default);
        keeping
    }

    /// Counts what a request took, from the time it was due until now.
    fn latency(&mut self, due_ns: u64, now_ns: u64) {
        let latency_ns = now_ns.saturating_sub(due_ns);
        self.kept.latency.add_ns(latency_ns);
        if let Some(slice) = self.slices.of(due_ns - self.counted_from_ns) {
            self.kept.slices[slice].add_ns(latency_ns);
        }
    }

    fn is_counted(&self, due_ns: u64) -> bool {
        due_ns >= self.counted_from_ns
    }

    fn sent(&mut self, due_ns: u64, now_ns: u64) {
        self.under_way.push_back((due_ns, now_ns));
        if self.is_counted(due_ns) {
            self.kept.late.add_ns(now_ns - due_ns);
        }
    }

    fn full(&mut self, due_ns: u64) {
        self.kept.full += u64::from(self.is_counted(due_ns));
    }

    fn give_up(&mut self, due_ns: u64, now_ns: u64) {
        if self.is_counted(due_ns) {
            self.latency(due_ns, now_ns);
            self.kept.unsent += 1;
        }
    }

    /// The oldest request under way was answered.
    fn answered(&mut self, at_ns: u64) {
        let Some((due_ns, sent_ns)) = self.under_way.pop_front() else { return };
        self.last_ns = at_ns;
        if self.is_counted(due_ns) {
            self.kept.answered += 1;
            self.latency(due_ns, at_ns);
            self.kept.called.add_ns(at_ns.saturating_sub(sent_ns));
        }
    }

    fn finish(self, time: Duration) -> Kept {
        let until_last = Duration::from_nanos(self.last_ns.saturating_sub(self.counted_from_ns));
        Kept { took: until_last.max(time), ..self.kept }
    }
}

impl Kept {
    /// Whether the rate was what it was meant to be.
    pub(in crate::bench) fn is_kept(&self) -> bool {
        let late_max_us = LATE_MAX.as_secs_f64() * 1e6;
        self.unsent == 0 && self.late.percentiles().p99_us <= late_max_us
    }

    /// Requests answered a second.
    pub(in crate::bench) fn answered_per_s(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Adds what came of keeping the same schedule again.
    pub(in crate::bench) fn add(&mut self, other: &Kept) {
        self.latency.merge(&other.latency);
        let slices = self.slices.len().max(other.slices.len());
        self.slices.resize_with(slices, Durations::default);
        for (slice, other) in self.slices.iter_mut().zip(&other.slices) {
            slice.merge(other);
        }
        self.late.merge(&other.late);
        self.called.merge(&other.called);
        self.full += other.full;
        self.unsent += other.unsent;
        self.answered += other.answered;
        self.took += other.took;
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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
        /// From the end of a request's serving until its answer is there.
        delay_ns: u64,
        room: usize,
        free_at_ns: u64,
        waiting: VecDeque<u64>,
        rests_ns: u64,
    }

    impl Fake {
        fn new(serving_ns: u64, room: usize) -> Fake {
            let (now_ns, pause) = (77, (u64::MAX, 0));
            let (delay_ns, free_at_ns, rests_ns) = (0, 0, 0);
            let waiting = VecDeque::new();
            Fake { now_ns, pause, serving_ns, delay_ns, room, free_at_ns, waiting, rests_ns }
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
            self.waiting.push_back(self.free_at_ns + self.delay_ns);
            Ok(true)
        }

        fn collect(&mut self) -> Result<Option<u64>, Infallible> {
            let done = self.waiting.front().is_some_and(|at_ns| *at_ns <= self.now_ns);
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
    }

    #[test]
    fn what_warms_up_is_sent_and_not_counted() {
        let mut service = Fake::new(300, 10_000);
        // A pause while it warms up, over before the rest is due.
        service.pause = (1_000, 2_000_000);
        let kept = schedule().after(Duration::from_millis(5)).keep(&mut service).unwrap();
        assert_eq!(
            (kept.answered, kept.latency.count(), kept.late.count()),
            (10_000, 10_000, 10_000)
        );
        assert!(kept.latency.percentiles().max_us < 1.0 && kept.is_kept());
        assert!((kept.answered_per_s() / 1e6 - 1.0).abs() < 0.01, "{}", kept.answered_per_s());
    }

    #[test]
    fn slices_hold_what_was_due_in_them() {
        // Twice as many requests in each last quarter of a millisecond as in the other three.
        let bursts = Arrivals::Bursts {
            base_per_s: 1e6,
            burst_per_s: 2e6,
            base: Duration::from_micros(750),
            burst: Duration::from_micros(250),
        };
        let period = Duration::from_millis(1);
        let schedule = Schedule::of(bursts, 2 * period).after(period).sliced(period, 4);
        let mut service = Fake::new(600, 10_000);
        let mut kept = schedule.keep(&mut service).unwrap();
        let counts = |kept: &Kept| kept.slices.iter().map(Durations::count).collect::<Vec<_>>();
        assert_eq!(counts(&kept), [500, 500, 500, 1_000]);
        let p99 = |slice: usize| kept.slices[slice].percentiles().p99_us;
        // A server that takes 600 ns lags 25 us behind at the end of 500 requests 500 ns apart.
        assert!((45.0..60.0).contains(&p99(3)), "{}", p99(3));
        assert!(p99(0) > 30.0 && p99(2) < 1.0, "{} {}", p99(0), p99(2));
        kept.add(&kept.clone());
        assert_eq!(counts(&kept), [1_000, 1_000, 1_000, 2_000]);
    }

    #[test]
    fn a_rate_comes_out_where_latency_does_not_grow() {
        let schedule = schedule().after(Duration::from_millis(2)).in_quarters();
        let comes_out = |serving_ns, delay_ns, pause| {
            let mut service = Fake { delay_ns, pause, ..Fake::new(serving_ns, 100_000) };
            schedule.comes_out(&schedule.keep(&mut service).unwrap(), 0.99)
        };
        let no_pause = (u64::MAX, 0);
        assert!(comes_out(300, 0, no_pause));
        assert!(comes_out(300, 5_000_000, no_pause), "latency is half of the time, and the same");
        assert!(comes_out(300, 0, (11_500, 800_000)), "a pause in the last quarter");
        assert!(comes_out(1_005, 0, no_pause), "0.5 % too slow");
        assert!(!comes_out(1_020, 0, no_pause), "2 % too slow");
        assert!(!comes_out(2_500, 0, no_pause), "what is given up does not come out");
        assert!(!comes_out(1_020, 5_000_000, no_pause));

        let rare = Schedule::new(100.0, Duration::from_millis(15)).in_quarters();
        let kept = rare.keep(&mut Fake::new(300, 16)).unwrap();
        assert!(!rare.comes_out(&kept, 0.99), "quarters without requests tell nothing");
    }

    #[test]
    fn poisson_arrivals_wait_for_each_other() {
        // Of a single server that is busy for half of the time, the mean wait of M/D/1 is half of a
        // service time (Pollaczek, Khinchine), the latency one and a half.
        let poisson = Arrivals::Poisson { per_s: 1e6, seed: 3 };
        let schedule = Schedule::of(poisson, Duration::from_millis(20));
        let kept = schedule.keep(&mut Fake::new(450, 10_000)).unwrap();
        let mean = kept.called.histogram().mean();
        assert!((600.0..900.0).contains(&mean), "{mean}");
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
