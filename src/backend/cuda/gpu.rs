//! An open device behind calls that end in a typed error, and in none once it is lost.
//!
//! [`Gpu::enter`] makes the device's context the calling thread's own and hands out [`Live`], whose
//! methods are the calls there are. Every answer is judged ([`verdict`]); after a fatal one nothing
//! touches the context again: what it holds, memory of the host too, is left behind.
//!
//! The context is the device's primary one, shared with whatever else in the process uses CUDA.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::driver::{Address, Code, Driver, Handle};
use super::stay::{Leave, Stays, StopWord};
use super::verdict::{NOT_READY, SUCCESS, Verdict, verdict};
use crate::backend::BackendError;
use crate::backend::process::Process;

/// `CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP`: pinned for every context, and seen by
/// the device. Not write-combined, which the host reads far too slowly, and a pipeline that fails
/// over reads waiting rows.
const HOST_FLAGS: u32 = 1 | 2;
/// `CU_STREAM_NON_BLOCKING`: no order with anybody else's work.
const STREAM_FLAGS: u32 = 1;
/// `CU_EVENT_DISABLE_TIMING`.
const EVENT_UNTIMED: u32 = 2;
/// `CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES` and `.._MAX_DYNAMIC_SHARED_SIZE_BYTES`.
const STATIC_SHARED: u32 = 1;
const MAX_DYNAMIC_SHARED: u32 = 8;
/// `CU_JIT_ERROR_LOG_BUFFER` and `.._SIZE_BYTES`.
const JIT_LOG: [u32; 2] = [5, 6];
/// Bytes for what the driver's compiler has to say.
const JIT_LOG_BYTES: usize = 4096;

/// An open device, and whether it still lives.
#[derive(Debug)]
pub(super) struct Gpu {
    driver: Driver,
    device: i32,
    context: Handle,
    name: String,
    /// Why the device was lost; written once, by whoever sees it first.
    lost: OnceLock<String>,
    stays: Stays,
    /// The process that it was opened in.
    process: Process,
}

impl Gpu {
    /// Opens a device of an initialised driver.
    pub(super) fn open(driver: Driver, device: i32, name: String) -> Result<Gpu, BackendError> {
        let (lost, stays, process) = (OnceLock::new(), Stays::default(), Process::this());
        let mut gpu = Gpu { driver, device, context: 0, name, lost, stays, process };
        // SAFETY: the driver is initialised, the device is one of its own.
        let code = unsafe { (driver.context_retain)(&mut gpu.context, device) };
        if code != SUCCESS {
            let error = gpu.failed("cuDevicePrimaryCtxRetain", code);
            // There is no context that could be released.
            gpu.lose(error.to_string());
            return Err(error);
        }
        gpu.enter()?;
        Ok(gpu)
    }

    /// The device's name, for errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is a child of the process that opened the device, and has none of what the
    /// driver keeps for that one, pinned memory included.
    pub(super) fn is_anothers(&self) -> bool {
        !self.process.is_this()
    }

