//! Measures what batches cost on a backend before it takes any.

use std::time::Duration;

use super::super::backend::stopwatch::complete;
use super::super::backend::{BackendError, ExecutionContext, Rows};
use super::super::sync::now;
use super::cost::CostTable;

/// A size's time is the least of so many batches.
const RUNS: u32 = 3;
/// So many batches of a size run even where they take more than is left of the budget: one alone
/// may have met a moment in which the machine did something else.
const RUNS_MIN: u32 = 2;

impl CostTable {
    /// Measures batches of 1, 2, 4, .. and `rows_max` rows, each up to three times, the least time
    /// counting. One batch of one row goes before and is not counted, since a first one may prepare
    /// what later ones find ready. A single row is always measured; after it, a size is
    /// measured where it is likely to fit in what is left of `budget`, and sizes not reached are
    /// extrapolated as [`CostTable::from_points`] says. A batch counts against the budget with the
    /// least time of its size, so that a machine that stood still for a moment ends nothing early.
    ///
    /// The batches are cut from `zero_rows`, `[n, inputs]` row-major; where there are fewer than
    /// `rows_max`, sizes end with them. The context has no batch in flight, before and after; after
    /// an error it may have one.
    ///
    /// # Errors
    /// [`BackendError::Timeout`] where a batch does not complete within `limit`;
    /// [`BackendError::BatchSize`] where there is no row; else a failure of the device.
    pub(crate) fn calibrate(
        context: &mut dyn ExecutionContext,
        zero_rows: Rows<'_>,
        inputs: usize,
        rows_max: usize,
        budget: Duration,
        limit: Duration,
    ) -> Result<CostTable, BackendError> {
        let rows_max = zero_rows.values().checked_div(inputs).unwrap_or(0).min(rows_max);
        if rows_max == 0 {
            return Err(BackendError::BatchSize { rows_max, rows: 0 });
        }
        let mut run = |rows: usize| {
            let begun = now();
            context.submit(zero_rows.slice(0..rows, inputs))?;
            complete(context, limit, now)?;
            Ok(now().duration_since(begun))
        };
        run(1)?;
        Ok(CostTable::from_points(&measure(&sizes(rows_max), budget, run)?))
    }
}

/// Every power of two below `rows_max`, then `rows_max`.
fn sizes(rows_max: usize) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|power| 1 << power);
    powers.take_while(|rows| *rows < rows_max).chain([rows_max]).collect()
}

