//! Pairs of bf16: what instruction sets that multiply them do, and the pass that makes them.
//!
//! A pair lies in the 32 bits that one f32 would take, so that rows and weights of pairs are
//! stored, moved and walked through as half as many f32 are.

#![allow(unsafe_code)]

use super::passes::Values;
use super::simd::{Kernel, Simd};

/// An instruction set that multiplies pairs of bf16. All methods are `#[inline(always)]`.
///
/// Vectors of pairs are vectors of f32 as far as their bits go; the first of a pair has the lower
/// 16. A denormal number, given or made, is 0 with its sign, and roundings are to the nearest, ties
/// to even, whatever the processor's control register says.
pub(super) trait PairDot: Simd {
    /// In each lane `sum`, plus the product of what is second in `a` and `b`, plus that of what is
    /// first. Products are exact; both sums are rounded.
    fn dot(self, sum: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// The lanes of `low` and then those of `high`, rounded to bf16, two in each lane.
    fn round(self, low: Self::V, high: Self::V) -> Self::V;
}

/// Rows of numbers to round to pairs.
#[derive(Debug)]
pub(super) struct RoundJob {
    /// The first row.
    pub(super) values: Values,
    /// Values from one row to the next.
    pub(super) stride: usize,
    /// Values in a row.
    pub(super) width: usize,
    /// The number of rows.
    pub(super) rows: usize,
    /// Whether the rows are the caller's, and may be far away.
    pub(super) far: bool,
    /// Where the first row's pairs go: away from all values, or where the values of that row lie
    /// as f32.
    pub(super) pairs: *mut f32,
    /// Pairs from one row to the next.
    pub(super) pairs_stride: usize,
}

/// Reads `rows` rows of `width` values; writes as many rows of half as many pairs, rounded up to
/// whole vectors, with zeros behind the last value.
#[derive(Debug)]
pub(super) struct Round;

impl<S: PairDot> Kernel<S> for Round {
    type Job = RoundJob;

    #[inline(always)]
    unsafe fn run(simd: S, job: &RoundJob) {
        if job.far {
            job.values.bring_near(simd, job.rows * job.width);
        }
        // SAFETY: the caller promises rows of values to read and of pairs to write; the loads read
        // a vector of values.
        unsafe {
            match job.values {
                Values::F32(from) => round_rows(simd, job, from, |at| simd.load(at)),
                Values::U8(from) => round_rows(simd, job, from, |at| simd.load_bytes(at)),
                Values::F16(from) => round_rows(simd, job, from, |at| simd.load_f16(at)),
                Values::Bf16(from) => round_rows(simd, job, from, |at| simd.load_bf16(at)),
            }
        }
    }
}

/// Rounds rows two vectors at a time, each of them read before it is written over.
///
/// # Safety
/// `from` holds the job's rows, and its `pairs` have room for them; a vector of values may be
/// loaded from wherever so many of them lie.
#[inline(always)]
unsafe fn round_rows<S: PairDot, T: Copy + Default>(
    simd: S,
    job: &RoundJob,
    from: *const T,
    load: impl Fn(*const T) -> S::V,
) {
    let together = 2 * S::LANES;
    let whole = job.width / together * together;
    let (low, high) =
        ((job.width - whole).min(S::LANES), (job.width - whole).saturating_sub(S::LANES));
    for row in 0..job.rows {
        // SAFETY: the caller promises `rows` rows of `width` values, and room for pairs in whole
        // vectors.
        unsafe {
            let values = from.add(row * job.stride);
            let pairs = job.pairs.add(row * job.pairs_stride);
            for at in (0..whole).step_by(together) {
                let (low, high) = (load(values.add(at)), load(values.add(at + S::LANES)));
                simd.store(pairs.add(at / 2), simd.round(low, high));
            }
            if whole < job.width {
                let rest = values.add(whole);
                let low = load_some::<S, T>(rest, low, &load);
                let high = load_some::<S, T>(rest.wrapping_add(S::LANES), high, &load);
                simd.store(pairs.add(whole / 2), simd.round(low, high));
            }
        }
    }
}

/// The `count` values from `from` on, at most a vector, and zeros.
///
/// # Safety
/// So many may be read, and `load` takes a vector of values from wherever so many of them lie.
#[inline(always)]
unsafe fn load_some<S: Simd, T: Copy + Default>(
    from: *const T,
    count: usize,
    load: &impl Fn(*const T) -> S::V,
) -> S::V {
    if count == S::LANES {
        return load(from);
    }
    // The widest vector has 16 lanes.
    let mut values = [T::default(); 16];
    // SAFETY: as the caller promises; a vector has room for so many.
    unsafe { values.as_mut_ptr().copy_from_nonoverlapping(from, count) };
    load(values.as_ptr())
}
