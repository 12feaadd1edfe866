//! The kernel, in the two instruction sets.

use std::arch::x86_64::*;

use super::{Kernel, Layer, Line, Rows, WIDE, WIDTHS, ZEROS};

pub fn find() -> Option<Kernel> {
    if is_x86_feature_detected!("avx512f") {
        return Some(Kernel { name: "AVX-512", rows: 12, run: run_avx512 });
    }
    let is_there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    is_there.then_some(Kernel { name: "AVX2", rows: 6, run: run_avx2 })
}

fn run_avx512(layers: &[Layer], rows: Rows<'_>, scores: &mut [f32]) {
    let run = match rows.here.len() / WIDTHS[0] {
        1 => avx512::<1, 4>,
        2 => avx512::<2, 4>,
        3 => avx512::<3, 2>,
        4 => avx512::<4, 2>,
        5 => avx512::<5, 2>,
        6 => avx512::<6, 2>,
        7 => avx512::<7, 1>,
        8 => avx512::<8, 1>,
        9 => avx512::<9, 1>,
        10 => avx512::<10, 1>,
        11 => avx512::<11, 1>,
        _ => avx512::<12, 1>,
    };
    // SAFETY: found where the processor has AVX-512.
    unsafe { run(layers, rows, scores) }
}

fn run_avx2(layers: &[Layer], rows: Rows<'_>, scores: &mut [f32]) {
    let run = match rows.here.len() / WIDTHS[0] {
        1 => avx2::<1, 4, 2>,
        2 => avx2::<2, 4, 1>,
        3 => avx2::<3, 2, 2>,
        4 => avx2::<4, 2, 1>,
        5 => avx2::<5, 2, 1>,
        _ => avx2::<6, 2, 1>,
    };
    // SAFETY: found where the processor has AVX2 and FMA.
    unsafe { run(layers, rows, scores) }
}

/// # Safety
/// The processor has AVX-512; the rest as [`tile`].
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const R: usize, const C: usize>(
    layers: &[Layer],
    rows: Rows<'_>,
    scores: &mut [f32],
) {
    // SAFETY: the caller's promise, passed on.
    unsafe { tile::<__m512, R, 2, C, 1>(layers, rows, scores) }
}

/// # Safety
/// The processor has AVX2 and FMA; the rest as [`tile`].
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const R: usize, const P: usize, const C: usize>(
    layers: &[Layer],
    rows: Rows<'_>,
    scores: &mut [f32],
) {
    // SAFETY: the caller's promise, passed on.
    unsafe { tile::<__m256, R, P, C, 2>(layers, rows, scores) }
}

/// A register of numbers, of a processor that has such.
trait Vector: Copy {
    const LANES: usize;

    /// # Safety
    /// The processor has the instructions.
    unsafe fn splat(x: f32) -> Self;
    /// # Safety
    /// As [`Vector::splat`]; a register of numbers may be read.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// As [`Vector::splat`]; a register of numbers may be written.
    unsafe fn store(to: *mut f32, x: Self);
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn fma(a: Self, b: Self, c: Self) -> Self;
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn add(a: Self, b: Self) -> Self;
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn max(a: Self, b: Self) -> Self;
}

macro_rules! vector {
    ($vector:ty, $lanes:literal:
     $($name:ident($($x:ident: $t:ty),*) $(-> $r:ty)? = $intrinsic:ident;)*) => {
        impl Vector for $vector {
            const LANES: usize = $lanes;

            $(
                /// # Safety
                /// The trait's.
                #[inline(always)]
                unsafe fn $name($($x: $t),*) $(-> $r)? {
                    // SAFETY: as the caller promises.
                    unsafe { $intrinsic($($x),*) }
                }
            )*
        }
    };
}

vector! {
    __m512, 16:
    splat(x: f32) -> Self = _mm512_set1_ps;
    load(from: *const f32) -> Self = _mm512_load_ps;
    store(to: *mut f32, x: Self) = _mm512_store_ps;
    fma(a: Self, b: Self, c: Self) -> Self = _mm512_fmadd_ps;
    add(a: Self, b: Self) -> Self = _mm512_add_ps;
    max(a: Self, b: Self) -> Self = _mm512_max_ps;
}

