//! What a measurement was taken on.

use serde::Serialize;

use crate::backend::cpu;

/// The machine and the build, as reports name them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// The SIMD level its kernels use.
    pub simd: String,
    /// Cores this process may use.
    pub cores: usize,
    /// The operating system.
    pub os: &'static str,
    /// The processor's architecture.
    pub arch: &'static str,
    /// The version of this crate.
    pub version: &'static str,
    /// The commit it was built from, with a `+` where sources differed: of release builds of a
    /// checkout, or what `FUSEWIRE_COMMIT` said during the build.
    pub commit: Option<&'static str>,
    /// Whether the build checks itself and is slow for it; its figures are not worth quoting.
    pub debug_build: bool,
}

impl Machine {
    /// This machine and this build.
    pub fn here() -> Machine {
        let processor = cpu::open();
        Machine {
            cpu: processor.info().name.clone(),
            simd: processor.info().detail.clone(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("FUSEWIRE_COMMIT").filter(|commit| !commit.is_empty()),
            debug_build: cfg!(debug_assertions),
        }
    }
}
