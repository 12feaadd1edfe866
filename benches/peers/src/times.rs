//! Times of calls: exact, merged from many slices.

use std::collections::BTreeMap;

/// How many calls took how many nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    counts: BTreeMap<u64, u64>,
    calls: u64,
}

impl Times {
    /// The times that a peer told.
    pub fn new(counts: BTreeMap<u64, u64>) -> Times {
        Times { calls: counts.values().sum(), counts }
    }

    /// All of several slices together.
    pub fn merged<'a>(slices: impl IntoIterator<Item = &'a Times>) -> Times {
        let mut counts = BTreeMap::new();
        for slice in slices {
            for (ns, calls) in &slice.counts {
                *counts.entry(*ns).or_insert(0) += calls;
            }
        }
        Times::new(counts)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The time in microseconds that the given share of the calls stayed within: the nearest rank.
    /// None where there was no call.
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        let rank = ((self.calls as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().find(|(_, calls)| {
            seen += **calls;
            seen >= rank
        });
        reached.map(|(ns, _)| *ns as f64 / 1e3)
    }

    /// The figures of a cell.
    pub fn figures(&self) -> Option<Figures> {
        Some(Figures {
            calls: self.calls(),
            best_us: self.quantile_us(0.0)?,
            p50_us: self.quantile_us(0.5)?,
            p99_us: self.quantile_us(0.99)?,
        })
    }
}

/// What is told of a peer at one batch size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Calls that the clock covered.
    pub calls: u64,
    /// The shortest: what the machine can do when nothing else runs on it.
    pub best_us: f64,
    /// The median.
    pub p50_us: f64,
    /// What 99 of 100 calls stayed within.
    pub p99_us: f64,
}

impl Figures {
    /// How many times slower than `other` the median and the best call are.
    pub fn slower_than(&self, other: &Figures) -> Slower {
        Slower { p50: self.p50_us / other.p50_us, best: self.best_us / other.best_us }
    }
}

/// Ratios of times; above 1 is slower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slower {
    /// Of the medians.
    pub p50: f64,
    /// Of the shortest calls.
    pub best: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(counts: &[(u64, u64)]) -> Times {
        Times::new(counts.iter().copied().collect())
    }

    #[test]
    fn slices_merge_call_by_call() {
        let merged = Times::merged(&[times(&[(900, 2), (1000, 1)]), times(&[(1000, 4), (7, 1)])]);
        assert_eq!(merged, times(&[(7, 1), (900, 2), (1000, 5)]));
        assert_eq!(merged.calls(), 8);
    }

    #[test]
    fn a_median_of_medians_is_not_the_median() {
        let slices = [times(&[(1000, 1)]), times(&[(1000, 1)]), times(&[(3000, 5)])];
        assert_eq!(Times::merged(&slices).figures().unwrap().p50_us, 3.0);
    }

    #[test]
    fn quantiles_are_the_nearest_rank() {
        let hundred: Vec<(u64, u64)> = (1..=100).map(|ns| (ns * 1000, 1)).collect();
        let figures = times(&hundred).figures().unwrap();
        assert_eq!((figures.best_us, figures.p50_us, figures.p99_us), (1.0, 50.0, 99.0));
        let one = times(&[(2500, 1)]).figures().unwrap();
        assert_eq!((one.best_us, one.p50_us, one.p99_us), (2.5, 2.5, 2.5));
        assert_eq!(times(&[]).figures(), None);
    }

    #[test]
    fn ratios_tell_how_much_slower() {
        let figures = |best_us, p50_us| Figures { calls: 1, best_us, p50_us, p99_us: 9.0 };
        let slower = figures(4.0, 9.0).slower_than(&figures(2.0, 3.0));
        assert_eq!(slower, Slower { p50: 3.0, best: 2.0 });
    }
}
