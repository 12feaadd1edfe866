//! What everything on one open device shares: the device, the compiled kernels, the host's blocks.

use std::ffi::CString;
use std::sync::Arc;

use super::artefact;
use super::driver::{Driver, Handle};
use super::find::{Found, Missing};
use super::gpu::Gpu;
use super::memory::HostBlocks;
use crate::backend::BackendError;

/// An open device with its kernels.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) gpu: Arc<Gpu>,
    pub(super) found: Found,
    pub(super) blocks: HostBlocks,
    /// Whether launches are timed.
    pub(super) timed: bool,
    module: Module,
}

/// A loaded module. Left behind where the device is lost.
#[derive(Debug)]
struct Module {
    gpu: Arc<Gpu>,
    handle: Handle,
    artefact: &'static str,
}

/// A kernel of the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) handle: Handle,
    /// Bytes of shared memory that a launch may ask for.
    pub(super) shared_max: usize,
}

impl Opened {
    /// Opens a device, and loads the best kernels that its driver takes.
    pub(super) fn new(driver: Driver, found: Found, timed: bool) -> Result<Opened, BackendError> {
        let gpu = Arc::new(Gpu::open(driver, found.device, found.name.clone())?);
        let mut refused = found.unsupported();
        for artefact in artefact::fitting(found.capability) {
            match gpu.enter()?.load_module(artefact.image) {
                Ok(handle) => {
                    let (module_gpu, artefact) = (Arc::clone(&gpu), artefact.name);
                    let module = Module { gpu: module_gpu, handle, artefact };
                    return Ok(Opened { gpu, found, blocks: HostBlocks::default(), timed, module });
                }
                Err(error @ BackendError::Device { .. }) => {
                    refused = found.refused(artefact.name, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Missing::error(refused))
    }

    /// The name of the file that the kernels are from.
    pub(super) fn artefact(&self) -> &'static str {
        self.module.artefact
    }

    /// Whether the device runs the kernels that need tensor cores for every type of weight.
    pub(super) fn is_new(&self) -> bool {
        self.found.capability.0 >= 8
    }

    /// A kernel by its name.
    pub(super) fn function(&self, name: &str) -> Result<Function, BackendError> {
        let compile = |message: String| BackendError::Compile {
            device: self.gpu.name().to_owned(),
            kernel: name.to_owned(),
            message,
        };
        let zero_ended = CString::new(name).map_err(|error| compile(error.to_string()))?;
        let live = self.gpu.enter()?;
        match live.function(self.module.handle, &zero_ended, self.found.shared_max) {
            Ok((handle, shared_max)) => Ok(Function { handle, shared_max }),
            Err(BackendError::Device { message, .. }) => {
                Err(compile(format!("{message}, in {}", self.module.artefact)))
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Ok(live) = self.gpu.enter() {
            // There is nobody to tell; a fatal answer has lost the device.
            let _ = live.unload_module(self.handle);
        }
    }
}
