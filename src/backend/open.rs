//! Finding and opening devices; never a silent fallback.

use std::sync::Arc;

use super::{BackendError, BackendKind, Device, Finding, OpenOptions, cpu, cuda, wgpu};

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
        // No other backend has a kernel that stays.
        BackendKind::Auto if options.persistent => cuda::open(options),
        backend @ (BackendKind::Wgpu | BackendKind::Cpu) if options.persistent => {
            Err(BackendError::Unavailable {
                backend,
                looked_for: String::from("a kernel that stays on the device was asked for"),
                advice: String::from("only --backend cuda has one"),
            })
        }
        BackendKind::Auto => open_auto(options),
        BackendKind::Cuda => cuda::open(options),
        BackendKind::Wgpu => wgpu::open(options),
        BackendKind::Cpu => open_cpu(options),
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
    // Leave to open a software adapter is no wish for one: the processor itself is faster.
    let one_wanted = options.adapter.is_some() || options.device.is_some();
    let software = options.software && one_wanted;
    let wanted = |backend| OpenOptions { backend, software, ..options.clone() };
    let gpu =
        open_with(&wanted(BackendKind::Cuda)).or_else(|_| open_with(&wanted(BackendKind::Wgpu)));
    // Who names an adapter wants that one: the processor would be a silent fallback.
    if one_wanted { gpu } else { gpu.or_else(|_| Ok(cpu::open())) }
}

/// The processor is one device, and its number is 0.
fn open_cpu(options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    match options.device {
        None | Some(0) => Ok(cpu::open()),
        Some(number) => Err(BackendError::Unavailable {
            backend: BackendKind::Cpu,
            looked_for: format!("device {number} was asked for, and the processor is device 0"),
            advice: String::from("leave the number out"),
        }),
    }
}
