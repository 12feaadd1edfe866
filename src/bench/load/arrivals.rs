//! When requests are due.

use std::time::Duration;

use super::super::images::SplitMix64;

/// How requests are spread over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// One after each equal interval.
    Constant {
        /// Requests a second.
        per_s: f64,
    },
    /// Independent of each other: the intervals are exponentially distributed.
    Poisson {
        /// Requests a second, on average.
        per_s: f64,
        /// The same seed gives the same times.
        seed: u64,
    },
    /// A base rate, and bursts above it at equal distances: the base comes first.
    Bursts {
        /// Requests a second between bursts.
        base_per_s: f64,
        /// Requests a second in a burst.
        burst_per_s: f64,
        /// How long the base is kept before each burst.
        base: Duration,
        /// How long a burst lasts.
        burst: Duration,
    },
}

impl Arrivals {
    /// Requests a second, on average over whole periods.
    pub fn per_s(&self) -> f64 {
        match self {
            Arrivals::Constant { per_s } | Arrivals::Poisson { per_s, .. } => *per_s,
            Arrivals::Bursts { base_per_s, burst_per_s, base, burst } => {
                let (base, burst) = (base.as_secs_f64(), burst.as_secs_f64());
                (base_per_s * base + burst_per_s * burst) / (base + burst).max(1e-9)
            }
        }
    }

    /// The times that requests are due within `time`, in nanoseconds from its start, ascending; the
    /// first at once.
    pub fn over(&self, time: Duration) -> Due {
        let random = SplitMix64::new(match self {
            Arrivals::Poisson { seed, .. } => *seed,
            _ => 0,
        });
        Due { arrivals: *self, end_ns: time.as_nanos() as f64, next_ns: 0.0, number: 0, random }
    }
}

/// The times that requests are due; never empty.
#[derive(Clone, Debug)]
pub struct Due {
    arrivals: Arrivals,
    end_ns: f64,
    next_ns: f64,
    number: u64,
    random: SplitMix64,
}

impl Due {
    /// The time of the request after the one that is due at `next_ns`.
    fn after(&mut self) -> f64 {
        let interval_ns = |per_s: f64| 1e9 / per_s.max(1e-3);
        match self.arrivals {
            // From the number and not by adding up, so that no error adds up.
            Arrivals::Constant { per_s } => self.number as f64 * interval_ns(per_s),
            Arrivals::Poisson { per_s, .. } => {
                // Above 0, so that its logarithm is finite.
                let uniform = 1.0 - self.random.uniform();
                self.next_ns - uniform.ln() * interval_ns(per_s)
            }
            Arrivals::Bursts { base_per_s, burst_per_s, base, burst } => {
                let (base_ns, burst_ns) = (base.as_nanos() as f64, burst.as_nanos() as f64);
                let at_ns = self.next_ns % (base_ns + burst_ns).max(1.0);
                let per_s = if at_ns < base_ns { base_per_s } else { burst_per_s };
                self.next_ns + interval_ns(per_s)
            }
        }
    }
}

impl Iterator for Due {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.number > 0 && self.next_ns >= self.end_ns {
            return None;
        }
        let due_ns = self.next_ns;
        self.number += 1;
        self.next_ns = self.after();
        Some(due_ns as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_constant_rate_is_kept_to_the_nanosecond() {
        let times: Vec<u64> = Arrivals::Constant { per_s: 3e6 }.over(SECOND).collect();
        assert_eq!(times.len(), 3_000_000);
        assert_eq!([times[0], times[1], times[3], times[2_999_999]], [0, 333, 1_000, 999_999_666]);
        let slow = Arrivals::Constant { per_s: 0.1 };
        assert_eq!(slow.over(SECOND).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn poisson_intervals_are_exponential() {
        let poisson = Arrivals::Poisson { per_s: 1e5, seed: 7 };
        let times: Vec<u64> = poisson.over(SECOND).collect();
        assert_eq!(times, poisson.over(SECOND).collect::<Vec<_>>());
        // The number is Poisson distributed: its deviation is the root of its mean.
        assert!(times.len().abs_diff(100_000) < 5 * 317, "{}", times.len());
        assert!(times.is_sorted());
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Mean and deviation of an exponential distribution are the same.
        assert!((mean / 1e4 - 1.0).abs() < 0.02 && (variance.sqrt() / mean - 1.0).abs() < 0.03);
        let longer = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
        assert!((longer - 0.368).abs() < 0.01, "{longer}");
    }

    #[test]
    fn bursts_come_after_their_base() {
        let bursts = Arrivals::Bursts {
            base_per_s: 1_000.0,
            burst_per_s: 10_000.0,
            base: Duration::from_millis(400),
            burst: Duration::from_millis(100),
        };
        let times: Vec<u64> = bursts.over(SECOND).collect();
        let within = |from: u64, to: u64| {
            times.iter().filter(|at| (from * 1_000_000..to * 1_000_000).contains(*at)).count()
        };
        assert_eq!([within(0, 400), within(400, 500), within(500, 900)], [400, 1_000, 400]);
        assert_eq!(within(900, 1_000), 1_000);
        assert!((bursts.per_s() - 2_800.0).abs() < 1e-6);
    }
}
