//! Passes over values that lie in cache: activations past a clamp, narrow numbers to f32, softmax.

#![allow(unsafe_code)]

use half::{bf16, f16};

use super::math::{activate, exp};
use super::simd::{Kernel, Simd};
use crate::backend::Rows;
use crate::model::{Activation, Head};

/// Rows of whole vectors to put through an activation, in place.
#[derive(Debug)]
pub(super) struct ActivateJob {
    /// The first row.
    pub(super) values: *mut f32,
    /// Values from one row to the next.
    pub(super) stride: usize,
    /// The number of rows.
    pub(super) rows: usize,
    /// Vectors in a row.
    pub(super) vectors: usize,
    /// The activation.
    pub(super) activation: Activation,
}

/// Reads and writes `rows` rows of `vectors` vectors.
#[derive(Debug)]
pub(super) struct Activate;

impl<S: Simd> Kernel<S> for Activate {
    type Job = ActivateJob;

    #[inline(always)]
    unsafe fn run(simd: S, job: &ActivateJob) {
        for row in 0..job.rows {
            for vector in 0..job.vectors {
                // SAFETY: the caller promises `rows` rows of `vectors` vectors.
                unsafe {
                    let at = job.values.add(row * job.stride + vector * S::LANES);
                    simd.store(at, activate(simd, job.activation, simd.load(at)));
                }
            }
        }
    }
}

/// Numbers in memory, of any type that rows may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values {
    F32(*const f32),
    U8(*const u8),
    F16(*const u16),
    Bf16(*const u16),
}

impl Values {
    /// A caller's rows.
    pub(super) fn of(rows: Rows<'_>) -> Values {
        match rows {
            Rows::F32(values) => Values::F32(values.as_ptr()),
            Rows::U8(bytes) => Values::U8(bytes.as_ptr()),
            Rows::F16(values) => Values::F16(values.as_ptr().cast()),
            Rows::Bf16(values) => Values::Bf16(values.as_ptr().cast()),
        }
    }

    /// Where they begin.
    pub(super) fn start(self) -> *const u8 {
        match self {
            Values::F32(values) => values.cast(),
            Values::U8(values) => values,
            Values::F16(values) | Values::Bf16(values) => values.cast(),
        }
    }

    /// Bytes of one of them.
    pub(super) fn bytes(self) -> usize {
        match self {
            Values::F32(_) => 4,
            Values::U8(_) => 1,
            Values::F16(_) | Values::Bf16(_) => 2,
        }
    }

    /// What is left behind so many values.
    pub(super) fn after(self, values: usize) -> Values {
        match self {
            Values::F32(from) => Values::F32(from.wrapping_add(values)),
            Values::U8(from) => Values::U8(from.wrapping_add(values)),
            Values::F16(from) => Values::F16(from.wrapping_add(values)),
            Values::Bf16(from) => Values::Bf16(from.wrapping_add(values)),
        }
    }

    /// Asks for the first `count` of them: one row is dealt with too soon to hide how far away the
    /// next is.
    #[inline(always)]
    pub(super) fn bring_near<S: Simd>(self, simd: S, count: usize) {
        for line in (0..count * self.bytes()).step_by(64) {
            simd.prefetch(self.start().wrapping_add(line));
        }
    }
}

/// Numbers to write out as f32.
#[derive(Debug)]
pub(super) struct WidenJob {
    /// The first row.
    pub(super) from: Values,
    /// Values in a row; rows follow each other.
    pub(super) width: usize,
    /// The number of rows.
    pub(super) rows: usize,
    /// The first row's numbers.
    pub(super) values: *mut f32,
    /// Values from one row of numbers to the next.
    pub(super) stride: usize,
}

/// Reads `rows * width` values of any type, writes `width` values in each of `rows` rows.
#[derive(Debug)]
pub(super) struct Widen;

impl<S: Simd> Kernel<S> for Widen {
    type Job = WidenJob;

    #[inline(always)]
    unsafe fn run(simd: S, job: &WidenJob) {
        job.from.bring_near(simd, job.rows * job.width);
        // SAFETY: the caller promises rows of values to read and to write; the loads read a vector
        // of them.
        unsafe {
            match job.from {
                Values::F32(from) => {
                    widen_rows::<S, f32>(simd, job, from, |at| simd.load(at), |value| value);
                }
                Values::U8(from) => {
                    widen_rows::<S, u8>(simd, job, from, |at| simd.load_bytes(at), f32::from);
                }
                Values::F16(from) => {
                    let one = |bits| f16::from_bits(bits).to_f32();
                    widen_rows::<S, u16>(simd, job, from, |at| simd.load_f16(at), one);
                }
                Values::Bf16(from) => {
                    let one = |bits| bf16::from_bits(bits).to_f32();
                    widen_rows::<S, u16>(simd, job, from, |at| simd.load_bf16(at), one);
                }
            }
        }
    }
}

