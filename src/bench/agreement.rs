//! Whether a backend's answers are right: every score against the oracle's.

use serde::Serialize;

use crate::Error;
use crate::backend::{Executable, Rows, arg_max};
use crate::model::Model;

/// How far scores are from the oracle's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Rows compared.
    pub rows: usize,
    /// Rows whose class is the oracle's; near ties may differ at reduced precision.
    pub same_class: usize,
    /// The largest distance of a score, infinite where one side is NaN and the other is not.
    pub max_abs_error: f64,
    /// The same as a share of the largest score of its row or of 1, whichever is larger.
    pub max_error_share: f64,
    /// What `max_error_share` may be at the plan's precision.
    pub tolerance: f64,
    /// Whether it is at most that.
    pub agrees: bool,
}

/// Rows that the oracle scores with at most so many multiplications, one at least: fewer of a large
/// model.
pub(crate) fn rows_affordable(model: &Model, products_max: usize) -> usize {
    let products: usize = model.layers().iter().map(|layer| layer.weight().len()).sum();
    (products_max / products.max(1)).max(1)
}

/// Runs `rows` as one batch and compares their scores with `expected`, `[n, classes]` row-major,
/// which [`oracle`](crate::backend::cpu::oracle) computed for the same model and rows.
///
/// # Errors
/// [`Error::Backend`] where the device fails, or `expected` is not as long as the scores.
pub fn check(
    executable: &dyn Executable,
    rows: Rows<'_>,
    expected: &[f64],
) -> Result<Agreement, Error> {
    let plan = executable.plan();
    let mut scores = vec![0.0; expected.len()];
    executable.run(rows, &mut scores)?;
    Ok(Agreement::of(&scores, expected, plan.classes(), plan.precision().tolerance()))
}

impl Agreement {
    /// Compares scores, `[n, classes]` row-major, with the oracle's for the same rows.
    pub fn of(scores: &[f32], expected: &[f64], classes: usize, tolerance: f64) -> Agreement {
        let mut agreement = Agreement {
            rows: 0,
            same_class: 0,
            max_abs_error: 0.0,
            max_error_share: 0.0,
            tolerance,
            agrees: true,
        };
        for (scores, expected) in scores.chunks_exact(classes).zip(expected.chunks_exact(classes)) {
            agreement.add_row(scores, expected);
        }
        agreement.agrees = agreement.max_error_share <= tolerance;
        agreement
    }

    /// Both agreements as one: the worse error of the two, over the rows of the larger.
    pub fn and(self, other: Agreement) -> Agreement {
        let larger = if other.rows > self.rows { other } else { self };
        Agreement {
            max_abs_error: self.max_abs_error.max(other.max_abs_error),
            max_error_share: self.max_error_share.max(other.max_error_share),
            agrees: self.agrees && other.agrees,
            ..larger
        }
    }

    fn add_row(&mut self, scores: &[f32], expected: &[f64]) {
        let as_f32: Vec<f32> = expected.iter().map(|score| *score as f32).collect();
        let finite = expected.iter().filter(|score| score.is_finite());
        let largest = finite.fold(1.0_f64, |largest, score| largest.max(score.abs()));
        let errors = scores.iter().zip(expected).map(|(got, want)| distance(*got, *want));
        let error = errors.fold(0.0, f64::max);
        self.rows += 1;
        self.same_class += usize::from(arg_max(scores) == arg_max(&as_f32));
        self.max_abs_error = self.max_abs_error.max(error);
        self.max_error_share = self.max_error_share.max(error / largest);
    }
}

/// The distance of two scores: 0 for the same infinity or two NaNs, infinite for one NaN.
fn distance(got: f32, want: f64) -> f64 {
    let got = f64::from(got);
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let distance = (got - want).abs();
    if distance.is_nan() { f64::INFINITY } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_the_worst_score() {
        let got = Agreement::of(&[1.0, 2.0, 30.0, 10.0], &[1.5, 2.0, 30.0, 13.0], 2, 0.1);
        assert_eq!((got.rows, got.same_class, got.max_abs_error), (2, 2, 3.0));
        assert_eq!((got.max_error_share, got.agrees), (0.25, false));
        assert!(Agreement::of(&[30.0, 10.0], &[30.0, 13.0], 2, 0.1).agrees);
    }

    #[test]
    fn a_flipped_class_is_counted() {
        let got = Agreement::of(&[1.0, 1.01], &[1.01, 1.0], 2, 0.1);
        assert_eq!((got.same_class, got.agrees), (0, true));
    }

    #[test]
    fn nan_agrees_only_with_nan() {
        assert!(Agreement::of(&[f32::NAN, 1.0], &[f64::NAN, 1.0], 2, 0.1).agrees);
        let spoilt = Agreement::of(&[f32::NAN, 1.0], &[0.0, 1.0], 2, 0.1);
        assert_eq!((spoilt.max_abs_error, spoilt.agrees), (f64::INFINITY, false));
        assert!(!Agreement::of(&[0.0, 1.0], &[f64::NAN, 1.0], 2, 0.1).agrees);
        assert!(Agreement::of(&[f32::INFINITY], &[f64::INFINITY], 1, 0.1).agrees);
    }
}
