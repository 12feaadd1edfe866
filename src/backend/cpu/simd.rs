//! The vector operations that kernels are written in; one thin implementation per instruction set.
//!
//! Every algorithm of this backend is written once over [`Simd`]. A value of an implementing type
//! is the proof that the processor has the instructions, so arithmetic is safe and only memory
//! access is not. [`Simd::enter`] is the one place where code starts to be compiled for them.

#![allow(unsafe_code)]

use std::fmt::Debug;

/// A kernel: an algorithm over any instruction set, or over those that have what it needs.
pub(super) trait Kernel<S: Simd> {
    /// What one call works on.
    type Job: ?Sized;

    /// Runs the kernel; implementations are `#[inline(always)]`, as is all they call, because only
    /// code inlined into [`Simd::enter`] is compiled for the instruction set.
    ///
    /// # Safety
    /// Every pointer in `job` is valid for what the kernel documents to read and write.
    unsafe fn run(simd: S, job: &Self::Job);
}

/// One instruction set, as vectors of f32. All methods are `#[inline(always)]`.
pub(super) trait Simd: Copy + Debug {
    /// `LANES` values of f32 in a register.
    type V: Copy;
    /// Values in a vector.
    const LANES: usize;
    /// Vectors that a kernel may keep as sums, with registers left for its operands.
    const SUMS: usize;
    /// The most rows of a register tile.
    const ROWS: usize;
    /// The most panels of a register tile, 2 or 4; the weights of so many lie side by side.
    const PANELS: usize = 2;
    /// Inputs that a register tile takes before it looks whether there are more.
    const INPUTS: usize = 1;

    /// Runs a kernel, compiled for this instruction set.
    ///
    /// # Safety
    /// The processor has the instructions; and what [`Kernel::run`] asks for.
    unsafe fn enter<K: Kernel<Self>>(job: &K::Job);

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the instruction set can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`: a NaN in `b` stays.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a < b { a } else { b }`: a NaN in `b` stays.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a < b { yes } else { no }`
    fn if_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `|x|`
    fn abs(self, x: Self::V) -> Self::V;
    /// `|magnitude|` with the sign of `sign`.
    fn copy_sign(self, magnitude: Self::V, sign: Self::V) -> Self::V;
    /// The bits of each lane moved up by 23, to where the exponent of an f32 lies.
    fn bits_to_exponent(self, x: Self::V) -> Self::V;

    /// Asks for the cache line of `at` to be brought near, where there is such an instruction; any
    /// address will do.
    fn prefetch(self, at: *const u8);

    /// The `LANES` values from `from` on.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Writes `LANES` values from `to` on.
    ///
    /// # Safety
    /// They may be written.
    unsafe fn store(self, to: *mut f32, x: Self::V);
    /// The `LANES` bytes from `from` on, as numbers.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn load_bytes(self, from: *const u8) -> Self::V;
    /// The `LANES` values of f16 from `from` on; exact.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn load_f16(self, from: *const u16) -> Self::V;
    /// The `LANES` values of bf16 from `from` on; exact.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn load_bf16(self, from: *const u16) -> Self::V;
}
