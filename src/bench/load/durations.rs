//! What is said of many times, and of a few rates.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::super::measure::nanoseconds;

/// Where times lie; microseconds, to three digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// What half of them stay within.
    pub p50_us: f64,
    /// What 90 of 100 stay within.
    pub p90_us: f64,
    /// What 99 of 100 stay within.
    pub p99_us: f64,
    /// What 999 of 1000 stay within.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// Rows a second, from several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rate {
    /// The median of the rounds.
    pub rows_per_s: f64,
    /// The slowest round.
    pub rows_per_s_min: f64,
    /// The fastest round.
    pub rows_per_s_max: f64,
}

impl Rate {
    /// The figures of some rounds; all zero where there are none. The median of an even number of
    /// rounds is the lower of the two in the middle.
    pub(in crate::bench) fn of(mut rounds: Vec<f64>) -> Rate {
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(0.0);
        let last = rounds.len().saturating_sub(1);
        Rate { rows_per_s: at(last / 2), rows_per_s_min: at(0), rows_per_s_max: at(last) }
    }
}

/// Many times, from a nanosecond to an hour at three significant digits.
#[derive(Clone, Debug)]
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Durations {
        Durations(nanoseconds())
    }
}

impl Durations {
    /// Counts a time; one past an hour counts as an hour.
    pub fn add(&mut self, time: Duration) {
        self.add_ns(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The same in nanoseconds.
    pub fn add_ns(&mut self, time_ns: u64) {
        self.0.saturating_record(time_ns);
    }

    /// Adds what others counted.
    pub fn merge(&mut self, other: &Durations) {
        // Both have the same bounds, so that every value of one fits the other.
        let _ = self.0.add(&other.0);
    }

    /// The times, in nanoseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Where they lie.
    pub fn percentiles(&self) -> Percentiles {
        let us = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.0.max() as f64 / 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_times_merged() {
        let (mut some, mut more) = (Durations::default(), Durations::default());
        (1..=900).for_each(|us| some.add_ns(us * 1_000));
        (901..=1000).for_each(|us| more.add(Duration::from_micros(us)));
        some.merge(&more);
        assert_eq!(some.count(), 1000);
        let got = some.percentiles();
        let near = |got: f64, expected: f64| (got - expected).abs() <= expected / 500.0;
        assert!(near(got.p50_us, 500.0) && near(got.p90_us, 900.0), "{got:?}");
        assert!(near(got.p99_us, 990.0) && near(got.p999_us, 999.0), "{got:?}");
        assert!(near(got.max_us, 1000.0), "{got:?}");
    }

    #[test]
    fn times_past_an_hour_still_count() {
        let mut times = Durations::default();
        times.add(Duration::from_secs(40_000));
        assert_eq!(times.count(), 1);
        assert!(times.percentiles().max_us >= 3.6e9);
    }

    #[test]
    fn a_rate_is_the_median_of_its_rounds() {
        let rate = |rounds: &[f64]| {
            let Rate { rows_per_s, rows_per_s_min, rows_per_s_max } = Rate::of(rounds.to_vec());
            [rows_per_s_min, rows_per_s, rows_per_s_max]
        };
        assert_eq!(rate(&[9.0, 1.0, 5.0]), [1.0, 5.0, 9.0]);
        assert_eq!(rate(&[4.0, 2.0]), [2.0, 2.0, 4.0]);
        assert_eq!(rate(&[]), [0.0; 3]);
    }
}
