//! An architecture whose control register nothing is known of: it stays as it is.

#![allow(unsafe_code)]

/// Nothing.
pub(in crate::backend::cpu) type Control = ();

/// The kernels' mode is the caller's.
pub(in crate::backend::cpu) const OF_KERNELS: Control = ();

/// What callers may have set.
#[cfg(test)]
pub(in crate::backend::cpu) const CALLERS: [Control; 1] = [()];

/// Reads nothing.
#[inline(always)]
pub(in crate::backend::cpu) fn get() -> Control {}

/// Writes nothing.
///
/// # Safety
/// None is asked for.
#[inline(always)]
pub(in crate::backend::cpu) unsafe fn set(_control: Control) {}
