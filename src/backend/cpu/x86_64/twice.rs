//! AVX2 two registers at a time: the 16 outputs that kernels of whole numbers compute at once.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::avx2::{Avx2, Beside};
use crate::backend::cpu::dots::{Dot, LANES};
use crate::backend::cpu::simd::{Kernel, Simd};

/// Two vectors for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Twice<S>(S);

/// A kernel of two vectors, for an instruction set to enter.
struct Within<K>(K);

impl<S: Simd, K: Kernel<Twice<S>>> Kernel<S> for Within<K> {
    type Job = K::Job;

    #[inline(always)]
    unsafe fn run(simd: S, job: &K::Job) {
        // SAFETY: the caller's promise, passed on.
        unsafe { K::run(Twice(simd), job) }
    }
}

impl<S: Simd> Simd for Twice<S> {
    type V = [S::V; 2];
    const LANES: usize = 2 * S::LANES;
    const SUMS: usize = S::SUMS / 2;
    const ROWS: usize = S::ROWS / 2;

    unsafe fn enter<K: Kernel<Self>>(job: &K::Job) {
        // SAFETY: the caller's promise, passed on.
        unsafe { S::enter::<Within<K>>(job) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [self.0.splat(x); 2]
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.add(a[0], b[0]), self.0.add(a[1], b[1])]
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.sub(a[0], b[0]), self.0.sub(a[1], b[1])]
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.mul(a[0], b[0]), self.0.mul(a[1], b[1])]
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.div(a[0], b[0]), self.0.div(a[1], b[1])]
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        [self.0.fma(a[0], b[0], c[0]), self.0.fma(a[1], b[1], c[1])]
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.max(a[0], b[0]), self.0.max(a[1], b[1])]
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.min(a[0], b[0]), self.0.min(a[1], b[1])]
    }

    #[inline(always)]
    fn if_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        [self.0.if_less(a[0], b[0], yes[0], no[0]), self.0.if_less(a[1], b[1], yes[1], no[1])]
    }

    #[inline(always)]
    fn abs(self, x: Self::V) -> Self::V {
        x.map(|x| self.0.abs(x))
    }

    #[inline(always)]
    fn copy_sign(self, magnitude: Self::V, sign: Self::V) -> Self::V {
        [self.0.copy_sign(magnitude[0], sign[0]), self.0.copy_sign(magnitude[1], sign[1])]
    }

    #[inline(always)]
    fn bits_to_exponent(self, x: Self::V) -> Self::V {
        x.map(|x| self.0.bits_to_exponent(x))
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        self.0.prefetch(at);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller promises both vectors.
        unsafe { [self.0.load(from), self.0.load(from.add(S::LANES))] }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: Self::V) {
        // SAFETY: the caller promises both vectors.
        unsafe {
            self.0.store(to, x[0]);
            self.0.store(to.add(S::LANES), x[1]);
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> Self::V {
        // SAFETY: the caller promises both vectors.
        unsafe { [self.0.load_bytes(from), self.0.load_bytes(from.add(S::LANES))] }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> Self::V {
        // SAFETY: the caller promises both vectors.
        unsafe { [self.0.load_f16(from), self.0.load_f16(from.add(S::LANES))] }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> Self::V {
        // SAFETY: the caller promises both vectors.
        unsafe { [self.0.load_bf16(from), self.0.load_bf16(from.add(S::LANES))] }
    }
}

impl<E: Beside> Dot for Twice<Avx2<E>> {
    type I = [__m256i; 2];
    const BESIDE: &str = E::NAME;
    const DOT_SUMS: usize = 4;
    const DOT_ROWS: usize = 2;

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        // SAFETY: `self` proves AVX2.
        [unsafe { _mm256_set1_epi32(x) }; 2]
    }

    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])] }
    }

    #[inline(always)]
    fn dot(self, sum: Self::I, x: Self::I, w: Self::I) -> Self::I {
        [E::four(self.0, sum[0], x[0], w[0]), E::four(self.0, sum[1], x[1], w[1])]
    }

    #[inline(always)]
    fn to_floats(self, x: Self::I) -> Self::V {
        // SAFETY: `self` proves AVX2.
        x.map(|x| unsafe { _mm256_cvtepi32_ps(x) })
    }

    #[inline(always)]
    fn largest(self, x: Self::V) -> f32 {
        self.fold(x, Simd::max)
    }

    #[inline(always)]
    fn least(self, x: Self::V) -> f32 {
        self.fold(x, Simd::min)
    }

    #[inline(always)]
    fn to_ints(self, x: Self::V) -> Self::I {
        // SAFETY: `self` proves AVX2, and kernels run in their own rounding mode.
        unsafe { [_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1])] }
    }

    #[inline(always)]
    unsafe fn store_i(self, to: *mut i32, x: Self::I) {
        // SAFETY: `self` proves AVX2; the caller promises the memory.
        unsafe {
            _mm256_storeu_si256(to.cast(), x[0]);
            _mm256_storeu_si256(to.add(LANES / 2).cast(), x[1]);
        }
    }

    #[inline(always)]
    fn is_nan(self, a: Self::V, b: Self::V) -> bool {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let any = |a, b| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b)) != 0;
            any(a[0], b[0]) | any(a[1], b[1])
        }
    }

    #[inline(always)]
    unsafe fn load_i(self, from: *const i32) -> Self::I {
        // SAFETY: `self` proves AVX2; the caller promises the memory.
        unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(LANES / 2).cast())] }
    }

    #[inline(always)]
    unsafe fn load_some(self, from: *const f32, count: usize) -> Self::V {
        let mut values = [0.0; LANES];
        // SAFETY: the caller promises `count` values, at most 16.
        unsafe {
            values.as_mut_ptr().copy_from_nonoverlapping(from, count);
            self.load(values.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, x: Self::V, zero: Self::I) {
        let [low, high] = self.add_i(self.to_ints(x), zero);
        // SAFETY: `self` proves AVX2; the caller promises the memory. Packing to 16 bits with a
        // sign and to 8 without keeps what is from 0 to 255.
        unsafe {
            let words = _mm256_packs_epi32(low, high);
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.cast(), _mm_packus_epi16(low, high));
        }
    }
}

impl<E: Beside> Twice<Avx2<E>> {
    /// All lanes brought down to one, half by half.
    #[inline(always)]
    fn fold(self, x: [__m256; 2], pair: impl Fn(Avx2<E>, __m256, __m256) -> __m256) -> f32 {
        let x = pair(self.0, x[0], x[1]);
        // SAFETY: `self` proves AVX2.
        unsafe {
            let x = pair(self.0, x, _mm256_permute2f128_ps::<1>(x, x));
            let x = pair(self.0, x, _mm256_permute_ps::<0b01_00_11_10>(x));
            let x = pair(self.0, x, _mm256_permute_ps::<0b10_11_00_01>(x));
            _mm256_cvtss_f32(x)
        }
    }
}
