//! Vulkan, Metal, DX12 and GL devices through wgpu.
//!
//! A plan's stages become WGSL shaders ([`kernel`], [`shader`]) that keep to what every device has:
//! 16 KiB of workgroup storage, 256 threads a workgroup, no optional features. All calls that can
//! fail, panic or wait go through [`gpu`].

mod adapter;
mod context;
mod executable;
mod gpu;
mod kernel;
mod program;
mod shader;
#[cfg(test)]
mod tests;
mod timestamps;

use std::sync::Arc;

use self::executable::WgpuExecutable;
use self::gpu::Gpu;
use super::sealed::Sealed;
use super::{
    BackendError, BackendKind, Device, DeviceInfo, Executable, Finding, OpenOptions, refusal,
};
use crate::plan::{Limits, Peak, Plan};

/// Opens the adapter the options ask for.
pub(super) fn open(options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    Ok(Arc::new(WgpuDevice::open(options)?))
}

/// The adapters of this machine, the best first.
pub(super) fn survey() -> Vec<Finding> {
    let adapters = adapter::all();
    if adapters.is_empty() {
        let (looked_for, advice) = adapter::none_found();
        return vec![Finding::Missing { backend: BackendKind::Wgpu, looked_for, advice }];
    }
    adapters.iter().map(|adapter| Finding::Found(adapter::describe(adapter))).collect()
}

#[derive(Clone, Debug)]
struct WgpuDevice {
    gpu: Arc<Gpu>,
    info: DeviceInfo,
    limits: Limits,
}

impl WgpuDevice {
    fn open(options: &OpenOptions) -> Result<WgpuDevice, BackendError> {
        let adapter = adapter::choose(options)?;
        let required = required_limits(&adapter.limits());
        let wanted = if options.timestamps {
            wgpu::Features::TIMESTAMP_QUERY
        } else {
            wgpu::Features::empty()
        };
        let gpu = Gpu::open(
            &adapter,
            &wgpu::DeviceDescriptor {
                label: Some("fusewire"),
                required_features: wanted & adapter.features(),
                required_limits: required.clone(),
                ..wgpu::DeviceDescriptor::default()
            },
        )?;
        let info = adapter::describe(&adapter);
        tracing::info!(device = info.name, detail = info.detail, "opened");
        Ok(WgpuDevice { gpu: Arc::new(gpu), info, limits: planning_limits(&required) })
    }
}

impl Sealed for WgpuDevice {}

impl Device for WgpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn peak(&self, _working_set_bytes: u64) -> Option<Peak> {
        None
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        if *plan.limits() != self.limits {
            return Err(BackendError::WrongPlan);
        }
        refusal::check_precision(&plan, &self.info)?;
        Ok(Arc::new(WgpuExecutable::new(self.clone(), plan)?))
    }
}

/// What the shaders need, as small as every device has it, and buffers as large as this one has.
fn required_limits(adapter: &wgpu::Limits) -> wgpu::Limits {
    wgpu::Limits {
        max_storage_buffers_per_shader_stage: 4,
        max_uniform_buffer_binding_size: adapter.max_uniform_buffer_binding_size.min(64 << 10),
        max_storage_buffer_binding_size: adapter.max_storage_buffer_binding_size,
        max_buffer_size: adapter.max_buffer_size,
        ..wgpu::Limits::downlevel_defaults()
    }
}

fn planning_limits(device: &wgpu::Limits) -> Limits {
    // Indices in shaders are u32 and count single values of at least one byte.
    let largest = device.max_storage_buffer_binding_size.min(device.max_buffer_size);
    Limits {
        on_chip_bytes: kernel::ACTIVATION_BYTES,
        resident_bytes: usize::MAX,
        panel: 4,
        tile_rows_min: kernel::TILE_ROWS_MIN,
        tile_rows_max: kernel::TILE_ROWS_MAX,
        align_bytes: 256,
        // Room for the header that travels in front of the rows.
        buffer_bytes_max: largest.min(i32::MAX as u64) as usize / 256 * 256 - 256,
    }
}
