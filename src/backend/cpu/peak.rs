//! The processor's ceilings, measured on one thread.

#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use super::kernels::Kernels;
use super::simd::{Kernel, Simd};
use crate::plan::Peak;

/// Multiply-adds of each sum in one call.
const STEPS: usize = 20_000;
/// Values read for the bandwidth: 64 MB, more than most last-level caches hold.
const VALUES: usize = 16 << 20;
/// The best of so many calls counts: what disturbs a call only makes it longer.
const CALLS: usize = 5;
/// Sums of a measuring kernel: enough to hide latency, few enough for any register file.
const SUMS: usize = 12;

/// Measures multiply-add throughput in registers and read bandwidth of memory, for some 50 ms.
pub(super) fn measure(kernels: &Kernels) -> Peak {
    let mut lanes = [0.0; 16];
    let job = MultiplyAddJob { steps: STEPS, to: lanes.as_mut_ptr() };
    // SAFETY: `lanes` holds the widest vector.
    let seconds = best_of_calls(|| unsafe { (kernels.multiply_add)(&job) });
    let flops = 2 * SUMS * kernels.lanes * STEPS;

    let values = vec![1.0_f32; VALUES];
    let job = ReadJob { values: values.as_ptr(), count: values.len(), to: lanes.as_mut_ptr() };
    // SAFETY: the job covers `values`, whose length is a multiple of any tile; `lanes` as above.
    let read_seconds = best_of_calls(|| unsafe { (kernels.read_memory)(&job) });
    black_box(lanes);
    Peak {
        flops_per_s: flops as f64 / seconds,
        bytes_per_s: size_of_val(&values[..]) as f64 / read_seconds,
    }
}

fn best_of_calls(call: impl Fn()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        call();
        start.elapsed().as_secs_f64()
    };
    (0..CALLS).map(time).fold(f64::INFINITY, f64::min)
}

/// How long to multiply and add.
#[derive(Debug)]
pub(super) struct MultiplyAddJob {
    /// Multiply-adds of each sum.
    steps: usize,
    /// Where one vector of results goes, so that they have to be made.
    to: *mut f32,
}

/// Adds to [`SUMS`] sums at once; writes one vector.
#[derive(Debug)]
pub(super) struct MultiplyAdd;

impl Kernel for MultiplyAdd {
    type Job = MultiplyAddJob;

    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, job: &MultiplyAddJob) {
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
    values: *const f32,
    /// Values to read, in whole vectors of all sums.
    count: usize,
    /// Where one vector of results goes, so that they have to be made.
    to: *mut f32,
}

/// Sums of the reading kernel.
const READ_SUMS: usize = 8;

/// Reads `count` values; writes one vector.
#[derive(Debug)]
pub(super) struct ReadMemory;

impl Kernel for ReadMemory {
    type Job = ReadJob;

    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, job: &ReadJob) {
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

#[inline(always)]
unsafe fn store_total<S: Simd>(simd: S, sums: &[S::V], to: *mut f32) {
    let total = sums.iter().fold(simd.splat(0.0), |total, sum| simd.add(total, *sum));
    // SAFETY: the caller promises one vector to write to.
    unsafe { simd.store(to, total) };
}
