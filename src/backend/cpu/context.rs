//! One batch in flight: the processor computes it when it is submitted.

use std::time::Instant;

use super::executable::CpuExecutable;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Executable, ExecutionContext, Rows};

/// Holds the scores of one batch, in memory for the largest.
#[derive(Debug)]
pub(super) struct CpuContext {
    executable: CpuExecutable,
    scores: Vec<f32>,
    /// Scores of the last batch; `None` before the first and after a failure.
    filled: Option<usize>,
}

impl CpuContext {
    /// A context of an executable; `None` where memory runs out.
    pub(super) fn new(executable: CpuExecutable) -> Option<CpuContext> {
        let plan = executable.plan();
        let len = plan.rows_max().checked_mul(plan.classes())?;
        let mut scores = Vec::new();
        scores.try_reserve_exact(len).ok()?;
        scores.resize(len, 0.0);
        Some(CpuContext { executable, scores, filled: None })
    }
}

impl Sealed for CpuContext {}

impl ExecutionContext for CpuContext {
    fn submit(&mut self, rows: Rows<'_>) -> Result<(), BackendError> {
        let count = rows.count_batch(self.executable.plan())?;
        let filled = count * self.executable.plan().classes();
        self.filled = None;
        self.executable.run(rows, &mut self.scores[..filled])?;
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
