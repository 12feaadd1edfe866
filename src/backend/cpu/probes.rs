//! Kernels that do nothing but keep one part of the processor busy.

#![allow(unsafe_code)]

use std::hint::black_box;

use super::simd::{Kernel, Simd};

/// Sums at once: enough to hide latency, few enough for any register file.
pub(super) const SUMS: usize = 12;

/// How long to multiply and add.
#[derive(Debug)]
pub(super) struct MultiplyAddJob {
    /// Multiply-adds of each sum.
    pub(super) steps: usize,
    /// Where one vector of results goes, so that they have to be made.
    pub(super) to: *mut f32,
}

/// Adds to [`SUMS`] sums at once; writes one vector.
#[derive(Debug)]
pub(super) struct MultiplyAdd;

impl<S: Simd> Kernel<S> for MultiplyAdd {
    type Job = MultiplyAddJob;

    #[inline(always)]
    unsafe fn run(simd: S, job: &MultiplyAddJob) {
        let factor = simd.splat(black_box(0.5));
        let mut sums: [S::V; SUMS] = std::array::from_fn(|sum| simd.splat(sum as f32));
        for _ in 0..job.steps {
            for sum in &mut sums {
                *sum = simd.fma(*sum, factor, factor);
            }
        }
        // SAFETY: the caller promises one vector to write to.
        unsafe { store_total(simd, &sums, job.to) };
    }
}

/// What to read.
#[derive(Debug)]
pub(super) struct ReadJob {
    /// The first value.
    pub(super) values: *const f32,
    /// Values to read, in whole vectors of all sums.
    pub(super) count: usize,
    /// Where one vector of results goes, so that they have to be made.
    pub(super) to: *mut f32,
}

/// Sums of the reading kernel.
const READ_SUMS: usize = 8;

/// Reads `count` values; writes one vector.
#[derive(Debug)]
pub(super) struct ReadMemory;

impl<S: Simd> Kernel<S> for ReadMemory {
    type Job = ReadJob;

    #[inline(always)]
    unsafe fn run(simd: S, job: &ReadJob) {
        let mut sums = [simd.splat(0.0); READ_SUMS];
        for start in (0..job.count).step_by(READ_SUMS * S::LANES) {
            for (index, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller promises `count` values, in whole vectors of all sums.
                let value = unsafe { simd.load(job.values.add(start + index * S::LANES)) };
                *sum = simd.add(*sum, value);
            }
        }
        // SAFETY: the caller promises one vector to write to.
        unsafe { store_total(simd, &sums, job.to) };
    }
}

/// Writes the sum of the sums.
///
/// # Safety
/// One vector may be written from `to` on.
#[inline(always)]
unsafe fn store_total<S: Simd>(simd: S, sums: &[S::V], to: *mut f32) {
    let total = sums.iter().fold(simd.splat(0.0), |total, sum| simd.add(total, *sum));
    // SAFETY: the caller promises one vector to write to.
    unsafe { simd.store(to, total) };
}
