//! The processor's control register of float arithmetic: set for the kernels, restored after them.
//!
//! In this mode a subnormal number, one nearer to 0 than 2^-126, counts as 0 where a kernel reads
//! it, and becomes 0 where a kernel would make it. Processors compute with such numbers a hundred
//! times slower, so that one row of them would delay every row behind it. Results are rounded to
//! the nearest, and no exception traps.
//!
//! So the caller's own register, which another library may have changed, has no part in a score. It
//! is the same after the call as before.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod other;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::marker::PhantomData;

#[cfg(target_arch = "aarch64")]
use self::aarch64 as arch;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use self::other as arch;
#[cfg(target_arch = "x86_64")]
use self::x86_64 as arch;

#[cfg(test)]
pub(super) use arch::{CALLERS, Control, get, set};

/// The kernels' mode on this thread, until this is dropped; also where a panic drops it.
#[derive(Debug)]
pub(super) struct KernelMode {
    callers: arch::Control,
    _of_this_thread: PhantomData<*const ()>,
}

impl KernelMode {
    /// Sets the kernels' mode and keeps the caller's.
    #[inline(always)]
    pub(super) fn enter() -> KernelMode {
        let callers = arch::get();
        // SAFETY: the compiler takes the register for the default one, of which this mode differs
        // in subnormal numbers alone. What is computed until the drop is called through functions
        // that are not inlined, mostly through pointers, so that the compiler moves none of it
        // across this, and none of the caller's arithmetic between. A float that comes out as 0
        // is one that the kernels may make, and no access to memory depends on a float.
        unsafe { arch::set(arch::OF_KERNELS) };
        KernelMode { callers, _of_this_thread: PhantomData }
    }
}

impl Drop for KernelMode {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this is what the caller's register held, and the kernels have returned.
        unsafe { arch::set(self.callers) };
    }
}
