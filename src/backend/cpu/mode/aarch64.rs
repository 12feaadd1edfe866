//! FPCR: how AArch64 rounds, and what becomes of subnormal numbers.

#![allow(unsafe_code)]

use std::arch::asm;

/// What FPCR holds.
pub(in crate::backend::cpu) type Control = u64;

/// No exception traps, rounding to the nearest: what a process starts with.
const DEFAULT: Control = 0;
/// Subnormal operands and results of f32 are 0; conversions from f16 keep theirs.
const FLUSH_TO_ZERO: Control = 1 << 24;

/// The kernels' mode.
pub(in crate::backend::cpu) const OF_KERNELS: Control = DEFAULT | FLUSH_TO_ZERO;

/// What callers may have set: nothing, rounding down or to 0, and flushing.
#[cfg(test)]
pub(in crate::backend::cpu) const CALLERS: [Control; 4] =
    [DEFAULT, 2 << 22, 3 << 22 | FLUSH_TO_ZERO, OF_KERNELS];

/// Reads FPCR.
#[inline(always)]
pub(in crate::backend::cpu) fn get() -> Control {
    let control;
    // SAFETY: every AArch64 processor has the register; reading it changes nothing.
    unsafe { asm!("mrs {}, fpcr", out(reg) control, options(nostack, preserves_flags)) };
    control
}

/// Writes FPCR.
///
/// # Safety
/// No reserved bit is set; and the compiler's own arithmetic bears the mode, or is not run in it.
#[inline(always)]
pub(in crate::backend::cpu) unsafe fn set(control: Control) {
    // SAFETY: every AArch64 processor has the register, and the caller promises the rest. The
    // compiler takes the block to read and write all memory, so that calls stay on their side.
    unsafe { asm!("msr fpcr, {}", in(reg) control, options(nostack)) }
}
