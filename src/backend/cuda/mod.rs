//! NVIDIA devices through the driver API, found at run time.
//!
//! Nothing of CUDA is needed to build the crate, and nothing but the driver to run it: kernels
//! travel with the crate ([`artefact`]), the driver's library is looked for when a device is asked
//! for ([`driver`]), and where it is missing, or too old, that is a typed error. No call panics.
//!
//! All calls go through [`gpu`], which judges every answer and touches nothing of a device that it
//! has found lost. A plan's stages become blocks of bytes ([`stage`]) and launches ([`shape`],
//! [`program`]); a [`context`] owns everything that a batch needs, and allocates nothing for one.
//! Where it is asked for, a kernel stays on the device for batches of few rows ([`resident`]).

mod artefact;
mod context;
mod driver;
mod executable;
mod find;
mod gpu;
mod memory;
mod nvrtc;
mod opened;
mod peak;
mod program;
mod queue;
mod reports;
mod resident;
mod shape;
mod special;
mod stage;
mod stay;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;

use self::executable::CudaExecutable;
use self::find::Found;
use self::opened::Opened;
use super::sealed::Sealed;
use super::{
    BackendError, Device, DeviceInfo, Executable, Finding, HostMemory, OpenOptions, refusal,
};
use crate::plan::{Limits, Peak, Plan};

/// Opens the device the options ask for.
pub(super) fn open(options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    let chosen = find::all()
        .and_then(|(driver, devices)| find::choose(options, &devices).map(|found| (driver, found)));
    let (driver, found) = chosen.map_err(find::Missing::error)?;
    let opened = Opened::new(driver, found, options.timestamps)?;
    if options.persistent {
        opened.gpu.allow_stays()?;
    }
    let mut info = opened.found.info();
    let persistent = if options.persistent { ", persistent" } else { "" };
    info.detail = format!("{}, {}{persistent}", info.detail, opened.kernels());
    tracing::info!(device = info.name, detail = info.detail, "opened");
    let limits = planning_limits(&opened.found, opened.is_new());
    Ok(Arc::new(CudaDevice { opened: Arc::new(opened), info, limits }))
}

/// Every device that the driver shows.
pub(super) fn survey() -> Vec<Finding> {
    let finding = |found: &Found| match found.is_supported() {
        true => Finding::Found(found.info()),
        false => found.unsupported().finding(),
    };
    match find::all() {
        Ok((_, devices)) => devices.iter().map(finding).collect(),
        Err(missing) => vec![missing.finding()],
    }
}

#[derive(Clone, Debug)]
struct CudaDevice {
    opened: Arc<Opened>,
    info: DeviceInfo,
    limits: Limits,
}

impl Sealed for CudaDevice {}

impl Device for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn peak(&self, _working_set_bytes: u64) -> Option<Peak> {
        let failed = |error: &BackendError| tracing::warn!(%error, "ceilings not measured");
        peak::measure(&self.opened).inspect_err(failed).ok()
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        if *plan.limits() != self.limits {
            return Err(BackendError::WrongPlan);
        }
        refusal::check_precision(&plan, &self.info)?;
        Ok(Arc::new(CudaExecutable::new(self.clone(), plan)?))
    }

    fn alloc_host(&self, bytes: usize) -> Result<HostMemory, BackendError> {
        self.opened.blocks.alloc(&self.opened.gpu, bytes)
    }
}

/// Rows that a warp of the fused kernel takes at once.
const TILE_ROWS: usize = 32;
/// Shared memory of a block that the fused kernel needs for its rows: on devices with much of it,
/// and on others.
const ROWS_BYTES: usize = 64 << 10;
const ROWS_BYTES_SMALL: usize = 40 << 10;
/// From where on a device has much shared memory.
const SHARED_LARGE: usize = 100 << 10;

fn planning_limits(found: &Found, is_new: bool) -> Limits {
    let rows = if found.shared_max >= SHARED_LARGE { ROWS_BYTES } else { ROWS_BYTES_SMALL };
    // The kernels for older devices stream their weights.
    let resident = if is_new { found.shared_max.saturating_sub(rows) } else { usize::MAX };
    Limits {
        on_chip_bytes: 2 * 4 * shape::WIDEST_FUSED * TILE_ROWS,
        resident_bytes: resident,
        panel: 2 * stage::TILE,
        tile_rows_min: TILE_ROWS,
        tile_rows_max: 4 * TILE_ROWS,
        align_bytes: 16,
        // Indices in kernels are 32 bits wide.
        buffer_bytes_max: i32::MAX as usize / 256 * 256,
    }
}
