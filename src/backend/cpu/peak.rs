//! The processor's ceilings, measured on one thread.

#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use super::kernels::Kernels;
use super::probes::{MultiplyAddJob, ReadJob, SUMS};
use crate::plan::Peak;

/// Multiply-adds of each sum in one call.
const STEPS: usize = 20_000;
/// Values read for the bandwidth: 64 MB, more than most last-level caches hold.
const VALUES: usize = 16 << 20;
/// The best of so many calls counts: what disturbs a call only makes it longer.
const CALLS: usize = 5;

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
