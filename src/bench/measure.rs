//! How long a batch takes.
//!
//! The loop is closed: the next batch starts when the one before has returned, so the figures are
//! what one caller sees and say nothing about queues. The clock covers [`Executable::run`] on the
//! caller's thread, with rows and scores in host memory, so transfers to and from a device count.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::backend::{BackendError, Executable, Rows};

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Measuring stops after this time, or after `batches_min` batches if that is later.
    pub time: Duration,
    /// Batches to measure even where they take longer than `time`, but not past three times it.
    pub batches_min: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { time: Duration::from_secs(1), batches_min: 5 }
    }
}

impl Budget {
    /// A tenth of it, to warm up.
    pub(super) fn warm_up(&self) -> Budget {
        Budget { time: self.time / 10, batches_min: 2.min(self.batches_min) }
    }

    /// Runs batches until it is spent, and returns the time they took together.
    pub(super) fn spend<E>(&self, mut run: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
        let start = Instant::now();
        let mut batches = 0;
        loop {
            run()?;
            batches += 1;
            let elapsed = start.elapsed();
            let enough = batches >= self.batches_min || elapsed > 3 * self.time;
            if elapsed >= self.time && enough {
                return Ok(elapsed);
            }
        }
    }

    /// Spends it in so many parts of equal time, each of a batch at least; a part that would begin
    /// past three times the budget's time is left out. At least one is not.
    pub(super) fn rounds<T, E>(
        &self,
        count: u32,
        mut round: impl FnMut(&Budget) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let count = count.max(1);
        let batches_min = self.batches_min.div_ceil(u64::from(count));
        let part = Budget { time: self.time / count, batches_min };
        let start = Instant::now();
        let mut rounds = vec![round(&part)?];
        while rounds.len() < count as usize && start.elapsed() <= 3 * self.time {
            rounds.push(round(&part)?);
        }
        Ok(rounds)
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// Batches the clock covered.
    pub batches: u64,
    /// The shortest time of a batch.
    pub min_us: f64,
    /// The median time of a batch.
    pub p50_us: f64,
    /// The time 99 of 100 batches stay within.
    pub p99_us: f64,
    /// The longest time of a batch.
    pub max_us: f64,
    /// Rows over the time from the first batch's start to the last one's end.
    pub rows_per_s: f64,
}

impl Measurement {
    /// What batches of `batch` rows took, one by one and `together`.
    pub(super) fn of(each: &Histogram<u64>, batch: usize, together: Duration) -> Measurement {
        let quantile = |quantile| each.value_at_quantile(quantile) as f64 / 1e3;
        Measurement {
            batches: each.len(),
            min_us: each.min() as f64 / 1e3,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            max_us: each.max() as f64 / 1e3,
            rows_per_s: (each.len() * batch as u64) as f64 / together.as_secs_f64(),
        }
    }
}

/// From a nanosecond to an hour, at three significant digits.
pub(super) fn nanoseconds() -> Histogram<u64> {
    // The bounds are constants that satisfy the histogram's rules: 1 <= low, 2 * low <= high.
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("sound bounds")
}

/// Batches in a row, each of the next rows of all there are, and over again.
pub(super) struct Walk<'a> {
    executable: &'a dyn Executable,
    rows: Rows<'a>,
    available: usize,
    batch: usize,
    at: usize,
    scores: Vec<f32>,
}

impl<'a> Walk<'a> {
    /// Batches of `batch` rows.
    ///
    /// # Errors
    /// [`BackendError`] where `rows` are no batch of that size.
    pub(super) fn new(
        executable: &'a dyn Executable,
        rows: Rows<'a>,
        batch: usize,
    ) -> Result<Walk<'a>, BackendError> {
        let available = rows.count(executable.plan())?;
        if batch == 0 || batch > available {
            return Err(BackendError::BatchSize { rows_max: available, rows: batch });
        }
        let scores = vec![0.0; batch * executable.plan().classes()];
        Ok(Walk { executable, rows, available, batch, at: 0, scores })
    }

    pub(super) fn run_next(&mut self) -> Result<(), BackendError> {
        if self.at + self.batch > self.available {
            self.at = 0;
        }
        let rows = self.rows.slice(self.at..self.at + self.batch, self.executable.plan().inputs());
        self.at += self.batch;
        self.executable.run(rows, &mut self.scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu;
    use crate::model::{Activation, Dense, Model};
    use crate::plan::{Plan, PlanOptions};

    fn executable() -> std::sync::Arc<dyn Executable> {
        let layer = Dense::new(2, 3, vec![0.5; 6], None, Activation::Relu).unwrap();
        let model = Model::from_layers(vec![layer]).unwrap();
        let device = cpu::open();
        let plan = Plan::new(&model, device.limits(), &PlanOptions::default()).unwrap();
        device.load(plan).unwrap()
    }

    #[test]
    fn a_budget_of_batches_is_kept_to() {
        let executable = executable();
        let spent = |budget: Budget, batch: usize| {
            let mut walk = Walk::new(&*executable, Rows::F32(&[0.0; 8]), batch).unwrap();
            let mut histogram = nanoseconds();
            let together = budget.spend(|| {
                let begun = Instant::now();
                walk.run_next()?;
                histogram.saturating_record(begun.elapsed().as_nanos() as u64);
                Ok::<_, BackendError>(())
            });
            Measurement::of(&histogram, batch, together.unwrap())
        };
        let got = spent(Budget { time: Duration::ZERO, batches_min: 1 }, 4);
        assert_eq!(got.batches, 1);
        let got = spent(Budget { time: Duration::from_millis(20), batches_min: 1 }, 2);
        assert!(got.batches > 1 && got.p50_us > 0.0);
        let times = [got.min_us, got.p50_us, got.p99_us, got.max_us];
        assert!(times.is_sorted(), "{times:?}");
        // Rows a second and the median tell of the same loop.
        assert!(got.rows_per_s <= 2.0 * 1e6 / got.p50_us * 2.0, "{got:?}");
    }

    #[test]
    fn rounds_share_a_budget_and_slow_ones_end_it() {
        let budget = Budget { time: Duration::from_secs(10), batches_min: 11 };
        let parts = budget.rounds(5, |part| Ok::<_, ()>(*part)).unwrap();
        assert_eq!(parts, [Budget { time: Duration::from_secs(2), batches_min: 3 }; 5]);
        let slow = Budget { time: Duration::from_nanos(1), batches_min: 1 };
        let sleep = |_: &Budget| {
            std::thread::sleep(Duration::from_millis(1));
            Ok::<_, ()>(())
        };
        assert_eq!(slow.rounds(5, sleep).unwrap().len(), 1);
        assert_eq!(budget.rounds(5, |_| Err::<(), _>("lost")), Err("lost"));
    }

    #[test]
    fn the_walk_visits_all_rows_and_starts_over() {
        let executable = executable();
        let mut walk = Walk::new(&*executable, Rows::F32(&[0.0; 10]), 2).unwrap();
        let mut visited = Vec::new();
        for _ in 0..4 {
            walk.run_next().unwrap();
            visited.push(walk.at);
        }
        assert_eq!(visited, [2, 4, 2, 4]);
    }

    #[test]
    fn a_batch_larger_than_the_rows_is_refused() {
        for batch in [0, 5] {
            assert!(Walk::new(&*executable(), Rows::F32(&[0.0; 8]), batch).is_err());
        }
    }
}