/// The least time in nanoseconds of each of `sizes` that fits in the budget; always of the first.
fn measure(
    sizes: &[usize],
    budget: Duration,
    mut run: impl FnMut(usize) -> Result<Duration, BackendError>,
) -> Result<Vec<(usize, f64)>, BackendError> {
    let mut points = Vec::new();
    let mut spent = Duration::ZERO;
    let mut least = Duration::ZERO;
    for rows in sizes {
        // The next size is at most twice the one before, and hardly slower than in proportion.
        if spent + 2 * least > budget {
            break;
        }
        least = run(*rows)?;
        let mut runs = 1;
        while runs < RUNS && (runs < RUNS_MIN || spent + least * (runs + 1) <= budget) {
            least = least.min(run(*rows)?);
            runs += 1;
        }
        spent += least * runs;
        points.push((*rows, least.as_nanos() as f64));
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::backend::fake::{FakeDevice, Fault};
    use super::super::super::backend::{Device, cpu};
    use super::super::super::model::{Activation, Dense, Model};
    use super::super::super::plan::{Plan, PlanOptions};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Calibrates a fake device whose batches meet these faults, of `rows` rows of two values.
    fn calibrate(
        faults: Vec<Fault>,
        rows: usize,
        rows_max: usize,
        budget: Duration,
    ) -> Result<CostTable, BackendError> {
        let layer = Dense::new(2, 3, vec![0.5; 6], None, Activation::Relu).unwrap();
        let model = Model::from_layers(vec![layer]).unwrap();
        let device = FakeDevice::new(*cpu::open().limits());
        let hangs = faults.contains(&Fault::Hang);
        device.script(faults);
        let plan = Plan::new(&model, device.limits(), &PlanOptions::default()).unwrap();
        let mut context = device.load(Arc::clone(&plan)).unwrap().create_context().unwrap();
        let zeros = vec![0.0; rows * 2];
        // A batch that hangs is waited for as long as that may take.
        let limit = if hangs { Duration::from_millis(20) } else { HOUR };
        CostTable::calibrate(&mut *context, Rows::F32(&zeros), 2, rows_max, budget, limit)
    }

    /// Whether exactly so many batches run: the one after them would fail.
    fn runs(batches: usize, rows: usize, rows_max: usize, budget: Duration) -> bool {
        let last_fails = [vec![Fault::None; batches - 1], vec![Fault::FailAtSubmit]].concat();
        let next_fails = [vec![Fault::None; batches], vec![Fault::FailAtSubmit]].concat();
        calibrate(last_fails, rows, rows_max, budget).is_err()
            && calibrate(next_fails, rows, rows_max, budget).is_ok()
    }

    #[test]
    fn every_size_runs_three_times_after_one_to_warm_up() {
        assert!(runs(1 + 3 * 3, 4, 4, HOUR));
        assert!(runs(1 + 3 * 3, 3, 3, HOUR));
        assert!(runs(1 + 3, 1, 1, HOUR));
        assert!(runs(1 + 3 * 2, 64, 2, HOUR), "sizes end with rows_max");
        assert!(runs(1 + 3 * 2, 2, 64, HOUR), "sizes end with the rows");
    }

    #[test]
    fn without_a_budget_one_row_is_measured_all_the_same() {
        assert!(runs(1 + 2, 4, 4, Duration::ZERO));
    }

    #[test]
    fn failures_and_hangs_are_told() {
        let failed = |faults| calibrate(faults, 4, 4, HOUR).unwrap_err();
        assert!(matches!(failed(vec![Fault::Hang]), BackendError::Timeout { .. }));
        assert!(matches!(failed(vec![Fault::None, Fault::Lose]), BackendError::Lost { .. }));
        assert!(matches!(failed(vec![Fault::FailAtCompletion]), BackendError::Device { .. }));
        assert!(matches!(calibrate(vec![], 0, 4, HOUR), Err(BackendError::BatchSize { .. })));
    }

    #[test]
    fn sizes_are_powers_of_two_and_the_largest() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(8), [1, 2, 4, 8]);
        assert_eq!(sizes(9), [1, 2, 4, 8, 9]);
    }

    /// What is measured where the batches take these milliseconds, and the rows of each batch.
    fn measured(budget_ms: u64, takes_ms: &[u64]) -> (Vec<(usize, f64)>, Vec<usize>) {
        let mut ran = Vec::new();
        let run = |rows| {
            ran.push(rows);
            Ok(Duration::from_millis(takes_ms[ran.len() - 1]))
        };
        let points = measure(&[1, 2, 4], Duration::from_millis(budget_ms), run).unwrap();
        (points, ran)
    }

    #[test]
    fn the_least_time_of_a_size_counts() {
        let (points, _) = measured(1000, &[9, 7, 8, 5, 6, 5, 1, 2, 3]);
        assert_eq!(points, [(1, 7e6), (2, 5e6), (4, 1e6)]);
    }

    #[test]
    fn the_budget_ends_runs_first_then_sizes() {
        // 2 + 2 + 2 for a row, 3 + 3 of 12 for two; a third would be past it, four rows even more.
        let (points, ran) = measured(12, &[2, 2, 2, 3, 3, 99, 99]);
        assert_eq!(points, [(1, 2e6), (2, 3e6)]);
        assert_eq!(ran, [1, 1, 1, 2, 2]);
        let (points, ran) = measured(0, &[5, 6]);
        assert_eq!((points, ran), (vec![(1, 5e6)], vec![1, 1]));
    }

    #[test]
    fn a_moment_in_which_the_machine_stands_still_ends_nothing() {
        let (points, ran) = measured(40, &[500, 2, 2, 3, 700, 3, 4, 4, 900]);
        assert_eq!(points, [(1, 2e6), (2, 3e6), (4, 4e6)]);
        assert_eq!(ran, [1, 1, 1, 2, 2, 2, 4, 4, 4]);
    }
}