    /// Whether the device is lost, or another process's.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        if self.is_anothers() {
            return Err(BackendError::Forked { device: self.name.clone() });
        }
        if self.lost.get().is_some() { Err(self.lose(String::new())) } else { Ok(()) }
    }

    /// Gives the device up for this reason, unless it was lost for another before.
    pub(super) fn lose(&self, reason: String) -> BackendError {
        let message = self.lost.get_or_init(|| reason).clone();
        BackendError::Lost { device: self.name.clone(), message }
    }

    /// Lets kernels stay on the device.
    pub(super) fn allow_stays(&self) -> Result<(), BackendError> {
        let (start, device) = self.enter()?.alloc_host(size_of::<u32>())?;
        // SAFETY: so many bytes were allocated there, and nobody else knows them yet.
        unsafe { start.write_bytes(0, size_of::<u32>()) };
        self.stays.allow(StopWord { start, device });
        Ok(())
    }

    /// Whether kernels may stay on the device.
    pub(super) fn may_stay(&self) -> bool {
        self.stays.are_allowed()
    }

    /// Leave to launch a kernel that stays; `None` where none may, or none now.
    pub(super) fn leave_to_stay(&self) -> Option<Leave<'_>> {
        self.stays.leave()
    }

    /// Makes the device's context current on this thread, where the device lives.
    pub(super) fn enter(&self) -> Result<Live<'_>, BackendError> {
        self.check()?;
        // SAFETY: the context was retained and is released when `self` is dropped.
        match unsafe { (self.driver.context_set_current)(self.context) } {
            SUCCESS => Ok(Live { gpu: self, on_this_thread: PhantomData }),
            code => Err(self.failed("cuCtxSetCurrent", code)),
        }
    }

    /// The error of a call that did not succeed; a fatal one loses the device.
    fn failed(&self, call: &str, code: Code) -> BackendError {
        let message = format!("{call}: {}", self.driver.words(code));
        let device = self.name.clone();
        match verdict(code) {
            Verdict::OutOfMemory => BackendError::OutOfMemory { device, message },
            Verdict::Refused => BackendError::Device { device, message },
            Verdict::Fatal => self.lose(message),
        }
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        if let (Some(word), Ok(live)) = (self.stays.take(), self.enter()) {
            // There is nobody to tell; a fatal answer has lost the device.
            let _ = live.free_host(word.start);
        }
        if self.check().is_ok() {
            // SAFETY: retained in `open`; all that the context holds has kept `self` alive.
            unsafe { (self.driver.context_release)(self.device) };
        }
    }
}

/// Calls of a live device, from the thread that entered it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live<'a> {
    gpu: &'a Gpu,
    /// The context is current on the thread that entered, and on no other.
    on_this_thread: PhantomData<*const ()>,
}

