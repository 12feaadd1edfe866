//! Rows, and the scores that they must get.

use super::super::agreement;
use super::super::error::BenchError;
use super::super::images::{self, OwnedRows};
use crate::backend::{Executable, Rows, cpu};
use crate::model::Model;
use crate::plan::InputType;

/// Generated rows, where no file is given: not so many that they leave the caches of a processor
/// that would meet rows in its caches in a service, too, and enough that none is met twice in a
/// batch.
const ROWS_GENERATED: usize = 1024;
/// The most rows of a file that are used: their scores are computed in double precision first.
const ROWS_MAX: usize = 1 << 16;
/// Multiplications the oracle may spend, so that fewer rows of a large model are used.
const ORACLE_PRODUCTS_MAX: usize = 1_000_000_000;

/// Rows that a source sends again and again.
#[derive(Clone, Debug)]
pub struct Workload {
    rows: OwnedRows,
    inputs: usize,
    classes: usize,
    /// The oracle's scores, `[rows, classes]` row-major.
    expected: Vec<f32>,
    /// For each row, the largest of its scores, or 1 where that is larger.
    largest: Vec<f32>,
}

impl Workload {
    /// Random images, as in the papers.
    pub fn generated(model: &Model, input: InputType) -> Workload {
        let pixels = images::pixels(ROWS_GENERATED, model.inputs(), images::SEED);
        Workload::of_rows(model, OwnedRows::generated(pixels, input, model))
    }

    /// Rows of a file, `[n, inputs]` row-major; `None` where there are none, or not whole ones.
    pub fn given(model: &Model, rows: OwnedRows) -> Option<Workload> {
        let values = rows.len();
        let is_whole = values > 0 && values.is_multiple_of(model.inputs());
        is_whole.then(|| Workload::of_rows(model, rows))
    }

    fn of_rows(model: &Model, rows: OwnedRows) -> Workload {
        let (inputs, classes) = (model.inputs(), model.classes());
        let affordable = agreement::rows_affordable(model, ORACLE_PRODUCTS_MAX);
        let count = affordable.min(ROWS_MAX).min(rows.len() / inputs);
        let expected = cpu::oracle(model, rows.as_rows().slice(0..count, inputs));
        let expected: Vec<f32> = expected.iter().map(|score| *score as f32).collect();
        let largest = expected.chunks_exact(classes).map(|scores| {
            let finite = scores.iter().filter(|score| score.is_finite());
            finite.fold(1.0_f32, |largest, score| largest.max(score.abs()))
        });
        let largest = largest.collect();
        Workload { rows, inputs, classes, expected, largest }
    }

    /// How many different rows there are.
    pub fn count(&self) -> usize {
        self.largest.len()
    }

    /// The row of a number, which starts over after the last.
    pub(super) fn row(&self, number: u64) -> Rows<'_> {
        let at = self.place(number);
        self.rows.as_rows().slice(at..at + 1, self.inputs)
    }

    /// Room for rows of this type.
    pub(super) fn empty_rows(&self) -> OwnedRows {
        self.rows.empty_like()
    }

    /// So many rows from that of a number on, which start over after the last; `room` holds them
    /// where they do.
    pub(super) fn rows<'a>(
        &'a self,
        number: u64,
        rows: usize,
        room: &'a mut OwnedRows,
    ) -> Rows<'a> {
        let at = self.place(number);
        if at + rows <= self.count() {
            return self.rows.as_rows().slice(at..at + rows, self.inputs);
        }
        self.copy_rows(number, rows, room);
        room.as_rows()
    }

    /// Copies so many rows from that of a number on, which start over after the last.
    pub(super) fn copy_rows(&self, number: u64, rows: usize, to: &mut OwnedRows) {
        to.clear();
        for row in 0..rows as u64 {
            to.extend(self.row(number + row));
        }
    }

    fn place(&self, number: u64) -> usize {
        // There are fewer rows than 2^32.
        (number % self.count() as u64) as usize
    }

    /// Holds the scores of a number's row against the oracle's, within `tolerance` as a share of
    /// the row's largest score or of 1.
    pub(super) fn is_right(&self, number: u64, scores: &[f32], tolerance: f64) -> bool {
        let at = self.place(number);
        let expected = &self.expected[at * self.classes..][..self.classes];
        // What the expected score lost to f32 is far below any tolerance.
        let allowed = tolerance as f32 * self.largest[at];
        let near = |(got, want): (&f32, &f32)| {
            (got - want).abs() <= allowed || got == want || (got.is_nan() && want.is_nan())
        };
        scores.len() == expected.len() && scores.iter().zip(expected).all(near)
    }

    /// The error of an answer that is not right.
    pub(super) fn wrong(&self, device: String, number: u64, scores: &[f32]) -> BenchError {
        let at = self.place(number);
        let expected = &self.expected[at * self.classes..][..self.classes];
        BenchError::wrong(device, number, expected, scores)
    }

    /// Has every row scored by an executable, in batches of ever more rows, before anything is
    /// timed.
    pub(in crate::bench) fn check(&self, executable: &dyn Executable) -> Result<(), BenchError> {
        let tolerance = executable.plan().precision().tolerance();
        let (mut at, mut size) = (0, 1);
        while at < self.count() {
            let rows = size.min(self.count() - at);
            let mut scores = vec![0.0; rows * self.classes];
            let batch = self.rows.as_rows().slice(at..at + rows, self.inputs);
            executable.run(batch, &mut scores).map_err(crate::Error::from)?;
            for (number, scores) in (at as u64..).zip(scores.chunks_exact(self.classes)) {
                if !self.is_right(number, scores, tolerance) {
                    let device = executable.device().info().name.clone();
                    return Err(self.wrong(device, number, scores));
                }
            }
            at += rows;
            size = size * 3 / 2 + 1;
        }
        Ok(())
    }
}
