//! Passes over values that lie in cache: activations past a clamp, bytes to numbers, softmax.

#![allow(unsafe_code)]

use super::math::{activate, exp};
use super::simd::{Kernel, Simd};
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

impl Kernel for Activate {
    type Job = ActivateJob;

    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, job: &ActivateJob) {
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

/// Bytes to write out as numbers.
#[derive(Debug)]
pub(super) struct WidenJob {
    /// The first row.
    pub(super) bytes: *const u8,
    /// Bytes in a row; rows follow each other.
    pub(super) width: usize,
    /// The number of rows.
    pub(super) rows: usize,
    /// The first row's numbers.
    pub(super) values: *mut f32,
    /// Values from one row of numbers to the next.
    pub(super) stride: usize,
}

/// Reads `rows * width` bytes, writes `width` values in each of `rows` rows.
#[derive(Debug)]
pub(super) struct Widen;

impl Kernel for Widen {
    type Job = WidenJob;

    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, job: &WidenJob) {
        // One row's conversion is too short to hide how far away the next is.
        for line in (0..job.rows * job.width).step_by(64) {
            simd.prefetch(job.bytes.wrapping_add(line));
        }
        let whole = job.width / S::LANES * S::LANES;
        for row in 0..job.rows {
            // SAFETY: the caller promises `rows` rows of `width` bytes and of `width` values.
            unsafe {
                let bytes = job.bytes.add(row * job.width);
                let values = job.values.add(row * job.stride);
                for at in (0..whole).step_by(S::LANES) {
                    simd.store(values.add(at), simd.load_bytes(bytes.add(at)));
                }
                for at in whole..job.width {
                    *values.add(at) = f32::from(*bytes.add(at));
                }
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

impl Kernel for ApplyHead {
    type Job = HeadJob;

    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, job: &HeadJob) {
        let padded = job.classes.next_multiple_of(S::LANES);
        for row in 0..job.rows {
            // SAFETY: the caller promises `rows` rows of `padded` values, and nobody else uses them.
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
