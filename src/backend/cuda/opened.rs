//! What everything on one open device shares: the device, the compiled kernels, the host's blocks.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use super::artefact::{self, Artefact};
use super::driver::{Driver, Handle};
use super::find::{Found, Missing};
use super::gpu::{Gpu, Live};
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
    artefact: Artefact,
    /// Those that were asked for.
    modules: Mutex<Vec<Module>>,
}

/// A loaded module, which has one kernel. Left behind where the device is lost.
#[derive(Debug)]
struct Module {
    gpu: Arc<Gpu>,
    handle: Handle,
    kernel: String,
}

/// What every device has, and loads soonest: where its module is taken, so are the others.
const FIRST_KERNEL: &str = "head";

/// A kernel, ready to be launched.
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
            let live = gpu.enter()?;
            match Module::load(&gpu, live, artefact, FIRST_KERNEL) {
                Ok(first) => {
                    let (blocks, modules) = (HostBlocks::default(), Mutex::new(vec![first]));
                    return Ok(Opened { gpu, found, blocks, timed, artefact, modules });
                }
                Err(error @ BackendError::Device { .. }) => {
                    refused = found.refused(artefact.name, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Missing::error(refused))
    }

    /// The architecture that the kernels were compiled for.
    pub(super) fn artefact(&self) -> &'static str {
        self.artefact.name
    }

    /// Whether the device runs the kernels that need tensor cores for every type of weight.
    pub(super) fn is_new(&self) -> bool {
        self.found.capability.0 >= 8
    }

    /// A kernel by its name.
    pub(super) fn function(&self, name: &str) -> Result<Function, BackendError> {
        let found = self.module(name).and_then(|module| {
            let name = CString::new(name).unwrap_or_default();
            self.gpu.enter()?.function(module, &name, self.found.shared_max)
        });
        match found {
            Ok((handle, shared_max)) => Ok(Function { handle, shared_max }),
            Err(BackendError::Device { device, message }) => Err(BackendError::Compile {
                device,
                kernel: name.to_owned(),
                message: format!("{message}, for {}", self.artefact.name),
            }),
            Err(error) => Err(error),
        }
    }

    /// The module of a kernel, loaded the first time that it is asked for.
    fn module(&self, kernel: &str) -> Result<Handle, BackendError> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = modules.iter().find(|module| module.kernel == kernel) {
            return Ok(loaded.handle);
        }
        let module = Module::load(&self.gpu, self.gpu.enter()?, self.artefact, kernel)?;
        let handle = module.handle;
        modules.push(module);
        Ok(handle)
    }
}

impl Module {
    fn load(
        gpu: &Arc<Gpu>,
        live: Live<'_>,
        artefact: Artefact,
        kernel: &str,
    ) -> Result<Module, BackendError> {
        let image = artefact.module(kernel).ok_or_else(|| BackendError::Compile {
            device: gpu.name().to_owned(),
            kernel: kernel.to_owned(),
            message: format!("there is none for {}", artefact.name),
        })?;
        let handle = live.load_module(&image)?;
        Ok(Module { gpu: Arc::clone(gpu), handle, kernel: kernel.to_owned() })
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
