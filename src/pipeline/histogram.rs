//! A histogram that one thread writes and any number of threads read, in fixed memory and without
//! locks.
//!
//! Values up to 63 have a bucket each; from there on every power of two is cut into 32 buckets of
//! equal width, so that a bucket is at most 1/32 of its values wide. Values of 2^42 (73 minutes, if
//! they are nanoseconds) and more count as 2^42 - 1.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use super::super::sync::{AtomicU64, Ordering};

/// Each power of two is cut into 2^5 buckets.
const SPLIT_BITS: u32 = 5;
const VALUE_BITS: u32 = 42;
const VALUE_MAX: u64 = (1 << VALUE_BITS) - 1;
const BUCKETS: usize = ((VALUE_BITS - SPLIT_BITS + 1) as usize) << SPLIT_BITS;

/// Counts values; written by one thread, read by any.
///
/// A value is recorded by a load and a store, without a read-modify-write, so a second writer's
/// values could be lost; memory stays sound even then.
pub(crate) struct Histogram {
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    /// Counts one value; for the one writing thread only.
    pub(crate) fn record(&self, value: u64) {
        let value = value.min(VALUE_MAX);
        let count = &self.counts[bucket_of(value)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let sum = self.sum.load(Ordering::Relaxed).saturating_add(value);
        self.sum.store(sum, Ordering::Relaxed);
        if value < self.min.load(Ordering::Relaxed) {
            self.min.store(value, Ordering::Relaxed);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.max.store(value, Ordering::Relaxed);
        }
    }

    /// What has been recorded. While the writer goes on, the sum may be ahead of the counts or
    /// behind them by what was recorded meanwhile; all else comes from the counts.
    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let counts: Box<[u64]> =
            self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let within = |value: u64, bucket: Option<usize>| {
            let edges = edges_of(bucket.unwrap_or(0));
            value.clamp(*edges.start(), *edges.end())
        };
        let is_used = |count: &u64| *count > 0;
        let min = within(self.min.load(Ordering::Relaxed), counts.iter().position(is_used));
        let max = within(self.max.load(Ordering::Relaxed), counts.iter().rposition(is_used));
        HistogramSnapshot { counts, sum: self.sum.load(Ordering::Relaxed), min, max }
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

fn bucket_of(value: u64) -> usize {
    let shift = (value | 1 << SPLIT_BITS).ilog2() - SPLIT_BITS;
    ((shift as usize) << SPLIT_BITS) + (value >> shift) as usize
}

/// The least and the greatest value of a bucket.
fn edges_of(bucket: usize) -> RangeInclusive<u64> {
    let shift = (bucket >> SPLIT_BITS).saturating_sub(1);
    let first = ((bucket - (shift << SPLIT_BITS)) as u64) << shift;
    first..=first + (1 << shift) - 1
}

/// What a histogram held at one moment: counts in buckets about 3 % wide.
///
/// As JSON it is its [`HistogramSummary`].
#[derive(Clone, PartialEq)]
pub struct HistogramSnapshot {
    counts: Box<[u64]>,
    sum: u64,
    min: u64,
    max: u64,
}

/// The figures of a histogram that are worth a line; all zero where nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HistogramSummary {
    /// Values recorded.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The least of them.
    pub min: u64,
    /// What half of them stay within.
    pub p50: u64,
    /// What 90 of 100 stay within.
    pub p90: u64,
    /// What 99 of 100 stay within.
    pub p99: u64,
    /// What 999 of 1000 stay within.
    pub p999: u64,
    /// The greatest of them.
    pub max: u64,
}

impl HistogramSnapshot {
    /// Adds what another histogram held.
    pub fn merge(&mut self, other: &HistogramSnapshot) {
        if other.count() == 0 {
            return;
        }
        self.min = if self.count() == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Values recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values, each of at most 2^42 - 1; it saturates.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The mean of all values; 0 where there are none.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count().max(1) as f64
    }

    /// The least value; 0 where there are none.
    pub fn min(&self) -> u64 {
        self.min
    }

