//! MXCSR: how SSE and everything after it rounds, and what becomes of subnormal numbers.

#![allow(unsafe_code)]

use std::arch::asm;

/// What MXCSR holds.
pub(in crate::backend::cpu) type Control = u32;

/// All exceptions masked, rounding to the nearest: what a process starts with.
const DEFAULT: Control = 0x1f80;
/// Subnormal operands are 0. Every x86-64 processor has this bit.
const DENORMALS_ARE_ZERO: Control = 1 << 6;
/// Subnormal results are 0.
const FLUSH_TO_ZERO: Control = 1 << 15;

/// The kernels' mode.
pub(in crate::backend::cpu) const OF_KERNELS: Control =
    DEFAULT | DENORMALS_ARE_ZERO | FLUSH_TO_ZERO;

/// What callers may have set: nothing, rounding down or to 0, and flushing.
#[cfg(test)]
pub(in crate::backend::cpu) const CALLERS: [Control; 4] =
    [DEFAULT, DEFAULT | 1 << 13, DEFAULT | 3 << 13 | FLUSH_TO_ZERO, OF_KERNELS];

/// Reads MXCSR.
#[inline(always)]
pub(in crate::backend::cpu) fn get() -> Control {
    let mut control = 0;
    // SAFETY: every x86-64 processor has the instruction; it writes the four bytes.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags));
    }
    control
}

/// Writes MXCSR.
///
/// # Safety
/// No reserved bit is set; and the compiler's own arithmetic bears the mode, or is not run in it.
#[inline(always)]
pub(in crate::backend::cpu) unsafe fn set(control: Control) {
    // SAFETY: every x86-64 processor has the instruction; it reads the four bytes, and the caller
    // promises the rest. The compiler takes the block to read and write all memory, so that calls
    // stay on their side of it.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack)) }
}