vector! {
    __m256, 8:
    splat(x: f32) -> Self = _mm256_set1_ps;
    load(from: *const f32) -> Self = _mm256_load_ps;
    store(to: *mut f32, x: Self) = _mm256_store_ps;
    fma(a: Self, b: Self, c: Self) -> Self = _mm256_fmadd_ps;
    add(a: Self, b: Self) -> Self = _mm256_add_ps;
    max(a: Self, b: Self) -> Self = _mm256_max_ps;
}

/// `R` rows through all layers: `P` vectors of outputs and `C` chunks of inputs at once, `L`
/// vectors in the last layer.
///
/// # Safety
/// The processor has the instructions; `R` rows are there, and layers of the widths above.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const P: usize, const C: usize, const L: usize>(
    layers: &[Layer],
    rows: Rows<'_>,
    scores: &mut [f32],
) {
    let (mut one, mut other) = ([ZEROS; R], [ZEROS; R]);
    // SAFETY: `R` rows of so many values are there, and the layers' widths are the constants.
    unsafe {
        let x = (rows.here.as_ptr(), rows.next);
        layer::<V, R, P, C, { WIDTHS[0] }>(&layers[0], x, WIDE, &mut one);
        layer::<V, R, P, C, WIDE>(&layers[1], (one[0].0.as_ptr(), &[]), WIDE, &mut other);
        layer::<V, R, P, C, WIDE>(&layers[2], (other[0].0.as_ptr(), &[]), WIDE, &mut one);
        layer::<V, R, P, C, WIDE>(&layers[3], (one[0].0.as_ptr(), &[]), WIDE, &mut other);
        let last = const { L * V::LANES };
        layer::<V, R, L, C, WIDE>(&layers[4], (other[0].0.as_ptr(), &[]), last, &mut one);
    }
    for (scores, row) in scores.chunks_exact_mut(WIDTHS[5]).zip(&one) {
        scores.copy_from_slice(&row.0[..WIDTHS[5]]);
    }
}

/// One layer of `R` rows of `K` inputs, so many outputs, `P` vectors of them at once; `next` are
/// the rows that will be read after these.
///
/// # Safety
/// The processor has the instructions; `x` are `R` rows of `K` values, of which the layer has
/// weights, and `next` are whole rows.
#[inline(always)]
unsafe fn layer<V: Vector, const R: usize, const P: usize, const C: usize, const K: usize>(
    layer: &Layer,
    (x, next): (*const f32, &[f32]),
    outputs: usize,
    y: &mut [Line; R],
) {
    let chunk = const { K / C };
    let next_rows = next.len() / K;
    for first in (0..outputs).step_by(P * V::LANES) {
        // SAFETY: `k` is below `K`, as many as the layer has weights of and rows have values; a
        // line has as many outputs as were asked for.
        unsafe {
            let weight = layer.weight.as_ptr().cast::<f32>().add(first);
            let mut sums = [[[V::splat(0.0); P]; R]; C];
            for k in 0..chunk {
                // The next tile's rows, a cache line of one of them at a time.
                if const { K > WIDE && C == 1 } && first == 0 && k % 16 < next_rows {
                    let at = next.as_ptr().add(k % 16 * K + k / 16 * 16);
                    _mm_prefetch::<_MM_HINT_T1>(at.cast());
                }
                for (c, sums) in sums.iter_mut().enumerate() {
                    let k = c * chunk + k;
                    let weights: [V; P] =
                        std::array::from_fn(|p| V::load(weight.add(k * WIDE + p * V::LANES)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = V::splat(*x.add(r * K + k));
                        for (sum, weights) in sums.iter_mut().zip(weights) {
                            *sum = V::fma(x, weights, *sum);
                        }
                    }
                }
            }
            let floor = V::splat(layer.floor);
            for (r, y) in y.iter_mut().enumerate() {
                for p in 0..P {
                    let sum = sums[1..].iter().fold(sums[0][r][p], |sum, c| V::add(sum, c[r][p]));
                    let at = first + p * V::LANES;
                    let value = V::add(sum, V::load(layer.bias.0.as_ptr().add(at)));
                    V::store(y.0.as_mut_ptr().add(at), V::max(value, floor));
                }
            }
        }
    }
}
