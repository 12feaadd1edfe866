//! An architecture without kernels of its own.

use super::kernels::Kernels;
use super::level::Level;

/// No level but the portable one.
pub(super) fn kernels(_level: Level) -> Option<Kernels> {
    None
}

/// The processor does not tell its name.
pub(super) fn brand() -> Option<String> {
    None
}
