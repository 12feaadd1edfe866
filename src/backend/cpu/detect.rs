//! What this processor is and has.

use super::dots::Dots;
use super::kernels::Kernels;
use super::level::Level;
use super::portable::FourLanes;

#[cfg(target_arch = "aarch64")]
use super::aarch64 as arch;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use super::other as arch;
#[cfg(target_arch = "x86_64")]
use super::x86_64 as arch;

/// The kernels of a level, where this processor can run them.
pub(super) fn kernels(level: Level) -> Option<Kernels> {
    match level {
        Level::Portable => Some(Kernels::new::<FourLanes>(Dots::plain())),
        _ => arch::kernels(level),
    }
}

/// The processor's name, or its architecture where it does not tell.
pub(super) fn processor_name() -> String {
    arch::brand().unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
