//! A plan loaded on an adapter, and the contexts that wait for work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use super::WgpuDevice;
use super::context::WgpuContext;
use super::program::Program;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Device, Executable, ExecutionContext, Rows};
use crate::plan::Plan;

/// Contexts kept for the next [`Executable::run`]; more callers at once than this make new ones.
const IDLE_MAX: usize = 8;
/// A driver that has not answered by then has hung.
const RUN_LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct WgpuExecutable {
    device: WgpuDevice,
    program: Arc<Program>,
    idle: ArrayQueue<WgpuContext>,
}

impl WgpuExecutable {
    pub(super) fn new(device: WgpuDevice, plan: Arc<Plan>) -> Result<WgpuExecutable, BackendError> {
        let program = Arc::new(Program::new(Arc::clone(&device.gpu), plan)?);
        Ok(WgpuExecutable { device, program, idle: ArrayQueue::new(IDLE_MAX) })
    }

    fn context(&self) -> Result<WgpuContext, BackendError> {
        self.idle.pop().map_or_else(|| WgpuContext::new(Arc::clone(&self.program)), Ok)
    }

    /// Waits for the batch in `context` and hands its scores over.
    fn collect(
        &self,
        mut context: WgpuContext,
        scores: &mut [f32],
    ) -> Result<WgpuContext, BackendError> {
        context.wait(Instant::now() + RUN_LIMIT)?;
        scores.copy_from_slice(context.scores());
        Ok(context)
    }
}

impl Sealed for WgpuExecutable {}

impl Executable for WgpuExecutable {
    fn plan(&self) -> &Plan {
        &self.program.plan
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    /// Batches overlap in two contexts: while one computes, the other's rows are copied.
    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        let plan = &self.program.plan;
        let count = rows.count_for(plan, scores)?;
        self.program.gpu.check()?;
        let mut spare = None;
        let mut in_flight: Option<(WgpuContext, &mut [f32])> = None;
        let batches = scores.chunks_mut(plan.rows_max() * plan.classes()).enumerate();
        for (index, batch_scores) in batches {
            let first = index * plan.rows_max();
            let batch = first..count.min(first + plan.rows_max());
            let mut context = spare.take().map_or_else(|| self.context(), Ok)?;
            context.submit(rows.slice(batch, plan.inputs()))?;
            if let Some((earlier, scores)) = in_flight.replace((context, batch_scores)) {
                spare = Some(self.collect(earlier, scores)?);
            }
        }
        let last = in_flight.map(|(context, scores)| self.collect(context, scores)).transpose()?;
        for context in [last, spare].into_iter().flatten() {
            // A full queue drops the context, which is all there is to do with it.
            let _ = self.idle.push(context);
        }
        Ok(())
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(WgpuContext::new(Arc::clone(&self.program))?))
    }
}
