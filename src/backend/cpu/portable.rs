//! Any processor: lanes in plain Rust, which the compiler maps to what the target has.

#![allow(unsafe_code)]

use std::array::from_fn;

use super::simd::{Kernel, Simd};

/// `N` lanes; needs no proof, because plain Rust runs everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable<const N: usize>;

/// The lanes of the portable level.
pub(super) type FourLanes = Portable<4>;

impl<const N: usize> Simd for Portable<N> {
    type V = [f32; N];
    const LANES: usize = N;
    const SUMS: usize = 12;
    const ROWS: usize = 6;

    unsafe fn enter<K: Kernel<Self>>(job: &K::Job) {
        // SAFETY: the caller promises what `job` needs.
        unsafe { K::run(Portable, job) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }

    #[inline(always)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn div(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|lane| a[lane] / b[lane])
    }

    /// Rounds twice: `f32::mul_add` is a slow library call where there is no such instruction.
    #[inline(always)]
    fn fma(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn max(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn min(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn if_less(self, a: [f32; N], b: [f32; N], yes: [f32; N], no: [f32; N]) -> [f32; N] {
        from_fn(|lane| if a[lane] < b[lane] { yes[lane] } else { no[lane] })
    }

    #[inline(always)]
    fn abs(self, x: [f32; N]) -> [f32; N] {
        x.map(f32::abs)
    }

    #[inline(always)]
    fn copy_sign(self, magnitude: [f32; N], sign: [f32; N]) -> [f32; N] {
        from_fn(|lane| magnitude[lane].copysign(sign[lane]))
    }

    #[inline(always)]
    fn bits_to_exponent(self, x: [f32; N]) -> [f32; N] {
        x.map(|x| f32::from_bits(x.to_bits() << 23))
    }

    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; N] {
        // SAFETY: the caller promises `N` readable values; the read needs no alignment.
        unsafe { from.cast::<[f32; N]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: [f32; N]) {
        // SAFETY: the caller promises `N` writable values; the write needs no alignment.
        unsafe { to.cast::<[f32; N]>().write_unaligned(x) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> [f32; N] {
        // SAFETY: the caller promises `N` readable bytes.
        unsafe { from.cast::<[u8; N]>().read() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> [f32; N] {
        // SAFETY: the caller promises `N` readable values; the read needs no alignment.
        let bits = unsafe { from.cast::<[u16; N]>().read_unaligned() };
        bits.map(|bits| half::f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> [f32; N] {
        // SAFETY: the caller promises `N` readable values; the read needs no alignment.
        let bits = unsafe { from.cast::<[u16; N]>().read_unaligned() };
        bits.map(|bits| half::bf16::from_bits(bits).to_f32())
    }
}
