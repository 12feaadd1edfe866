//! Any processor: plain Rust, one lane after the other as far as the compiler does not know better.

#![allow(unsafe_code)]

use std::array::from_fn;

use super::dot::{Dot, LANES};
use crate::backend::cpu::portable::Portable;

type Numbers = [i32; LANES];
type Floats = [f32; LANES];

impl Dot for Portable<LANES> {
    type I = Numbers;
    const BESIDE: &str = "";
    const DOT_SUMS: usize = 4;
    const DOT_ROWS: usize = 2;

    #[inline(always)]
    fn splat_i(self, x: i32) -> Numbers {
        [x; LANES]
    }

    #[inline(always)]
    fn add_i(self, a: Numbers, b: Numbers) -> Numbers {
        from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn sub_i(self, a: Numbers, b: Numbers) -> Numbers {
        from_fn(|lane| a[lane].wrapping_sub(b[lane]))
    }

    #[inline(always)]
    fn mul_i(self, a: Numbers, b: Numbers) -> Numbers {
        from_fn(|lane| a[lane].wrapping_mul(b[lane]))
    }

    #[inline(always)]
    fn dot(self, sum: Numbers, x: Numbers, w: Numbers) -> Numbers {
        // Shifts rather than bytes, which the compiler takes apart lane by lane.
        let byte = |x: i32, at: u32| x >> (8 * at) & 0xff;
        let signed = |w: i32, at: u32| w << (24 - 8 * at) >> 24;
        let mut sum = sum;
        for at in 0..4 {
            for lane in 0..LANES {
                sum[lane] = sum[lane].wrapping_add(byte(x[lane], at) * signed(w[lane], at));
            }
        }
        sum
    }

    #[inline(always)]
    fn to_floats(self, x: Numbers) -> Floats {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    fn largest(self, x: Floats) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn least(self, x: Floats) -> f32 {
        x.into_iter().fold(f32::INFINITY, f32::min)
    }

    #[inline(always)]
    fn to_ints(self, x: Floats) -> Numbers {
        x.map(|x| x.round_ties_even() as i32)
    }

    #[inline(always)]
    unsafe fn store_i(self, to: *mut i32, x: Numbers) {
        // SAFETY: the caller promises writable values; the write needs no alignment.
        unsafe { to.cast::<Numbers>().write_unaligned(x) }
    }

    #[inline(always)]
    fn is_nan(self, a: Floats, b: Floats) -> bool {
        a.into_iter().chain(b).any(f32::is_nan)
    }

    #[inline(always)]
    unsafe fn load_i(self, from: *const i32) -> Numbers {
        // SAFETY: the caller promises readable values; the read needs no alignment.
        unsafe { from.cast::<Numbers>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_some(self, from: *const f32, count: usize) -> Floats {
        // SAFETY: the caller promises `count` readable values.
        from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, x: Floats, zero: Numbers) {
        let steps = self.add_i(self.to_ints(x), zero);
        let byte = |lane: usize| steps[lane].clamp(0, 255) as u8;
        // SAFETY: the caller promises as many writable bytes.
        unsafe { to.cast::<[u8; LANES]>().write(from_fn(byte)) }
    }
}
