//! AVX-512: 32 registers of 16 lanes, and what some processors have beside it.

#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::mem::transmute;

use crate::backend::cpu::pairs::PairDot;
use crate::backend::cpu::simd::{Kernel, Simd};

/// The proof that the processor has AVX-512F and `E`: only [`Extension::enter`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512<E>(PhantomData<E>);

/// What a processor has beside AVX-512F.
pub(super) trait Extension: Copy + Debug {
    /// [`Simd::enter`] with these instructions.
    ///
    /// # Safety
    /// As there.
    unsafe fn enter<K: Kernel<Avx512<Self>>>(job: &K::Job);
}

/// Nothing more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alone;

impl Extension for Alone {
    unsafe fn enter<K: Kernel<Avx512<Alone>>>(job: &K::Job) {
        #[target_feature(enable = "avx512f")]
        unsafe fn inside<K: Kernel<Avx512<Alone>>>(job: &K::Job) {
            // SAFETY: the caller promises what `job` needs; the attribute makes the proof true.
            unsafe { K::run(Avx512::proven(), job) }
        }
        // SAFETY: the caller promises that the processor has these, and what `job` needs.
        unsafe { inside::<K>(job) }
    }
}

/// AVX512-BF16: products of bf16, two of them added in one instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bf16;

impl Extension for Bf16 {
    unsafe fn enter<K: Kernel<Avx512<Bf16>>>(job: &K::Job) {
        #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
        unsafe fn inside<K: Kernel<Avx512<Bf16>>>(job: &K::Job) {
            // SAFETY: the caller promises what `job` needs; the attribute makes the proof true.
            unsafe { K::run(Avx512::proven(), job) }
        }
        // SAFETY: the caller promises that the processor has these, and what `job` needs.
        unsafe { inside::<K>(job) }
    }
}

impl<E> Avx512<E> {
    /// For [`Extension::enter`] alone, where the instructions are enabled.
    ///
    /// # Safety
    /// The processor has AVX-512F and `E`.
    #[inline(always)]
    pub(super) unsafe fn proven() -> Avx512<E> {
        Avx512(PhantomData)
    }
}

impl<E: Extension> Simd for Avx512<E> {
    type V = __m512;
    const LANES: usize = 16;
    const SUMS: usize = 24;
    const ROWS: usize = 12;

    unsafe fn enter<K: Kernel<Self>>(job: &K::Job) {
        // SAFETY: the caller's promise, passed on.
        unsafe { E::enter::<K>(job) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn if_less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes) }
    }

    #[inline(always)]
    fn abs(self, x: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_abs_ps(x) }
    }

    #[inline(always)]
    fn copy_sign(self, magnitude: __m512, sign: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe {
            // Bit by bit: where the mask is set take `sign`, else `magnitude`.
            let mask = _mm512_set1_epi32(i32::MIN);
            let (sign, magnitude) = (_mm512_castps_si512(sign), _mm512_castps_si512(magnitude));
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xCA>(mask, sign, magnitude))
        }
    }

    #[inline(always)]
    fn bits_to_exponent(self, x: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(x))) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F; the caller promises the memory.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m512) {
        // SAFETY: `self` proves AVX-512F; the caller promises the memory.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512 {
        // SAFETY: `self` proves AVX-512F; the caller promises the memory.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m512 {
        // SAFETY: `self` proves AVX-512F; the caller promises the memory.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m512 {
        // SAFETY: `self` proves AVX-512F; the caller promises the memory.
        unsafe {
            let low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(low))
        }
    }
}

impl PairDot for Avx512<Bf16> {
    #[inline(always)]
    fn dot(self, sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX512-BF16; a vector of pairs has the bits of one of f32.
        unsafe { _mm512_dpbf16_ps(sum, pairs(a), pairs(b)) }
    }

    #[inline(always)]
    fn round(self, low: __m512, high: __m512) -> __m512 {
        // SAFETY: `self` proves AVX512-BF16; the types are of one size, and any bits are sound.
        unsafe { transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low)) }
    }
}

/// The same bits as pairs of bf16.
#[inline(always)]
fn pairs(x: __m512) -> __m512bh {
    // SAFETY: the types are of one size, and any bits are sound.
    unsafe { transmute::<__m512, __m512bh>(x) }
}
