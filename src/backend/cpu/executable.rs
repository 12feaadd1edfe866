//! The executable: a loaded plan behind the backend's trait.

use std::sync::Arc;

use super::context::CpuContext;
use super::loaded::Loaded;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Executable, ExecutionContext, Rows};
use crate::plan::Plan;

/// A loaded plan, shared with its contexts.
#[derive(Debug)]
pub(super) struct CpuExecutable(pub(super) Arc<Loaded>);

impl Sealed for CpuExecutable {}

impl Executable for CpuExecutable {
    fn plan(&self) -> &Plan {
        self.0.plan()
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        self.0.run(rows, scores)
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(CpuContext::new(self.0.clone())?))
    }
}
