//! Vulkan, Metal, DX12 and GL devices through wgpu.

use std::sync::Arc;

use super::{BackendError, BackendKind, Device, Finding, OpenOptions};

/// Opens the adapter the options ask for.
pub(super) fn open(_options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    Err(BackendError::Unavailable {
        backend: BackendKind::Wgpu,
        looked_for: String::from("no adapter"),
        advice: String::from("install a Vulkan driver"),
    })
}

/// The adapters of this machine.
pub(super) fn survey() -> Vec<Finding> {
    Vec::new()
}
