//! AVX2 with FMA and F16C, which every processor with both has: 16 registers of 8 lanes.

#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::fmt::Debug;
use std::marker::PhantomData;

use crate::backend::cpu::simd::{Kernel, Simd};

/// The proof that the processor has AVX2, FMA, F16C and `E`: only [`Beside::enter`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2<E>(PhantomData<E>);

/// What a processor has beside AVX2, to multiply bytes with.
pub(super) trait Beside: Copy + Debug {
    /// What the level's name does not tell, behind a plus.
    const NAME: &str;

    /// [`Simd::enter`] with these instructions.
    ///
    /// # Safety
    /// As there.
    unsafe fn enter<K: Kernel<Avx2<Self>>>(job: &K::Job);

    /// In each lane `sum` and the four products of `x`'s bytes by the signed bytes of `w`.
    fn four(proof: Avx2<Self>, sum: __m256i, x: __m256i, w: __m256i) -> __m256i;
}

/// Nothing more: what multiplies bytes in one instruction keeps sums of two products in 16 bits,
/// which they may not fit. They are widened to 16 bits instead, the even ones apart from the odd
/// ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

impl Beside for Nothing {
    const NAME: &str = "";

    unsafe fn enter<K: Kernel<Avx2<Nothing>>>(job: &K::Job) {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn inside<K: Kernel<Avx2<Nothing>>>(job: &K::Job) {
            // SAFETY: the caller promises what `job` needs; the attribute makes the proof true.
            unsafe { K::run(Avx2(PhantomData), job) }
        }
        // SAFETY: the caller promises that the processor has these, and what `job` needs.
        unsafe { inside::<K>(job) }
    }

    #[inline(always)]
    fn four(_proof: Avx2<Nothing>, sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: `_proof` proves AVX2.
        unsafe {
            let x_even = _mm256_and_si256(x, _mm256_set1_epi16(0xff));
            let w_even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
            let (x_odd, w_odd) = (_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(w));
            let even = _mm256_madd_epi16(x_even, w_even);
            let odd = _mm256_madd_epi16(x_odd, w_odd);
            _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
        }
    }
}

/// AVX-VNNI: four products of bytes in each lane, added in one instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct AvxVnni;

impl Beside for AvxVnni {
    const NAME: &str = "+avxvnni";

    unsafe fn enter<K: Kernel<Avx2<AvxVnni>>>(job: &K::Job) {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        unsafe fn inside<K: Kernel<Avx2<AvxVnni>>>(job: &K::Job) {
            // SAFETY: the caller promises what `job` needs; the attribute makes the proof true.
            unsafe { K::run(Avx2(PhantomData), job) }
        }
        // SAFETY: the caller promises that the processor has these, and what `job` needs.
        unsafe { inside::<K>(job) }
    }

    #[inline(always)]
    fn four(_proof: Avx2<AvxVnni>, sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: `_proof` proves AVX-VNNI.
        unsafe { _mm256_dpbusd_avx_epi32(sum, x, w) }
    }
}

impl<E: Beside> Simd for Avx2<E> {
    type V = __m256;
    const LANES: usize = 8;
    const SUMS: usize = 12;
    const ROWS: usize = 6;
    // A row or two have the registers for four panels, and read their weights in one stream then.
    const PANELS: usize = 4;
    const INPUTS: usize = 2;

    unsafe fn enter<K: Kernel<Self>>(job: &K::Job) {
        // SAFETY: the caller's promise, passed on.
        unsafe { E::enter::<K>(job) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn if_less(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }

    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), x) }
    }

    #[inline(always)]
    fn copy_sign(self, magnitude: __m256, sign: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe {
            let mask = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_and_ps(mask, sign), _mm256_andnot_ps(mask, magnitude))
        }
    }

    #[inline(always)]
    fn bits_to_exponent(self, x: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(x))) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA; the caller promises the memory.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        // SAFETY: `self` proves AVX2 and FMA; the caller promises the memory.
        unsafe { _mm256_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA; the caller promises the memory.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m256 {
        // SAFETY: `self` proves F16C; the caller promises the memory.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA; the caller promises the memory.
        unsafe {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low))
        }
    }
}