    /// The greatest value, at most 2^42 - 1; 0 where there are none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// A value that the share `q` of all values, 0 to 1, does not exceed: the upper edge of the
    /// bucket of the value of that rank, or the greatest value if that is less. It is never below
    /// the value of that rank and at most 1/32 above it; 0 where nothing was recorded.
    pub fn quantile(&self, q: f64) -> u64 {
        // A product that is not a number or below zero becomes rank 0, hence 1.
        let rank = ((q * self.count() as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return self.max.min(*edges_of(bucket).end());
            }
        }
        self.max
    }

    /// The figures that are worth a line.
    pub fn summary(&self) -> HistogramSummary {
        HistogramSummary {
            count: self.count(),
            mean: self.mean(),
            min: self.min,
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: self.max,
        }
    }
}

impl Default for HistogramSnapshot {
    fn default() -> HistogramSnapshot {
        HistogramSnapshot { counts: vec![0; BUCKETS].into(), sum: 0, min: 0, max: 0 }
    }
}

impl fmt::Debug for HistogramSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

impl Serialize for HistogramSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> HistogramSnapshot {
        let histogram = Histogram::default();
        values.iter().for_each(|value| histogram.record(*value));
        histogram.snapshot()
    }

    #[test]
    fn buckets_meet_without_gap_or_overlap() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let edges = edges_of(bucket);
            assert_eq!(*edges.start(), next);
            assert_eq!((bucket_of(*edges.start()), bucket_of(*edges.end())), (bucket, bucket));
            assert!((edges.end() - edges.start()) * 32 <= *edges.start());
            next = edges.end() + 1;
        }
        assert_eq!(next, VALUE_MAX + 1);
    }

    #[test]
    fn nothing_recorded_is_all_zeros() {
        let empty = of(&[]);
        assert_eq!(empty, HistogramSnapshot::default());
        assert_eq!((empty.count(), empty.min(), empty.max(), empty.quantile(0.5)), (0, 0, 0, 0));
        assert_eq!(empty.mean(), 0.0);
    }

    #[test]
    fn what_is_too_large_counts_as_the_largest() {
        let got = of(&[u64::MAX, 7, VALUE_MAX + 1]);
        assert_eq!((got.count(), got.min(), got.max()), (3, 7, VALUE_MAX));
        assert_eq!(got.quantile(0.5), VALUE_MAX);
    }

    #[test]
    fn ranks_at_the_ends_are_the_least_and_the_greatest() {
        let got = of(&[3, 5, 1000]);
        assert_eq!([0.0, -1.0, f64::NAN].map(|q| got.quantile(q)), [3; 3]);
        assert_eq!([1.0, 2.0].map(|q| got.quantile(q)), [1000; 2]);
    }

    #[test]
    fn json_is_the_summary() {
        let json = serde_json::to_string(&of(&[1, 3])).unwrap();
        let expected = r#"{"count":2,"mean":2.0,"min":1,"p50":1,"p90":3,"p99":3,"p999":3,"max":3}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_reader_beside_the_writer_sees_whole_figures_that_only_grow() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (0..200_000).for_each(|n| histogram.record(n * n % 9973)));
            let mut before = 0;
            while !writer.is_finished() {
                let now = histogram.snapshot();
                assert!(now.count() >= before);
                assert!(now.min() <= now.quantile(0.0) && now.quantile(1.0) <= now.max());
                before = now.count();
            }
        });
        assert_eq!(histogram.snapshot().count(), 200_000);
    }

    /// Values of every magnitude.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = (any::<u64>(), 22_u32..64).prop_map(|(value, shift)| value >> shift);
        vec(value, 1..300)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

        #[test]
        fn quantiles_are_those_of_the_sorted_values(mut values in values(), q in 0.0..=1.0_f64) {
            let got = of(&values);
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let (exact, got_at) = (values[rank - 1], got.quantile(q));
            prop_assert!(exact <= got_at && got_at <= exact + exact / 32, "{exact}, got {got_at}");
            prop_assert_eq!((got.min(), got.max()), (values[0], values[values.len() - 1]));
            prop_assert_eq!((got.count(), got.sum()), (values.len() as u64, values.iter().sum()));
        }

        #[test]
        fn merging_is_recording_both(a in values(), b in values()) {
            let mut merged = HistogramSnapshot::default();
            merged.merge(&of(&a));
            merged.merge(&of(&b));
            merged.merge(&of(&[]));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }
}