/// Widens rows a vector at a time, and what is left of each value by value.
///
/// # Safety
/// `from` holds `rows` rows of `width` values, and the job's `values` have room for as many; a
/// vector of values may be loaded from wherever so many of them lie.
#[inline(always)]
unsafe fn widen_rows<S: Simd, T: Copy>(
    simd: S,
    job: &WidenJob,
    from: *const T,
    load: impl Fn(*const T) -> S::V,
    one: impl Fn(T) -> f32,
) {
    let whole = job.width / S::LANES * S::LANES;
    for row in 0..job.rows {
        // SAFETY: the caller promises `rows` rows of `width` values at either place.
        unsafe {
            let narrow = from.add(row * job.width);
            let values = job.values.add(row * job.stride);
            for at in (0..whole).step_by(S::LANES) {
                simd.store(values.add(at), load(narrow.add(at)));
            }
            for at in whole..job.width {
                *values.add(at) = one(*narrow.add(at));
            }
        }
    }
}

/// Rows of outputs to turn into scores, in place.
#[derive(Debug)]
pub(super) struct HeadJob {
    /// The first row; whole vectors, of which what is past `classes` is overwritten.
    pub(super) values: *mut f32,
    /// Values from one row to the next.
    pub(super) stride: usize,
    /// The number of rows.
    pub(super) rows: usize,
    /// Scores of a row.
    pub(super) classes: usize,
    /// What is applied.
    pub(super) head: Head,
}

/// Reads and writes `rows` rows of `classes` values, rounded up to whole vectors.
#[derive(Debug)]
pub(super) struct ApplyHead;

impl<S: Simd> Kernel<S> for ApplyHead {
    type Job = HeadJob;

    #[inline(always)]
    unsafe fn run(simd: S, job: &HeadJob) {
        let padded = job.classes.next_multiple_of(S::LANES);
        for row in 0..job.rows {
            // SAFETY: the caller promises `rows` rows of `padded` values that are its own.
            let values =
                unsafe { std::slice::from_raw_parts_mut(job.values.add(row * job.stride), padded) };
            // Adds nothing to the sum.
            values[job.classes..].fill(f32::NEG_INFINITY);
            match job.head {
                Head::Logits => {}
                Head::Softmax => softmax(simd, values),
                Head::LogSoftmax => log_softmax(simd, values),
            }
        }
    }
}

#[inline(always)]
fn softmax<S: Simd>(simd: S, values: &mut [f32]) {
    let largest = largest(values);
    let sum = sum_of_exp(simd, values, largest);
    let (largest, sum) = (simd.splat(largest), simd.splat(sum));
    for chunk in values.chunks_exact_mut(S::LANES) {
        // SAFETY: the chunk holds one vector.
        unsafe {
            let power = exp(simd, simd.sub(simd.load(chunk.as_ptr()), largest));
            simd.store(chunk.as_mut_ptr(), simd.div(power, sum));
        }
    }
}

#[inline(always)]
fn log_softmax<S: Simd>(simd: S, values: &mut [f32]) {
    let largest = largest(values);
    let ln = sum_of_exp(simd, values, largest).ln();
    values.iter_mut().for_each(|value| *value = *value - largest - ln);
}

/// NaN is passed over here: it makes the sum NaN, and so every score of its row.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(f32::NEG_INFINITY, |most, value| if *value > most { *value } else { most })
}

/// The sum of `exp(value - largest)`.
#[inline(always)]
fn sum_of_exp<S: Simd>(simd: S, values: &[f32], largest: f32) -> f32 {
    let largest = simd.splat(largest);
    let mut sums = simd.splat(0.0);
    for chunk in values.chunks_exact(S::LANES) {
        // SAFETY: the chunk holds one vector.
        let value = unsafe { simd.load(chunk.as_ptr()) };
        sums = simd.add(sums, exp(simd, simd.sub(value, largest)));
    }
    // The widest vector has 16 lanes.
    let mut lanes = [0.0; 16];
    // SAFETY: the array holds one vector.
    unsafe { simd.store(lanes.as_mut_ptr(), sums) };
    lanes[..S::LANES].iter().sum()
}