impl Live<'_> {
    /// Makes one call, where no other was fatal meanwhile.
    fn call(
        self,
        name: &'static str,
        call: impl FnOnce(&Driver) -> Code,
    ) -> Result<(), BackendError> {
        self.gpu.check()?;
        match call(&self.gpu.driver) {
            SUCCESS => Ok(()),
            code => Err(self.gpu.failed(name, code)),
        }
    }

    /// Makes a call that may wait until the device has nothing to do.
    fn call_alone(
        self,
        name: &'static str,
        call: impl FnOnce(&Driver) -> Code,
    ) -> Result<(), BackendError> {
        let _none_stays = self.gpu.stays.clear();
        self.call(name, call)
    }

    /// Memory of the device.
    pub(super) fn alloc(self, bytes: usize) -> Result<Address, BackendError> {
        let mut start = 0;
        // SAFETY: it writes the address.
        self.call_alone("cuMemAlloc", |driver| unsafe {
            (driver.memory_alloc)(&mut start, bytes)
        })?;
        Ok(start)
    }

    /// Gives memory of the device back; waits for whatever uses it.
    pub(super) fn free(self, start: Address) -> Result<(), BackendError> {
        // SAFETY: the owner is dropped, and the driver waits for the device itself.
        self.call_alone("cuMemFree", |driver| unsafe { (driver.memory_free)(start) })
    }

    /// Pinned memory, and its address on the device.
    pub(super) fn alloc_host(self, bytes: usize) -> Result<(NonNull<u8>, Address), BackendError> {
        let mut start: *mut c_void = std::ptr::null_mut();
        self.call_alone("cuMemHostAlloc", |driver| {
            // SAFETY: it writes the address.
            unsafe { (driver.host_alloc)(&mut start, bytes, HOST_FLAGS) }
        })?;
        let mut device = 0;
        let mapped = self.call("cuMemHostGetDevicePointer", |driver| {
            // SAFETY: the memory was allocated for this above.
            unsafe { (driver.host_address)(&mut device, start, 0) }
        });
        match (mapped, NonNull::new(start.cast::<u8>())) {
            (Ok(()), Some(start)) => Ok((start, device)),
            (Ok(()), None) => Err(self.gpu.lose(String::from("cuMemHostAlloc gave no address"))),
            (Err(error), start) => {
                start.map(|start| self.free_host(start));
                Err(error)
            }
        }
    }

    /// Gives pinned memory back.
    pub(super) fn free_host(self, start: NonNull<u8>) -> Result<(), BackendError> {
        let start = start.as_ptr().cast();
        // SAFETY: allocated by `alloc_host`; the owner is dropped.
        self.call_alone("cuMemFreeHost", |driver| unsafe { (driver.host_free)(start) })
    }

    /// Copies bytes to the device, and waits for it.
    ///
    /// # Safety
    /// So much memory of the device lies at `to`.
    pub(super) unsafe fn upload(self, to: Address, from: &[u8]) -> Result<(), BackendError> {
        let bytes = from.len();
        // SAFETY: by the caller's promise; the bytes are there until the call returns.
        self.call("cuMemcpyHtoD", |driver| unsafe {
            (driver.copy_in)(to, from.as_ptr().cast(), bytes)
        })
    }

    /// Has the stream copy bytes to the device.
    ///
    /// # Safety
    /// So much memory lies at either address, that at `from` pinned, until the stream is past it.
    pub(super) unsafe fn copy_in(
        self,
        to: Address,
        from: *const u8,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), BackendError> {
        // SAFETY: by the caller's promise.
        self.call("cuMemcpyHtoDAsync", |driver| unsafe {
            (driver.copy_in_async)(to, from.cast(), bytes, stream)
        })
    }

    /// Has the stream copy bytes from the device.
    ///
    /// # Safety
    /// So much memory lies at either address, that at `to` pinned and nobody else's, until the
    /// stream is past it.
    pub(super) unsafe fn copy_out(
        self,
        to: *mut u8,
        from: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), BackendError> {
        // SAFETY: by the caller's promise.
        self.call("cuMemcpyDtoHAsync", |driver| unsafe {
            (driver.copy_out_async)(to.cast(), from, bytes, stream)
        })
    }

    /// Has the stream copy bytes from one place on the device to another.
    ///
    /// # Safety
    /// So much memory of the device lies at either address until the stream is past it.
    pub(super) unsafe fn copy_within(
        self,
        to: Address,
        from: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), BackendError> {
        // SAFETY: by the caller's promise.
        self.call("cuMemcpyDtoDAsync", |driver| unsafe {
            (driver.copy_within_async)(to, from, bytes, stream)
        })
    }

    /// A stream.
    pub(super) fn create_stream(self) -> Result<Handle, BackendError> {
        let mut stream = 0;
        self.call("cuStreamCreate", |driver| {
            // SAFETY: it writes the handle.
            unsafe { (driver.stream_create)(&mut stream, STREAM_FLAGS) }
        })?;
        Ok(stream)
    }

    /// Gives a stream back, which goes once its work is done.
    pub(super) fn destroy_stream(self, stream: Handle) -> Result<(), BackendError> {
        // SAFETY: the owner is dropped.
        self.call("cuStreamDestroy", |driver| unsafe { (driver.stream_destroy)(stream) })
    }

    /// An event, with or without a clock.
    pub(super) fn create_event(self, timed: bool) -> Result<Handle, BackendError> {
        let (mut event, flags) = (0, if timed { 0 } else { EVENT_UNTIMED });
        // SAFETY: it writes the handle.
        self.call("cuEventCreate", |driver| unsafe { (driver.event_create)(&mut event, flags) })?;
        Ok(event)
    }

    /// Gives an event back.
    pub(super) fn destroy_event(self, event: Handle) -> Result<(), BackendError> {
        // SAFETY: the owner is dropped.
        self.call("cuEventDestroy", |driver| unsafe { (driver.event_destroy)(event) })
    }

    /// Has the stream say when it comes to this place.
    pub(super) fn record(self, event: Handle, stream: Handle) -> Result<(), BackendError> {
        // SAFETY: both live as long as their owner, who calls.
        self.call("cuEventRecord", |driver| unsafe { (driver.event_record)(event, stream) })
    }

    /// Whether the stream has come to the place where the event was recorded.
    pub(super) fn has_happened(self, event: Handle) -> Result<bool, BackendError> {
        self.gpu.check()?;
        // SAFETY: the event lives as long as its owner, who calls.
        match unsafe { (self.gpu.driver.event_query)(event) } {
            SUCCESS => Ok(true),
            NOT_READY => Ok(false),
            code => Err(self.gpu.failed("cuEventQuery", code)),
        }
    }

    /// Milliseconds between two timed events that have happened.
    pub(super) fn elapsed_ms(self, start: Handle, end: Handle) -> Result<f32, BackendError> {
        let mut elapsed = 0.0;
        self.call("cuEventElapsedTime", |driver| {
            // SAFETY: both live as long as their owner, who calls.
            unsafe { (driver.event_elapsed)(&mut elapsed, start, end) }
        })?;
        Ok(elapsed)
    }

    /// Loads a module; what the driver's compiler says is part of the error.
    pub(super) fn load_module(self, image: &[u8]) -> Result<Handle, BackendError> {
        // PTX is a text that ends with a zero; past the end of a binary nothing is read.
        let image = [image, &[0]].concat();
        let mut log = vec![0_u8; JIT_LOG_BYTES];
        let mut options = JIT_LOG;
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(JIT_LOG_BYTES)];
        let mut module = 0;
        let loaded = self.call_alone("cuModuleLoadDataEx", |driver| {
            let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
            // SAFETY: two options and their values, of which one is the room at the other.
            unsafe { (driver.module_load)(&mut module, image.as_ptr().cast(), 2, options, values) }
        });
        log.pop();
        log.push(0);
        let said = CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        loaded.map(|()| module).map_err(|error| match error {
            BackendError::Device { device, message } if !said.is_empty() => {
                BackendError::Device { device, message: format!("{message}: {said}") }
            }
            error => error,
        })
    }

    /// Unloads a module.
    pub(super) fn unload_module(self, module: Handle) -> Result<(), BackendError> {
        // SAFETY: the owner is dropped, and with it all that launches its functions.
        self.call_alone("cuModuleUnload", |driver| unsafe { (driver.module_unload)(module) })
    }

    /// A function of a module, allowed all the shared memory that a block may ask for of
    /// `shared_max`; with how much of it a launch may ask for.
    pub(super) fn function(
        self,
        module: Handle,
        name: &CStr,
        shared_max: usize,
    ) -> Result<(Handle, usize), BackendError> {
        let mut function = 0;
        self.call_alone("cuModuleGetFunction", |driver| {
            // SAFETY: the module lives, the name ends with a zero.
            unsafe { (driver.module_function)(&mut function, module, name.as_ptr()) }
        })?;
        let mut own = 0;
        self.call_alone("cuFuncGetAttribute", |driver| {
            // SAFETY: the function's module lives.
            unsafe { (driver.function_attribute)(&mut own, STATIC_SHARED, function) }
        })?;
        let most = shared_max.saturating_sub(usize::try_from(own).unwrap_or(0));
        self.call_alone("cuFuncSetAttribute", |driver| {
            // SAFETY: as above; every loader of the module sets the same number.
            unsafe { (driver.function_set_attribute)(function, MAX_DYNAMIC_SHARED, most as i32) }
        })?;
        Ok((function, most))
    }

    /// How many blocks of a function run on a multiprocessor at once.
    pub(super) fn occupancy(
        self,
        function: Handle,
        threads: u32,
        shared: usize,
    ) -> Result<usize, BackendError> {
        let mut blocks = 0;
        self.call_alone("cuOccupancyMaxActiveBlocksPerMultiprocessor", |driver| {
            // SAFETY: the function's module lives.
            unsafe { (driver.function_occupancy)(&mut blocks, function, threads as i32, shared) }
        })?;
        Ok(usize::try_from(blocks).unwrap_or(0))
    }

    /// Has the stream run a function: `grid` blocks of `threads`, with `shared` bytes each.
    ///
    /// # Safety
    /// The arguments are what the function takes, and the memory that they name is there, and
    /// written by nobody else, until the stream is past it.
    pub(super) unsafe fn launch(
        self,
        function: Handle,
        [x, y]: [u32; 2],
        (threads, shared): (u32, u32),
        stream: Handle,
        arguments: &mut [*mut c_void],
    ) -> Result<(), BackendError> {
        let (arguments, none) = (arguments.as_mut_ptr(), std::ptr::null_mut());
        // SAFETY: by the caller's promise; the driver copies the arguments before it returns.
        self.call("cuLaunchKernel", |driver| unsafe {
            (driver.launch)(function, x, y, 1, threads, 1, 1, shared, stream, arguments, none)
        })
    }
}
