//! What a batch costs on one backend: nanoseconds from its submission to its scores, by the number
//! of its rows.
//!
//! The table holds a figure for every power of two up to 32,768 rows, first measured when the
//! backend joins, then kept up to date by the batches that run. A backend that takes no batches of
//! a size any more slowly returns to what was measured first, so that what befell it once does not
//! keep it away for good.

use super::super::sync::{AtomicU64, Ordering};

/// Figures are held for 2^0 to 2^15 rows.
const BUCKETS: usize = 16;
const LAST: usize = BUCKETS - 1;
/// The weight of one live batch in the moving average.
const WEIGHT: f64 = 1.0 / 16.0;
/// A batch that took longer than this many times its estimate counts as that many times.
const OUTLIER: f64 = 8.0;
/// How much of the way back to its first measurement a figure goes with a batch run elsewhere.
const FORGOTTEN: f64 = 1.0 / 1024.0;

/// Estimates of a batch's time on one backend, by rows.
#[derive(Debug)]
pub(crate) struct CostTable {
    /// The bits of an f64 of nanoseconds, at least 1, at `1 << index` rows.
    ns: [AtomicU64; BUCKETS],
    /// What `ns` was at first.
    measured_ns: [AtomicU64; BUCKETS],
}

impl CostTable {
    /// A table through points of `(rows, nanoseconds)`, in any order, each of at least one row; of
    /// two at the same rows the first counts. Between two points it is a
    /// straight line, before the first it is level. Past the last one it goes on as steeply as
    /// between the last two or as from first to last, whichever is steeper; from a single point it
    /// goes on at that point's time per row.
    ///
    /// # Panics
    /// Where there are no points.
    pub(crate) fn from_points(points: &[(usize, f64)]) -> CostTable {
        assert!(!points.is_empty(), "a table of costs has at least one point");
        let mut points: Vec<(f64, f64)> =
            points.iter().map(|(rows, ns)| (*rows as f64, ns.max(1.0))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by_key(|point| point.0);
        let bits = |index| through(&points, size(index) as f64).to_bits();
        let table = || std::array::from_fn(|index| AtomicU64::new(bits(index)));
        CostTable { ns: table(), measured_ns: table() }
    }

    /// The nanoseconds a batch of so many rows is expected to take: a straight line between the
    /// table's sizes, past the last of them its time per row.
    pub(crate) fn estimate_ns(&self, rows: usize) -> u64 {
        self.estimate(rows).round() as u64
    }

    /// Takes into account that a batch of `rows` took `measured_ns`: its size moves a sixteenth
    /// of the way, or the two sizes around it, each by its share of the estimate. A batch that
    /// took more than eight times what was expected counts as eight times.
    ///
    /// Several threads may do so at once: of two updates of one figure one may be lost, and the
    /// next batch makes up for it.
    pub(crate) fn refresh(&self, rows: usize, measured_ns: u64) {
        let expected = self.estimate(rows);
        let change = ((measured_ns as f64 / expected).min(OUTLIER) - 1.0) * WEIGHT;
        let (index, past) = place(rows);
        if past == 0.0 {
            return self.scale(index, 1.0 + change);
        }
        let share_of_next = self.get(index + 1) * past / expected;
        self.scale(index, 1.0 + change * (1.0 - share_of_next));
        self.scale(index + 1, 1.0 + change * share_of_next);
    }

    /// Takes into account that a batch of `rows` went to another backend though this one was idle:
    /// the sizes around it go a 1024th of the way back to what they were at first.
    pub(crate) fn forget(&self, rows: usize) {
        let (index, past) = place(rows);
        let next = index + usize::from(past > 0.0);
        for index in index..=next {
            let measured_ns = f64::from_bits(self.measured_ns[index].load(Ordering::Relaxed));
            let ns = self.get(index);
            if ns != measured_ns {
                self.set(index, ns + (measured_ns - ns) * FORGOTTEN);
            }
        }
    }

    /// The most rows, of `rows_max` at most, that are expected to take no longer than `limit_ns`;
    /// one where not even that is.
    pub(crate) fn rows_within(&self, limit_ns: u64, rows_max: usize) -> usize {
        if self.estimate_ns(rows_max) <= limit_ns {
            return rows_max;
        }
        // What `fits` is expected to fit, and `too_many` is not.
        let (mut fits, mut too_many) = (1, rows_max);
        while too_many - fits > 1 {
            let rows = fits + (too_many - fits) / 2;
            match self.estimate_ns(rows) <= limit_ns {
                true => fits = rows,
                false => too_many = rows,
            }
        }
        fits
    }

    /// Takes the figures of another table over: another model runs, and what was learnt of the one
    /// before says nothing about it.
    pub(crate) fn replace(&self, other: &CostTable) {
        for index in 0..BUCKETS {
            self.set(index, other.get(index));
            let measured_ns = other.measured_ns[index].load(Ordering::Relaxed);
            self.measured_ns[index].store(measured_ns, Ordering::Relaxed);
        }
    }

    /// The table's sizes in rows, and the nanoseconds of each.
    pub(crate) fn points(&self) -> Vec<(usize, u64)> {
        (0..BUCKETS).map(|index| (size(index), self.get(index).round() as u64)).collect()
    }

    fn estimate(&self, rows: usize) -> f64 {
        let (index, past) = place(rows);
        let ns = self.get(index);
        if index == LAST {
            return ns * rows as f64 / size(LAST) as f64;
        }
        ns * (1.0 - past) + self.get(index + 1) * past
    }

    fn get(&self, index: usize) -> f64 {
        f64::from_bits(self.ns[index].load(Ordering::Relaxed))
    }

    fn scale(&self, index: usize, factor: f64) {
        self.set(index, (self.get(index) * factor).max(1.0));
    }

    fn set(&self, index: usize, ns: f64) {
        self.ns[index].store(ns.to_bits(), Ordering::Relaxed);
    }
}

/// The rows of a table's figure.
fn size(index: usize) -> usize {
    1 << index
}

/// The last figure at no more than `rows`, and how far `rows` lies on the way to the next, 0 to 1.
fn place(rows: usize) -> (usize, f64) {
    let index = (rows.max(1).ilog2() as usize).min(LAST);
    let past = rows.saturating_sub(size(index)) as f64 / size(index) as f64;
    (index, if index == LAST { 0.0 } else { past })
}

/// The value at `rows` of the line through ascending `points`, of which there is at least one.
fn through(points: &[(f64, f64)], rows: f64) -> f64 {
    let next = points.partition_point(|point| point.0 < rows);
    let slope = |a: (f64, f64), b: (f64, f64)| (b.1 - a.1) / (b.0 - a.0);
    match (points[..next].last(), points.get(next)) {
        (None, _) => points[0].1,
        (Some(before), Some(after)) => before.1 + slope(*before, *after) * (rows - before.0),
        (Some(last), None) if points.len() == 1 => last.1 * rows / last.0,
        (Some(last), None) => {
            let steepest = slope(points[next - 2], *last).max(slope(points[0], *last)).max(0.0);
            last.1 + steepest * (rows - last.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn between_points_the_line_is_straight() {
        let table = CostTable::from_points(&[(1, 100.0), (2, 120.0), (4, 200.0), (8, 600.0)]);
        let estimates = [1, 2, 3, 4, 5, 6, 8].map(|rows| table.estimate_ns(rows));
        assert_eq!(estimates, [100, 120, 160, 200, 300, 400, 600]);
    }

    #[test]
    fn a_point_beside_the_powers_of_two_is_met() {
        let table = CostTable::from_points(&[(3, 300.0), (2, 100.0), (3, 900.0)]);
        assert_eq!([1, 2, 3, 4].map(|rows| table.estimate_ns(rows)), [100, 100, 300, 500]);
    }

    #[test]
    fn past_the_last_point_costs_go_on_rising() {
        let rising = CostTable::from_points(&[(1, 100.0), (2, 110.0), (4, 150.0)]);
        assert_eq!([8, 16].map(|rows| rising.estimate_ns(rows)), [230, 390]);
        // The last step fell by chance: the slope from first to last holds.
        let noisy = CostTable::from_points(&[(1, 100.0), (2, 140.0), (4, 130.0)]);
        assert_eq!([8, 16].map(|rows| noisy.estimate_ns(rows)), [170, 250]);
        let falling = CostTable::from_points(&[(1, 100.0), (2, 90.0)]);
        assert_eq!(falling.estimate_ns(1024), 90);
        let single = CostTable::from_points(&[(1, 100.0)]);
        assert_eq!([2, 1024].map(|rows| single.estimate_ns(rows)), [200, 102_400]);
        let full = CostTable::from_points(&[(1, 1000.0), (32_768, 65_536.0)]);
        assert_eq!([65_536, 98_304].map(|rows| full.estimate_ns(rows)), [131_072, 196_608]);
    }

    #[test]
    fn points_are_all_sizes_of_the_table() {
        let points = CostTable::from_points(&[(1, 7.0)]).points();
        assert_eq!(points.len(), 16);
        assert_eq!((points[0], points[15]), ((1, 7), (32_768, 7 * 32_768)));
    }

    #[test]
    fn a_batch_moves_its_own_size_by_a_sixteenth() {
        let table = CostTable::from_points(&[(1, 1600.0), (2, 1600.0), (4, 1600.0)]);
        table.refresh(2, 3200);
        assert_eq!([1, 2, 4].map(|rows| table.estimate_ns(rows)), [1600, 1700, 1600]);
        table.refresh(1, 0);
        assert_eq!(table.estimate_ns(1), 1500);
    }

    #[test]
    fn a_batch_between_two_sizes_moves_both_by_their_shares() {
        let table = CostTable::from_points(&[(4, 1600.0), (8, 1600.0)]);
        table.refresh(5, 3200);
        assert_eq!([2, 4, 8, 16].map(|rows| table.estimate_ns(rows)), [1600, 1675, 1625, 1600]);
        let steep = CostTable::from_points(&[(4, 800.0), (8, 2400.0)]);
        steep.refresh(6, 4800);
        assert_eq!([2, 4, 8].map(|rows| steep.estimate_ns(rows)), [800, 825, 2625]);
    }

    #[test]
    fn an_outlier_counts_as_eight_times_the_estimate() {
        let table = CostTable::from_points(&[(1, 1600.0), (2, 1600.0)]);
        table.refresh(1, u64::MAX);
        assert_eq!(table.estimate_ns(1), 1600 + 7 * 100);
    }

    #[test]
    fn what_no_batch_bears_out_is_forgotten() {
        let table = CostTable::from_points(&[(1, 1000.0), (2, 2000.0), (4, 4000.0), (8, 8000.0)]);
        for rows in [2, 4, 8] {
            (0..100).for_each(|_| table.refresh(rows, 80_000));
        }
        let learnt = [2, 4, 8].map(|rows| table.estimate_ns(rows));
        table.forget(3);
        let forgot = [2, 4, 8].map(|rows| table.estimate_ns(rows));
        assert!(forgot[0] < learnt[0] && forgot[0] > learnt[0] - 100, "{learnt:?} {forgot:?}");
        assert!(forgot[1] < learnt[1] && forgot[2] == learnt[2], "{learnt:?} {forgot:?}");
        (0..20_000).for_each(|_| table.forget(2));
        assert_eq!([1, 2, 8].map(|rows| table.estimate_ns(rows)), [1000, 2000, learnt[2]]);
        (0..20_000).for_each(|_| table.forget(40_000));
    }

    #[test]
    fn as_many_rows_as_a_limit_has_room_for() {
        let table = CostTable::from_points(&[(1, 100.0), (8, 800.0), (16, 4000.0)]);
        let rows = |limit_ns| table.rows_within(limit_ns, 16);
        assert_eq!([0, 99, 100, 199, 200, 800].map(rows), [1, 1, 1, 1, 2, 8]);
        assert_eq!([1199, 1200, 3999, 4000, u64::MAX].map(rows), [8, 9, 15, 16, 16]);
        assert_eq!([1, 5].map(|rows_max| table.rows_within(500, rows_max)), [1, 5]);
        assert_eq!(table.rows_within(0, 1), 1);
    }

    #[test]
    fn another_tables_figures_are_taken_over_with_what_was_measured_first() {
        let table = CostTable::from_points(&[(1, 100.0)]);
        table.replace(&CostTable::from_points(&[(1, 5000.0)]));
        assert_eq!([1, 4].map(|rows| table.estimate_ns(rows)), [5000, 20_000]);
        table.refresh(1, 40_000);
        (0..20_000).for_each(|_| table.forget(1));
        assert_eq!(table.estimate_ns(1), 5000);
    }

    #[test]
    fn no_batch_makes_a_cost_vanish() {
        let table = CostTable::from_points(&[(1, 0.0)]);
        (0..1000).for_each(|_| table.refresh(1, 0));
        assert_eq!(table.estimate_ns(1), 1);
        table.refresh(0, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

        #[test]
        fn batches_of_one_size_teach_their_time(
            first in 1.0..1e9_f64,
            rows in 1_usize..100_000,
            measured_ns in 100_u64..1_000_000_000,
        ) {
            let table = CostTable::from_points(&[(1, first), (32_768, first)]);
            for _ in 0..1500 {
                table.refresh(rows, measured_ns);
            }
            let learnt = table.estimate_ns(rows);
            prop_assert!(learnt.abs_diff(measured_ns) <= measured_ns / 50 + 1, "{learnt}");
        }

        #[test]
        fn one_batch_moves_an_estimate_no_further_than_its_weight(
            points in proptest::collection::vec((1_usize..40_000, 1.0..1e9_f64), 1..8),
            rows in 1_usize..100_000,
            measured_ns in any::<u64>(),
        ) {
            let table = CostTable::from_points(&points);
            let before = table.estimate(rows);
            table.refresh(rows, measured_ns);
            let factor = table.estimate(rows) / before;
            prop_assert!((0.9374..=1.4376).contains(&factor) || before < 20.0, "{factor}");
        }
    }
}
