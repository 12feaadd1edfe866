//! A plan loaded on a device, and the contexts that wait for work.

use std::sync::Arc;

use super::CudaDevice;
use super::context::CudaContext;
use super::program::Program;
use crate::backend::overlap::Overlap;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Device, Executable, ExecutionContext, Rows};
use crate::plan::Plan;

#[derive(Debug)]
pub(super) struct CudaExecutable {
    device: CudaDevice,
    program: Arc<Program>,
    overlap: Overlap<CudaContext>,
}

impl CudaExecutable {
    pub(super) fn new(device: CudaDevice, plan: Arc<Plan>) -> Result<CudaExecutable, BackendError> {
        let program = Arc::new(Program::new(Arc::clone(&device.opened), plan)?);
        Ok(CudaExecutable { device, program, overlap: Overlap::new() })
    }
}

impl Sealed for CudaExecutable {}

impl Executable for CudaExecutable {
    fn plan(&self) -> &Plan {
        &self.program.plan
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    fn kernels(&self) -> Vec<String> {
        self.program.kernels()
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        let program = &self.program;
        rows.count_for(&program.plan, scores)?;
        program.opened.gpu.check()?;
        self.overlap.run(&program.plan, rows, scores, || CudaContext::new(Arc::clone(program)))
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(CudaContext::new(Arc::clone(&self.program))?))
    }
}
