//! NVIDIA devices through the driver API, found at run time.

use std::sync::Arc;

use cudarc::driver::sys;

use super::{BackendError, BackendKind, Device, Finding, OpenOptions};

/// What stands in the way of a CUDA device: looked for, and advice.
fn missing() -> (String, String) {
    // SAFETY: the call only tries to load a library by name and keeps it loaded; it is the one call
    // of the driver API that may be made before the library is known to be there.
    #[allow(unsafe_code)]
    let present = unsafe { sys::is_culib_present() };
    if present {
        (
            String::from("the NVIDIA driver is there, but this version has no CUDA kernels"),
            String::from("use --backend wgpu, which runs on the same card through Vulkan"),
        )
    } else {
        (
            String::from("the driver library libcuda.so.1 was not found"),
            String::from("install the NVIDIA driver; no CUDA toolkit is needed"),
        )
    }
}

/// Opens the first CUDA device.
pub(super) fn open(_options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    let (looked_for, advice) = missing();
    Err(BackendError::Unavailable { backend: BackendKind::Cuda, looked_for, advice })
}

/// What there is of CUDA on this machine.
pub(super) fn survey() -> Vec<Finding> {
    let (looked_for, advice) = missing();
    vec![Finding::Missing { backend: BackendKind::Cuda, looked_for, advice }]
}
