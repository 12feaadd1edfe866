//! Any number of rows through contexts: while a device computes one batch, the next is handed over.

use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use super::stopwatch::complete;
use super::{BackendError, ExecutionContext, Rows};
use crate::plan::Plan;

/// Contexts kept for the next run; more callers at once than this make new ones.
const IDLE_MAX: usize = 8;
/// A driver that has not answered by then has hung.
const RUN_LIMIT: Duration = Duration::from_secs(600);

/// The contexts of one executable that wait for work.
#[derive(Debug)]
pub(super) struct Overlap<C> {
    idle: ArrayQueue<C>,
}

impl<C: ExecutionContext> Overlap<C> {
    pub(super) fn new() -> Overlap<C> {
        Overlap { idle: ArrayQueue::new(IDLE_MAX) }
    }

    /// Runs rows that were counted, batch by batch, in two contexts by turns; `make` makes those
    /// that are missing.
    pub(super) fn run(
        &self,
        plan: &Plan,
        rows: Rows<'_>,
        scores: &mut [f32],
        make: impl Fn() -> Result<C, BackendError>,
    ) -> Result<(), BackendError> {
        let count = rows.values() / plan.inputs();
        let mut spare = None;
        let mut in_flight: Option<(C, &mut [f32])> = None;
        let batches = scores.chunks_mut(plan.rows_max() * plan.classes()).enumerate();
        for (index, batch_scores) in batches {
            let first = index * plan.rows_max();
            let batch = first..count.min(first + plan.rows_max());
            let idle = || self.idle.pop().map_or_else(&make, Ok);
            let mut context = spare.take().map_or_else(idle, Ok)?;
            context.submit(rows.slice(batch, plan.inputs()))?;
            if let Some((earlier, scores)) = in_flight.replace((context, batch_scores)) {
                spare = Some(collect(earlier, scores)?);
            }
        }
        let last = in_flight.map(|(context, scores)| collect(context, scores)).transpose()?;
        for context in [last, spare].into_iter().flatten() {
            // A full queue drops the context, which is all there is to do with it.
            let _ = self.idle.push(context);
        }
        Ok(())
    }
}

/// Waits for the batch in `context` and hands its scores over.
fn collect<C: ExecutionContext>(mut context: C, scores: &mut [f32]) -> Result<C, BackendError> {
    complete(&mut context, RUN_LIMIT, Instant::now)?;
    scores.copy_from_slice(context.scores());
    Ok(context)
}
