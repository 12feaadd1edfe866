//! AVX-512 with VNNI: four products of bytes in each of 16 lanes, added in one instruction.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::avx512::{Avx512, Extension};
use crate::backend::cpu::dots::{Dot, LANES};
use crate::backend::cpu::simd::Kernel;

/// AVX-512 VNNI: products of bytes, four of them added in one instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vnni;

impl Extension for Vnni {
    unsafe fn enter<K: Kernel<Avx512<Vnni>>>(job: &K::Job) {
        #[target_feature(enable = "avx512f,avx512vnni")]
        unsafe fn inside<K: Kernel<Avx512<Vnni>>>(job: &K::Job) {
            // SAFETY: the caller promises what `job` needs; the attribute makes the proof true.
            unsafe { K::run(Avx512::proven(), job) }
        }
        // SAFETY: the caller promises that the processor has these, and what `job` needs.
        unsafe { inside::<K>(job) }
    }
}

impl Dot for Avx512<Vnni> {
    type I = __m512i;
    const BESIDE: &str = "+vnni";
    const DOT_SUMS: usize = 16;
    const DOT_ROWS: usize = 8;

    #[inline(always)]
    fn splat_i(self, x: i32) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_epi32(x) }
    }

    #[inline(always)]
    fn add_i(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub_i(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn mul_i(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 VNNI.
        unsafe { _mm512_dpbusd_epi32(sum, x, w) }
    }

    #[inline(always)]
    fn to_floats(self, x: __m512i) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_cvtepi32_ps(x) }
    }

    #[inline(always)]
    fn largest(self, x: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_reduce_max_ps(x) }
    }

    #[inline(always)]
    fn least(self, x: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_reduce_min_ps(x) }
    }

    /// Halves the number of vectors and the lanes that each of them takes, four times.
    #[inline(always)]
    fn largest_of_each(self, x: &[__m512; LANES]) -> __m512 {
        let mut quads = [x[0]; 4];
        for (quad, x) in quads.iter_mut().zip(x.as_chunks::<4>().0) {
            // SAFETY: `self` proves AVX-512F.
            *quad = unsafe {
                let pair = |a, b| (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let ((a, b), (c, d)) = (pair(x[0], x[1]), pair(x[2], x[3]));
                let both = [_mm512_max_ps(a, b), _mm512_max_ps(c, d)];
                let [first, second] = both.map(|x| _mm512_castps_pd(x));
                let low = _mm512_castpd_ps(_mm512_unpacklo_pd(first, second));
                let high = _mm512_castpd_ps(_mm512_unpackhi_pd(first, second));
                _mm512_max_ps(low, high)
            };
        }
        let [a, b, c, d] = quads;
        // SAFETY: `self` proves AVX-512F.
        unsafe {
            // A quarter of a vector holds four of the sixteen; every vector has four such quarters.
            let pair = |a, b| {
                let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
                _mm512_max_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b))
            };
            let (first, second) = (pair(a, b), pair(c, d));
            let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(first, second);
            _mm512_max_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(first, second))
        }
    }

    #[inline(always)]
    fn to_ints(self, x: __m512) -> __m512i {
        // SAFETY: `self` proves AVX-512F, and kernels run in their own rounding mode.
        unsafe { _mm512_cvtps_epi32(x) }
    }

    #[inline(always)]
    unsafe fn store_i(self, to: *mut i32, x: __m512i) {
        // SAFETY: `self` proves AVX-512F; the caller promises the memory.
        unsafe { _mm512_storeu_si512(to.cast(), x) }
    }

    #[inline(always)]
    fn is_nan(self, a: __m512, b: __m512) -> bool {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b) != 0 }
    }

    #[inline(always)]
    unsafe fn load_i(self, from: *const i32) -> __m512i {
        // SAFETY: `self` proves AVX-512F; the caller promises the memory.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_some(self, from: *const f32, count: usize) -> __m512 {
        debug_assert!(count <= LANES);
        // SAFETY: `self` proves AVX-512F; the caller promises `count` values, and lanes left out by
        // the mask are not read.
        unsafe { _mm512_maskz_loadu_ps(((1_u32 << count) - 1) as __mmask16, from) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, x: __m512, zero: __m512i) {
        // SAFETY: `self` proves AVX-512F, and kernels run in their own rounding mode; the caller
        // promises the memory. A number below 0 would be packed as 255; `Measure` never makes one.
        unsafe {
            let steps = _mm512_add_epi32(self.to_ints(x), zero);
            _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(steps));
        }
    }
}
