//! The processor's ceilings, measured on one thread.

#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use super::kernels::Kernels;
use super::mode::KernelMode;
use super::probes::{MultiplyAddJob, ReadJob, SUMS};
use crate::plan::Peak;

/// Multiply-adds of each sum in one call.
const STEPS: usize = 20_000;
/// The fewest and the most values of a working set: 16 KB, and 64 MB, more than most last-level
/// caches hold; both are multiples of what the reading kernel takes at once.
const VALUES: [usize; 2] = [4 << 10, 16 << 20];
/// Values that one call reads at least, working set after working set.
const VALUES_READ: usize = 1 << 20;
/// The best of so many calls counts: what disturbs a call only makes it longer.
const CALLS: usize = 5;

/// Measures multiply-add throughput in registers, and read bandwidth of wherever a working set of
/// so many bytes stays between two batches: a cache, or memory. Takes some 50 ms at most.
pub(super) fn measure(kernels: &Kernels, working_set_bytes: u64) -> Peak {
    let _mode = KernelMode::enter();
    let mut lanes = [0.0; 16];
    let job = MultiplyAddJob { steps: STEPS, to: lanes.as_mut_ptr() };
    // SAFETY: `lanes` holds the widest vector.
    let seconds = best_of_calls(|| unsafe { (kernels.multiply_add)(&job) });
    let flops = 2 * SUMS * kernels.lanes * STEPS;

    let wanted = usize::try_from(working_set_bytes / 4).unwrap_or(usize::MAX);
    let wanted = wanted.clamp(VALUES[0], VALUES[1]).next_multiple_of(VALUES[0]);
    let values = vec![1.0_f32; wanted];
    let rounds = VALUES_READ.div_ceil(values.len());
    let job = ReadJob { values: values.as_ptr(), count: values.len(), to: lanes.as_mut_ptr() };
    let read_seconds = best_of_calls(|| {
        for _ in 0..rounds {
            // SAFETY: the job covers `values`, whose length is a multiple of what the kernel takes
            // at once; `lanes` as above.
            unsafe { (kernels.read_memory)(&job) };
        }
    });
    black_box(lanes);
    Peak {
        flops_per_s: Some(flops as f64 / seconds),
        bytes_per_s: (rounds * size_of_val(&values[..])) as f64 / read_seconds,
        link: None,
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
