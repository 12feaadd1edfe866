//! The highest rate that still meets a bound.

/// What a search is to find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::bench) struct Search {
    /// The first rate that is tried, where it lies between the least and the most.
    pub(in crate::bench) first_per_s: f64,
    /// No rate below this is tried; above 0.
    pub(in crate::bench) least_per_s: f64,
    /// No rate above this is tried.
    pub(in crate::bench) most_per_s: f64,
    /// The search ends where rates that meet the bound and rates that do not lie within this
    /// factor, above 1.
    pub(in crate::bench) within: f64,
}

impl Search {
    /// The highest rate for which `meets` says so; none where not even the lowest tried does. It
    /// doubles or halves the first rate until one meets the bound and one does not, and then takes
    /// the geometric mean of the two, again and again.
    ///
    /// What meets a bound at a rate is taken to meet it at all lower ones. On a machine where that
    /// is chance, `meets` has to ask more than once.
    pub(in crate::bench) fn highest<E>(
        &self,
        mut meets: impl FnMut(f64) -> Result<bool, E>,
    ) -> Result<Option<f64>, E> {
        let (mut low, mut high) = (None, None);
        let mut rate = self.first_per_s.max(self.least_per_s).min(self.most_per_s);
        loop {
            if meets(rate)? {
                low = Some(rate);
            } else {
                high = Some(rate);
            }
            rate = match (low, high) {
                (Some(low), Some(high)) if high / low <= self.within => break,
                (Some(low), Some(high)) => (low * high).sqrt(),
                (Some(low), None) if low >= self.most_per_s => break,
                (Some(low), None) => (2.0 * low).min(self.most_per_s),
                (None, Some(high)) if high <= self.least_per_s => break,
                (None, Some(high)) => (high / 2.0).max(self.least_per_s),
                (None, None) => break,
            };
        }
        Ok(low)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn found(search: Search, bound: f64) -> (Option<f64>, usize) {
        let mut tried = 0;
        let highest = search.highest(|rate| {
            tried += 1;
            Ok::<_, Infallible>(rate <= bound)
        });
        (highest.unwrap(), tried)
    }

    #[test]
    fn the_highest_rate_is_found_from_above_and_from_below() {
        let search = Search { first_per_s: 1e5, least_per_s: 10.0, most_per_s: 1e8, within: 1.05 };
        for bound in [11.0, 3_210.0, 9.9e4, 1e5, 1.7e6, 9.9e7] {
            let (highest, tried) = found(search, bound);
            let highest = highest.unwrap();
            assert!(highest <= bound && bound / highest <= 1.05, "{highest} for {bound}");
            assert!(tried < 20, "{tried}");
        }
    }

    #[test]
    fn no_rate_and_every_rate_end_the_search() {
        let search = Search { first_per_s: 1e5, least_per_s: 1e4, most_per_s: 1e6, within: 1.05 };
        assert_eq!(found(search, 0.0), (None, 5), "1e5, three halves of it, and 1e4");
        assert_eq!(found(search, 1e4), (Some(1e4), 8));
        assert_eq!(found(search, f64::INFINITY).0, Some(1e6));
    }
}
