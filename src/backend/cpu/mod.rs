//! The processor: always there, needs no driver.
//!
//! [`oracle()`] is the slow readable reference. The executable runs a plan's stages with kernels of
//! one instruction set, a [`Level`], chosen once, when the device is opened. It starts no threads:
//! a call computes on its caller's thread, and any number of threads may call at once.
//!
//! Weights of f16 and bf16 plans are expanded to f32 when they are loaded: such a plan rounds like
//! one on a GPU, and runs as fast as an f32 plan. One row or two are faster: they are bound by
//! reading weights, and read them as halves.
//!
//! With AVX512-BF16, plans of bf16 are computed otherwise: rows and what layers hand to each other
//! are rounded to bf16, too, and two products at a time are added in f32 (`pairs`).
//!
//! Plans of int8 are computed in whole numbers (`int8`, `dots`), with VNNI where the processor
//! has it.
//!
//! With AMX both are multiplied in blocks of 16 rows by 16 outputs (`blocks`). Linux saves AMX's
//! registers for a process that asked for it; opening a device asks, and uses AMX if that is
//! granted and it sums what the plain version does. From then on Linux wants 8 KiB more of the
//! stacks that a process gives it for signals.
//!
//! Kernels run in a mode of their own (`mode`): numbers nearer to 0 than 2^-126 count as 0, as they
//! do in packed weights, and what a caller's thread has set changes no score.
//!
//! At one level, a row's scores are the same to the last bit whatever batch it is in. Levels differ
//! from each other in the last bits: the portable one rounds products before adding them.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod blocks;
mod context;
mod detect;
mod dots;
mod executable;
mod int8;
mod kernels;
mod layer;
mod level;
mod loaded;
mod math;
mod memory;
mod mode;
mod oracle;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod other;
mod pairs;
mod passes;
mod peak;
mod portable;
mod probes;
mod program;
mod simd;
mod split;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::sync::Arc;

pub use level::Level;
pub use oracle::oracle;

use super::sealed::Sealed;
use super::{BackendError, BackendKind, Device, DeviceInfo, Executable};
use crate::plan::{Limits, Peak, Plan};
use executable::CpuExecutable;
use kernels::Kernels;
use loaded::Loaded;

/// Opens the processor at its fastest level.
pub fn open() -> Arc<dyn Device> {
    let kernels = Level::ALL.into_iter().find_map(|level| Some((level, detect::kernels(level)?)));
    // The last of them, the portable level, is plain Rust.
    let (level, kernels) = kernels.expect("every processor has the portable level");
    Arc::new(CpuDevice::new(level, kernels))
}

/// The levels this processor has, fastest first; [`open`] takes the first.
pub fn levels() -> Vec<Level> {
    Level::ALL.into_iter().filter(|level| detect::kernels(*level).is_some()).collect()
}

/// Opens the processor at a level, for tests and comparisons.
///
/// # Errors
/// [`BackendError::Unavailable`] where the processor has no such instructions.
pub fn open_level(level: Level) -> Result<Arc<dyn Device>, BackendError> {
    match detect::kernels(level) {
        Some(kernels) => Ok(Arc::new(CpuDevice::new(level, kernels))),
        None => Err(BackendError::Unavailable {
            backend: BackendKind::Cpu,
            looked_for: format!("this processor has no {}", level.name()),
            advice: String::from("open one of cpu::levels()"),
        }),
    }
}

/// Bytes of activations that a tile may keep: half of a usual first-level cache, the other half
/// being for weights.
const ON_CHIP_BYTES: usize = 24 << 10;
/// Register tiles in the largest tile of rows: weights are read from the second-level cache once
/// for all of them.
const REGISTER_TILES: usize = 2;

#[derive(Clone, Debug)]
struct CpuDevice {
    info: DeviceInfo,
    limits: Limits,
    kernels: Kernels,
}

impl CpuDevice {
    fn new(level: Level, kernels: Kernels) -> CpuDevice {
        CpuDevice {
            info: DeviceInfo {
                backend: BackendKind::Cpu,
                name: detect::processor_name(),
                detail: format!("{}{}", level.name(), kernels.beside()),
                software: false,
                pci: None,
            },
            limits: Limits {
                on_chip_bytes: ON_CHIP_BYTES,
                resident_bytes: usize::MAX,
                panel: kernels.lanes,
                tile_rows_min: kernels.rows,
                tile_rows_max: REGISTER_TILES * kernels.rows,
                align_bytes: 64,
                buffer_bytes_max: isize::MAX as usize,
            },
            kernels,
        }
    }
}

impl Sealed for CpuDevice {}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn peak(&self, working_set_bytes: u64) -> Option<Peak> {
        Some(peak::measure(&self.kernels, working_set_bytes))
    }

    fn computes_in_call(&self) -> bool {
        true
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        if *plan.limits() != self.limits {
            return Err(BackendError::WrongPlan);
        }
        let device = format!("{} ({})", self.info.name, self.info.detail);
        let loaded = Arc::new(Loaded::new(plan, self.kernels, &device)?);
        Ok(Arc::new(CpuExecutable { device: self.clone(), loaded }))
    }
}
