//! Finding and opening devices; never a silent fallback.

use std::sync::Arc;

use super::{BackendError, BackendKind, Device, DeviceInfo, cpu, cuda, wgpu};

/// Which device to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The backend.
    pub backend: BackendKind,
    /// Part of the wanted adapter's name, upper or lower case; the first that matches is opened.
    pub adapter: Option<String>,
    /// Whether a software adapter may be opened.
    pub software: bool,
}

/// One line of a survey: a device that is there, or a backend that is not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Finding {
    /// A device that can be opened.
    Found(DeviceInfo),
    /// A backend without a device on this machine.
    Missing {
        /// The backend.
        backend: BackendKind,
        /// What was looked for, and what was found instead.
        looked_for: String,
        /// How to get one.
        advice: String,
    },
}

/// Opens the device a backend would use first; see [`open_with`] for a choice.
///
/// # Errors
/// [`BackendError::Unavailable`] says what was looked for and how to get it.
pub fn open(backend: BackendKind) -> Result<Arc<dyn Device>, BackendError> {
    open_with(&OpenOptions { backend, ..OpenOptions::default() })
}

/// Opens a device.
///
/// # Errors
/// [`BackendError::Unavailable`] says what was looked for and how to get it.
pub fn open_with(options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    match options.backend {
        BackendKind::Auto => open_auto(options),
        BackendKind::Cuda => cuda::open(options),
        BackendKind::Wgpu => wgpu::open(options),
        BackendKind::Cpu => Ok(cpu::open()),
    }
}

/// Everything that could be opened here, and for what could not, what was looked for.
pub fn survey() -> Vec<Finding> {
    let mut findings = cuda::survey();
    findings.extend(wgpu::survey());
    findings.push(Finding::Found(cpu::open().info().clone()));
    findings
}

fn open_auto(options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    let wanted = |backend| OpenOptions { backend, ..options.clone() };
    open_with(&wanted(BackendKind::Cuda))
        .or_else(|_| open_with(&wanted(BackendKind::Wgpu)))
        .or_else(|_| open_with(&wanted(BackendKind::Cpu)))
}
