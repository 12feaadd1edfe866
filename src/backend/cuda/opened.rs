//! What everything on one open device shares: the device, the compiled kernels, the host's blocks.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::artefact::{self, Artefact};
use super::driver::{Driver, Handle};
use super::find::{Found, Missing};
use super::gpu::{Gpu, Live};
use super::memory::HostBlocks;
use super::special::{Fixed, NotMade, Specialist};
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
    specialist: Option<Specialist>,
    /// Those that something still runs, and some that nothing does any more.
    modules: Mutex<Vec<Weak<Module>>>,
    /// The one that showed what the driver takes.
    _first: Arc<Module>,
}

/// A loaded module, which has one kernel. Left behind where the device is lost.
#[derive(Debug)]
struct Module {
    gpu: Arc<Gpu>,
    handle: Handle,
    kernel: String,
    /// The stage that it is for, where it is for one alone.
    fixed: Option<Fixed>,
}

/// What every device has, and loads soonest: where its module is taken, so are the others.
const FIRST_KERNEL: &str = "head";

/// A kernel, ready to be launched as long as this lives.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) handle: Handle,
    /// Bytes of shared memory that a launch may ask for.
    pub(super) shared_max: usize,
    module: Arc<Module>,
}

impl Function {
    /// Whether it is made for one stage alone.
    pub(super) fn is_special(&self) -> bool {
        self.module.fixed.is_some()
    }
}

impl Opened {
    /// Opens a device, and finds the best kernels that its driver takes.
    pub(super) fn new(driver: Driver, found: Found, timed: bool) -> Result<Opened, BackendError> {
        let gpu = Arc::new(Gpu::open(driver, found.device, found.name.clone())?);
        let mut refused = found.unsupported();
        for artefact in artefact::fitting(found.capability) {
            let live = gpu.enter()?;
            match Module::shipped(&gpu, live, artefact, FIRST_KERNEL) {
                Ok(first) => {
                    let first = Arc::new(first);
                    return Ok(Opened {
                        found,
                        blocks: HostBlocks::default(),
                        timed,
                        artefact,
                        specialist: Specialist::find(),
                        modules: Mutex::new(vec![Arc::downgrade(&first)]),
                        _first: first,
                        gpu,
                    });
                }
                Err(error @ BackendError::Device { .. }) => {
                    refused = found.refused(artefact.name, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Missing::error(refused))
    }

    /// Where the kernels are from: the architecture that they were compiled for, and the compiler
    /// that makes others for a model's own stages.
    pub(super) fn kernels(&self) -> String {
        let of_specialist = self.specialist.as_ref().map(|it| format!(", {}", it.name()));
        format!("{}{}", self.artefact.name, of_specialist.unwrap_or_default())
    }

    /// Where a kernel is from.
    pub(super) fn origin(&self, function: &Function) -> &str {
        if function.is_special() { "made for its stage" } else { self.artefact.name }
    }

    /// Whether the device runs the kernels that need tensor cores for every type of weight.
    pub(super) fn is_new(&self) -> bool {
        self.found.capability.0 >= 8
    }

    /// A kernel by its name, that travels with the crate.
    pub(super) fn function(&self, name: &str) -> Result<Function, BackendError> {
        let live = self.gpu.enter()?;
        let load = || Module::shipped(&self.gpu, live, self.artefact, name);
        let found = self.module(name, None, load).and_then(|it| self.function_of(live, it));
        found.map_err(|error| match error {
            BackendError::Device { device, message } => BackendError::Compile {
                device,
                kernel: name.to_owned(),
                message: format!("{message}, for {}", self.artefact.name),
            },
            error => error,
        })
    }

    /// A kernel by its name that is made for one stage, launched with so many threads; `None` where
    /// there is none, and the one that travels with the crate will do. A compiler or a driver that
    /// fails is reported through `tracing`; the list of a plan's kernels says which of them run.
    pub(super) fn special(
        &self,
        name: &str,
        threads: u32,
        fixed: &Fixed,
    ) -> Result<Option<Function>, BackendError> {
        let Some(specialist) = &self.specialist else { return Ok(None) };
        let live = self.gpu.enter()?;
        let mut is_failure = true;
        let load = || {
            let image = specialist.module(name, threads, fixed, self.found.capability);
            let image = image.map_err(|why| {
                is_failure = !matches!(why, NotMade::NoGain | NotMade::NotKept);
                let (device, message) = (self.gpu.name().to_owned(), why.to_string());
                BackendError::Device { device, message }
            })?;
            Module::load(&self.gpu, live, &image, name, Some(fixed.clone()))
        };
        let made = self.module(name, Some(fixed), load);
        match made.and_then(|module| self.function_of(live, module)) {
            Ok(function) => Ok(Some(function)),
            Err(BackendError::Device { message, .. }) => {
                match is_failure {
                    true => tracing::warn!(kernel = name, message, "not made for its stage"),
                    false => tracing::debug!(kernel = name, message, "not made for its stage"),
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn function_of(&self, live: Live<'_>, module: Arc<Module>) -> Result<Function, BackendError> {
        // Names have no zeros in them.
        let name = CString::new(module.kernel.as_str()).unwrap_or_default();
        let found = live.function(module.handle, &name, self.found.shared_max);
        found.map(|(handle, shared_max)| Function { handle, shared_max, module })
    }

    /// The module of a kernel: the one that is loaded, or what `load` makes of it.
    fn module(
        &self,
        kernel: &str,
        fixed: Option<&Fixed>,
        load: impl FnOnce() -> Result<Module, BackendError>,
    ) -> Result<Arc<Module>, BackendError> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.retain(|module| module.strong_count() > 0);
        let is_it = |it: &Arc<Module>| it.kernel == kernel && it.fixed.as_ref() == fixed;
        if let Some(loaded) = modules.iter().filter_map(Weak::upgrade).find(is_it) {
            return Ok(loaded);
        }
        let module = Arc::new(load()?);
        modules.push(Arc::downgrade(&module));
        Ok(module)
    }
}

impl Module {
    /// A kernel that travels with the crate.
    fn shipped(
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
        Module::load(gpu, live, &image, kernel, None)
    }

    fn load(
        gpu: &Arc<Gpu>,
        live: Live<'_>,
        image: &[u8],
        kernel: &str,
        fixed: Option<Fixed>,
    ) -> Result<Module, BackendError> {
        let handle = live.load_module(image)?;
        Ok(Module { gpu: Arc::clone(gpu), handle, kernel: kernel.to_owned(), fixed })
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
