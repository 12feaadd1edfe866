//! The rows that every device gets, and the scores of the first of them.

use super::super::agreement::{self, Agreement};
use super::super::images::{self, OwnedRows};
use super::CompareOptions;
use crate::Error;
use crate::backend::{BackendError, Executable, cpu};
use crate::model::Model;
use crate::plan::InputType;

/// Rows the measured batches walk through, where memory allows.
pub(in crate::bench) const ROWS_WALKED: usize = 4096;
/// The most memory generated rows may take; batches that need more are left out.
const ROWS_BYTES_MAX: usize = 256 << 20;
/// Multiplications the oracle may spend, so that a large model is checked on fewer rows.
pub(in crate::bench) const ORACLE_PRODUCTS_MAX: usize = 2_000_000_000;

/// Rows that so many bytes hold, at least one.
pub(in crate::bench) fn rows_that_fit(model: &Model, input: InputType, bytes: usize) -> usize {
    (bytes / (model.inputs() * input.bytes())).max(1)
}

/// What every device is given.
pub(super) struct Workload<'a> {
    pub(super) model: &'a Model,
    pub(super) rows: OwnedRows,
    pub(super) rows_checked: usize,
    expected: Vec<f64>,
}

impl<'a> Workload<'a> {
    pub(super) fn new(model: &'a Model, options: &CompareOptions) -> Result<Workload<'a>, Error> {
        let fitting = rows_that_fit(model, options.plan.input, ROWS_BYTES_MAX);
        let largest = options.batches.iter().copied().max().unwrap_or(1);
        if largest > fitting || options.batches.contains(&0) {
            let rows = if largest > fitting { largest } else { 0 };
            return Err(BackendError::BatchSize { rows_max: fitting, rows }.into());
        }
        let affordable = agreement::rows_affordable(model, ORACLE_PRODUCTS_MAX);
        let rows_checked = options.rows_checked.clamp(1, affordable).min(fitting);
        let count = ROWS_WALKED.min(fitting).max(largest).max(rows_checked);
        let pixels = images::pixels(count, model.inputs(), options.seed);
        let rows = OwnedRows::generated(pixels, options.plan.input, model);
        let checked = rows.as_rows().slice(0..rows_checked, model.inputs());
        let expected = cpu::oracle(model, checked);
        Ok(Workload { model, rows, rows_checked, expected })
    }

    /// Compares the first `rows` rows, as one batch, with the oracle; at most those it has scored.
    pub(super) fn check(
        &self,
        executable: &dyn Executable,
        rows: usize,
    ) -> Result<Agreement, Error> {
        let (model, count) = (self.model, rows.min(self.rows_checked));
        let rows = self.rows.as_rows().slice(0..count, model.inputs());
        agreement::check(executable, rows, &self.expected[..count * model.classes()])
    }
}
