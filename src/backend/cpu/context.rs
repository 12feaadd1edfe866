//! One batch in flight: the processor computes it when it is submitted.

use std::sync::Arc;
use std::time::Instant;

use super::loaded::Loaded;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, ExecutionContext, Rows};

/// Holds the scores of one batch, in memory for the largest.
#[derive(Debug)]
pub(super) struct CpuContext {
    loaded: Arc<Loaded>,
    scores: Vec<f32>,
    /// Scores of the last batch; `None` before the first and after a failure.
    filled: Option<usize>,
}

impl CpuContext {
    /// A context with room for the largest batch of the plan.
    pub(super) fn new(loaded: Arc<Loaded>) -> Result<CpuContext, BackendError> {
        let plan = loaded.plan();
        // Past the largest number there is no memory either.
        let len = plan.rows_max().saturating_mul(plan.classes());
        let mut scores = Vec::new();
        if scores.try_reserve_exact(len).is_err() {
            return Err(loaded.out_of_memory("a batch of scores"));
        }
        Ok(CpuContext { loaded, scores, filled: None })
    }
}

impl Sealed for CpuContext {}

impl ExecutionContext for CpuContext {
    /// Each piece is computed where it lies, into its part of the scores.
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        let plan = self.loaded.plan();
        let values = Rows::count_batch(pieces, plan)? * plan.classes();
        self.filled = None;
        if self.scores.len() < values {
            // There is room for the largest batch, and what no batch needs is never touched.
            self.scores.resize(values, 0.0);
        }
        let mut filled = 0;
        for piece in pieces {
            let end = filled + piece.values() / plan.inputs() * plan.classes();
            self.loaded.run(*piece, &mut self.scores[filled..end])?;
            filled = end;
        }
        self.filled = Some(filled);
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.filled.map(|_| true).ok_or(BackendError::Idle)
    }

    fn wait(&mut self, _deadline: Instant) -> Result<(), BackendError> {
        self.is_complete().map(|_| ())
    }

    fn scores(&self) -> &[f32] {
        &self.scores[..self.filled.unwrap_or(0)]
    }
}
