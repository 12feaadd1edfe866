//! AArch64: NEON, which every such processor with an operating system has.

mod neon;

use super::dots::Dots;
use super::kernels::Kernels;
use super::level::Level;

/// The kernels of a level, where this processor has it.
pub(super) fn kernels(level: Level) -> Option<Kernels> {
    match level {
        Level::Neon if std::arch::is_aarch64_feature_detected!("neon") => {
            Some(Kernels::new::<neon::Neon>(Dots::plain()))
        }
        _ => None,
    }
}

/// The processor's own name: AArch64 has no instruction that tells it.
pub(super) fn brand() -> Option<String> {
    None
}
