//! The operations that kernels of whole numbers are written in, beside those of [`Simd`].

#![allow(unsafe_code)]

use crate::backend::cpu::simd::Simd;

/// Outputs computed at once, whatever the width of a register.
pub(in crate::backend::cpu) const LANES: usize = 16;

/// The numbers of [`LANES`] outputs that follow one another.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct Outputs {
    /// What sums are multiplied by.
    pub(in crate::backend::cpu) scales: *const f32,
    /// What is added to them.
    pub(in crate::backend::cpu) bias: *const f32,
    /// The sums of all weights of each output.
    pub(in crate::backend::cpu) weight_sums: *const i32,
}

/// An instruction set that multiplies bytes, as vectors of [`LANES`] numbers. All methods are
/// `#[inline(always)]`.
pub(in crate::backend::cpu) trait Dot: Simd {
    /// Whole numbers of 32 bits, which wrap around; or four times as many bytes.
    type I: Copy;
    /// What the level's name does not tell of the processor, behind a plus; nothing for nothing.
    const BESIDE: &str;
    /// Sums of whole numbers that a kernel may keep, with registers left for its operands.
    const DOT_SUMS: usize;
    /// The most rows of a register tile: no more than it takes to multiply and add without a pause.
    const DOT_ROWS: usize;

    /// All lanes `x`.
    fn splat_i(self, x: i32) -> Self::I;
    /// `a + b`
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a * b`
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// In each lane `sum` and the four products of `x`'s bytes by the signed bytes of `w`.
    fn dot(self, sum: Self::I, x: Self::I, w: Self::I) -> Self::I;
    /// The numbers, rounded to the nearest f32.
    fn to_floats(self, x: Self::I) -> Self::V;

    /// The largest lane of `x`, which holds no NaN.
    fn largest(self, x: Self::V) -> f32;
    /// The least lane of `x`, which holds no NaN.
    fn least(self, x: Self::V) -> f32;
    /// In each lane the largest lane of the vector of that index, as [`largest`](Dot::largest).
    #[inline(always)]
    fn largest_of_each(self, x: &[Self::V; LANES]) -> Self::V {
        let mut lanes = [0.0; LANES];
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = self.largest(*x);
        }
        // SAFETY: the array holds one vector.
        unsafe { self.load(lanes.as_ptr()) }
    }
    /// The numbers, rounded to whole ones, ties to even. What becomes of NaN and of what is past
    /// an i32 is not defined.
    fn to_ints(self, x: Self::V) -> Self::I;
    /// Writes [`LANES`] whole numbers.
    ///
    /// # Safety
    /// They may be written.
    unsafe fn store_i(self, to: *mut i32, x: Self::I);
    /// Whether a lane of `a` or `b` is NaN.
    fn is_nan(self, a: Self::V, b: Self::V) -> bool;

    /// The whole numbers from `from` on.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn load_i(self, from: *const i32) -> Self::I;
    /// The `count` values from `from` on, at most [`LANES`], and zeros.
    ///
    /// # Safety
    /// So many may be read.
    unsafe fn load_some(self, from: *const f32, count: usize) -> Self::V;
    /// Writes `x`, rounded to whole numbers (ties to even), plus `zero`, as bytes; what is past 255
    /// is 255. What is written for NaN is not defined.
    ///
    /// # Safety
    /// [`LANES`] bytes may be written.
    unsafe fn store_bytes(self, to: *mut u8, x: Self::V, zero: Self::I);
}
