//! Any processor: four lanes in plain Rust, which the compiler maps to what the target has.

#![allow(unsafe_code)]

use std::array::from_fn;

use super::simd::{Kernel, Simd};

/// Needs no proof: plain Rust runs everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

type Four = [f32; 4];

impl Simd for Portable {
    type V = Four;
    const LANES: usize = 4;
    const SUMS: usize = 12;
    const ROWS: usize = 6;

    unsafe fn enter<K: Kernel<Self>>(job: &K::Job) {
        // SAFETY: the caller promises what `job` needs.
        unsafe { K::run(Portable, job) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Four {
        [x; 4]
    }

    #[inline(always)]
    fn add(self, a: Four, b: Four) -> Four {
        from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: Four, b: Four) -> Four {
        from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul(self, a: Four, b: Four) -> Four {
        from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn div(self, a: Four, b: Four) -> Four {
        from_fn(|lane| a[lane] / b[lane])
    }

    /// Rounds twice: `f32::mul_add` is a slow library call where there is no such instruction.
    #[inline(always)]
    fn fma(self, a: Four, b: Four, c: Four) -> Four {
        from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn max(self, a: Four, b: Four) -> Four {
        from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn min(self, a: Four, b: Four) -> Four {
        from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn if_less(self, a: Four, b: Four, yes: Four, no: Four) -> Four {
        from_fn(|lane| if a[lane] < b[lane] { yes[lane] } else { no[lane] })
    }

    #[inline(always)]
    fn abs(self, x: Four) -> Four {
        x.map(f32::abs)
    }

    #[inline(always)]
    fn copy_sign(self, magnitude: Four, sign: Four) -> Four {
        from_fn(|lane| magnitude[lane].copysign(sign[lane]))
    }

    #[inline(always)]
    fn bits_to_exponent(self, x: Four) -> Four {
        x.map(|x| f32::from_bits(x.to_bits() << 23))
    }

    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Four {
        // SAFETY: the caller promises four readable values; the read needs no alignment.
        unsafe { from.cast::<Four>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: Four) {
        // SAFETY: the caller promises four writable values; the write needs no alignment.
        unsafe { to.cast::<Four>().write_unaligned(x) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> Four {
        // SAFETY: the caller promises four readable bytes.
        unsafe { from.cast::<[u8; 4]>().read() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> Four {
        // SAFETY: the caller promises four readable values; the read needs no alignment.
        let bits = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        bits.map(|bits| half::f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> Four {
        // SAFETY: the caller promises four readable values; the read needs no alignment.
        let bits = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        bits.map(|bits| half::bf16::from_bits(bits).to_f32())
    }
}
