//! A plan loaded on an adapter, and the contexts that wait for work.

use std::sync::Arc;

use super::WgpuDevice;
use super::context::WgpuContext;
use super::program::Program;
use crate::backend::overlap::Overlap;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Device, Executable, ExecutionContext, Rows};
use crate::plan::Plan;

#[derive(Debug)]
pub(super) struct WgpuExecutable {
    device: WgpuDevice,
    program: Arc<Program>,
    overlap: Overlap<WgpuContext>,
}

impl WgpuExecutable {
    pub(super) fn new(device: WgpuDevice, plan: Arc<Plan>) -> Result<WgpuExecutable, BackendError> {
        let program = Arc::new(Program::new(Arc::clone(&device.gpu), plan)?);
        Ok(WgpuExecutable { device, program, overlap: Overlap::new() })
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

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        let program = &self.program;
        rows.count_for(&program.plan, scores)?;
        program.gpu.check()?;
        self.overlap.run(&program.plan, rows, scores, || WgpuContext::new(Arc::clone(program)))
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(WgpuContext::new(Arc::clone(&self.program))?))
    }
}
