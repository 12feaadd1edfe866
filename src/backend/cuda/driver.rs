//! The driver library: found at run time, its functions looked up one by one.
//!
//! `cudarc` finds and keeps the library. Its own functions panic where the library, or a symbol in
//! it, is missing, and hold the driver's answer in an enum that a newer driver may leave; so what
//! is called here is looked up before the first call, and answers are plain numbers.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::fmt;

use cudarc::driver::sys;

/// What every function of the driver answers; see [`verdict`](super::verdict).
pub(super) type Code = u32;
/// An object of the driver's: a context, a stream, an event, a module or a function.
pub(super) type Handle = usize;
/// An address in the device's memory.
pub(super) type Address = u64;

/// Why there is no driver to call.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoDriver {
    /// The library was not found.
    Library,
    /// The library has no such function: it is older than what is asked of it.
    Function(&'static str),
}

macro_rules! functions {
    ($($name:ident = $symbol:literal ($($argument:ty),*);)*) => {
        /// The functions of the driver that are called, and no others.
        #[derive(Clone, Copy)]
        pub(super) struct Driver {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> Code,)*
        }

        impl Driver {
            /// Finds the library and every function in it.
            pub(super) fn find() -> Result<Driver, NoDriver> {
                // SAFETY: it only tries to load libraries by name, and may be called at any time.
                if !unsafe { sys::is_culib_present() } {
                    return Err(NoDriver::Library);
                }
                // SAFETY: the library is there, so that this cannot panic; it is never unloaded.
                let library = unsafe { sys::culib() };
                $(
                    let symbol = concat!($symbol, "\0").as_bytes();
                    // SAFETY: the types are those of the driver's documented interface, whose
                    // symbols never change their meaning.
                    let found = unsafe {
                        library.get::<unsafe extern "C" fn($($argument),*) -> Code>(symbol)
                    };
                    let $name = *found.map_err(|_| NoDriver::Function($symbol))?;
                )*
                Ok(Driver { $($name,)* })
            }
        }
    };
}

functions! {
    init = "cuInit" (u32);
    driver_version = "cuDriverGetVersion" (*mut i32);
    device_count = "cuDeviceGetCount" (*mut i32);
    device_get = "cuDeviceGet" (*mut i32, i32);
    device_name = "cuDeviceGetName" (*mut c_char, i32, i32);
    device_memory = "cuDeviceTotalMem_v2" (*mut usize, i32);
    device_attribute = "cuDeviceGetAttribute" (*mut i32, u32, i32);
    context_retain = "cuDevicePrimaryCtxRetain" (*mut Handle, i32);
    context_release = "cuDevicePrimaryCtxRelease_v2" (i32);
    context_set_current = "cuCtxSetCurrent" (Handle);
    module_load = "cuModuleLoadDataEx" (
        *mut Handle, *const c_void, u32, *mut u32, *mut *mut c_void
    );
    module_unload = "cuModuleUnload" (Handle);
    module_function = "cuModuleGetFunction" (*mut Handle, Handle, *const c_char);
    function_attribute = "cuFuncGetAttribute" (*mut i32, u32, Handle);
    function_set_attribute = "cuFuncSetAttribute" (Handle, u32, i32);
    function_occupancy = "cuOccupancyMaxActiveBlocksPerMultiprocessor" (
        *mut i32, Handle, i32, usize
    );
    memory_alloc = "cuMemAlloc_v2" (*mut Address, usize);
    memory_free = "cuMemFree_v2" (Address);
    host_alloc = "cuMemHostAlloc" (*mut *mut c_void, usize, u32);
    host_address = "cuMemHostGetDevicePointer_v2" (*mut Address, *mut c_void, u32);
    host_free = "cuMemFreeHost" (*mut c_void);
    copy_in = "cuMemcpyHtoD_v2" (Address, *const c_void, usize);
    copy_in_async = "cuMemcpyHtoDAsync_v2" (Address, *const c_void, usize, Handle);
    copy_out_async = "cuMemcpyDtoHAsync_v2" (*mut c_void, Address, usize, Handle);
    copy_within_async = "cuMemcpyDtoDAsync_v2" (Address, Address, usize, Handle);
    stream_create = "cuStreamCreate" (*mut Handle, u32);
    stream_destroy = "cuStreamDestroy_v2" (Handle);
    event_create = "cuEventCreate" (*mut Handle, u32);
    event_destroy = "cuEventDestroy_v2" (Handle);
    event_record = "cuEventRecord" (Handle, Handle);
    event_query = "cuEventQuery" (Handle);
    event_elapsed = "cuEventElapsedTime" (*mut f32, Handle, Handle);
    launch = "cuLaunchKernel" (
        Handle, u32, u32, u32, u32, u32, u32, u32, Handle, *mut *mut c_void, *mut *mut c_void
    );
    error_name = "cuGetErrorName" (Code, *mut *const c_char);
    error_text = "cuGetErrorString" (Code, *mut *const c_char);
}

impl Driver {
    /// The driver's own words for an answer; no device is asked for them.
    pub(super) fn words(&self, code: Code) -> String {
        let text = |ask: unsafe extern "C" fn(Code, *mut *const c_char) -> Code| {
            let mut text = std::ptr::null();
            // SAFETY: it writes the address of a constant text, or leaves null.
            let known = unsafe { ask(code, &mut text) } == 0 && !text.is_null();
            // SAFETY: as above; the text ends with a zero.
            known.then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        match (text(self.error_name), text(self.error_text)) {
            (Some(name), Some(meaning)) => format!("{name} ({meaning})"),
            (Some(name), None) => name,
            _ => format!("error {code}"),
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}
