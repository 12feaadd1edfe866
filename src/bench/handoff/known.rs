//! Rows for a model, and the scores they must get.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::agreement;
use super::super::error::BenchError;
use super::super::images::{self, OwnedRows};
use super::traffic::Traffic;
use crate::Error;
use crate::backend::{Executable, cpu};
use crate::model::{ContentHash, Model};
use crate::pipeline::{Pipeline, Reply, SubmitError, Ticket};
use crate::plan::PlanOptions;

/// Rows that requests walk through.
pub(super) const ROWS: usize = 256;
/// Multiplications the oracle may spend, so that a large model is checked on fewer rows.
const ORACLE_PRODUCTS_MAX: usize = 500_000_000;

/// Generated images with the scores that a device gives each of them alone. A row has the same bits
/// in every batch of the processor, so that answers are compared bit by bit.
#[derive(Clone, Debug)]
pub(super) struct Known {
    rows: Arc<OwnedRows>,
    inputs: usize,
    /// Scores of all rows by each model, told by its content hash in replies.
    answers: Vec<(ContentHash, Arc<[f32]>)>,
}

impl Known {
    /// Rows for models of one shape, none of them known yet.
    pub(super) fn new(model: &Model, plan: &PlanOptions) -> Known {
        let pixels = images::pixels(ROWS, model.inputs(), images::SEED);
        let rows = OwnedRows::generated(pixels, plan.input, model);
        Known { rows: Arc::new(rows), inputs: model.inputs(), answers: Vec::new() }
    }

    /// Has the rows scored by a model, after its scores were compared with the oracle's.
    pub(super) fn learn(
        &mut self,
        model: &Model,
        executable: &dyn Executable,
    ) -> Result<(), BenchError> {
        self.check_with_oracle(model, executable)?;
        let mut scores = vec![0.0; ROWS * model.classes()];
        for (row, scores) in scores.chunks_exact_mut(model.classes()).enumerate() {
            let row = self.rows.as_rows().slice(row..row + 1, self.inputs);
            executable.run(row, scores).map_err(Error::from)?;
        }
        self.answers.push((model.content_hash(), scores.into()));
        Ok(())
    }

    /// Calls the executable with a batch of the rows, another one for another `first`, compares the
    /// scores, and returns how long the call took. At most [`ROWS`] rows.
    pub(super) fn run(
        &self,
        executable: &dyn Executable,
        first: usize,
        scores: &mut [f32],
    ) -> Result<Duration, BenchError> {
        let plan = executable.plan();
        let batch = scores.len() / plan.classes();
        let first = first % (ROWS - batch + 1);
        let rows = self.rows.as_rows().slice(first..first + batch, self.inputs);
        let begun = Instant::now();
        executable.run(rows, scores).map_err(Error::from)?;
        let took = begun.elapsed();
        for (row, got) in scores.chunks_exact(plan.classes()).enumerate() {
            let expected = self.scores(first + row, Some(plan.content_hash()));
            if !same_bits(got, expected) {
                let device = executable.device().info().name.clone();
                return Err(BenchError::wrong(device, (first + row) as u64, expected, got));
            }
        }
        Ok(took)
    }

    fn check_with_oracle(
        &self,
        model: &Model,
        executable: &dyn Executable,
    ) -> Result<(), BenchError> {
        let rows = agreement::rows_affordable(model, ORACLE_PRODUCTS_MAX).min(ROWS);
        let rows = self.rows.as_rows().slice(0..rows, self.inputs);
        let agreement = agreement::check(executable, rows, &cpu::oracle(model, rows))?;
        if agreement.agrees {
            return Ok(());
        }
        Err(BenchError::Disagrees {
            device: executable.device().info().name.clone(),
            share: agreement.max_error_share,
            tolerance: agreement.tolerance,
        })
    }

    /// The scores of a row by the model that an answer names; none where that is unknown.
    fn scores(&self, row: usize, hash: Option<ContentHash>) -> &[f32] {
        let by_model = self.answers.iter().find(|(known, _)| Some(*known) == hash);
        by_model.map_or(&[], |(_, scores)| {
            let classes = scores.len() / ROWS;
            &scores[row * classes..][..classes]
        })
    }
}

impl Traffic for Known {
    fn rows(&self) -> usize {
        1
    }

    fn send(&mut self, pipeline: &Pipeline, number: u64) -> Result<Ticket, SubmitError> {
        let row = number as usize % ROWS;
        pipeline.submit(self.rows.as_rows().slice(row..row + 1, self.inputs))
    }

    fn check(&self, number: u64, reply: &Reply) -> Result<(), BenchError> {
        let answer = reply.first();
        let expected = self.scores(number as usize % ROWS, answer.content_hash());
        if same_bits(answer.scores(), expected) {
            return Ok(());
        }
        Err(BenchError::wrong(answer.device(), number, expected, answer.scores()))
    }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
