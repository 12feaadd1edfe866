//! The executable: a loaded plan behind the backend's trait.

use std::sync::Arc;

use super::CpuDevice;
use super::context::CpuContext;
use super::loaded::Loaded;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Device, Executable, ExecutionContext, Rows};
use crate::plan::Plan;

/// A loaded plan, shared with its contexts, and the device it was loaded on.
#[derive(Debug)]
pub(super) struct CpuExecutable {
    pub(super) device: CpuDevice,
    pub(super) loaded: Arc<Loaded>,
}

impl Sealed for CpuExecutable {}

impl Executable for CpuExecutable {
    fn plan(&self) -> &Plan {
        self.loaded.plan()
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        self.loaded.run(rows, scores)
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(CpuContext::new(Arc::clone(&self.loaded))?))
    }
}
