//! The processor: always there, needs no driver.
//!
//! [`oracle()`] is the slow readable reference; the executable runs a plan's stages with kernels
//! chosen once, when the device is opened.

mod executable;
mod oracle;

use std::sync::Arc;

pub use oracle::oracle;

use super::sealed::Sealed;
use super::{BackendError, BackendKind, Device, DeviceInfo, Executable};
use crate::plan::{Limits, Peak, Plan};

/// Opens the processor.
pub fn open() -> Arc<dyn Device> {
    Arc::new(CpuDevice {
        info: DeviceInfo {
            backend: BackendKind::Cpu,
            name: String::from("processor"),
            detail: String::from("portable"),
            software: false,
        },
        limits: Limits {
            on_chip_bytes: 128 << 10,
            panel: 16,
            tile_rows_min: 12,
            tile_rows_max: 12,
            align_bytes: 64,
            buffer_bytes_max: usize::MAX / 2,
        },
    })
}

#[derive(Debug)]
struct CpuDevice {
    info: DeviceInfo,
    limits: Limits,
}

impl Sealed for CpuDevice {}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn peak(&self) -> Option<Peak> {
        None
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        if *plan.limits() != self.limits {
            return Err(BackendError::WrongPlan);
        }
        Ok(Arc::new(executable::CpuExecutable::new(plan)))
    }
}
