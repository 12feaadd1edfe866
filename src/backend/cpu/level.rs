//! Instruction sets, fastest first.

/// An instruction set that kernels exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// x86-64 with AVX-512F: 16 lanes.
    Avx512,
    /// x86-64 with AVX2 and FMA: 8 lanes.
    Avx2,
    /// AArch64 with NEON: 4 lanes.
    Neon,
    /// Any processor: 4 lanes in plain Rust.
    Portable,
}

impl Level {
    /// Every level, fastest first.
    pub const ALL: [Level; 4] = [Level::Avx512, Level::Avx2, Level::Neon, Level::Portable];

    /// The level's name. [`DeviceInfo::detail`](crate::backend::DeviceInfo) begins with it, and
    /// goes on with what the processor has beside it: `+vnni`, which multiplies bytes, and `+bf16`,
    /// which multiplies pairs of bf16; `+avxvnni` is `+vnni` without AVX-512,
    /// and `+amx-int8` and `+amx-bf16` multiply blocks of either.
    pub fn name(self) -> &'static str {
        match self {
            Level::Avx512 => "avx512f",
            Level::Avx2 => "avx2+fma",
            Level::Neon => "neon",
            Level::Portable => "portable",
        }
    }
}
