//! Inputs whose weights are f32, beside those that are bytes: what they add to a layer's sums.

#![allow(unsafe_code)]

use super::dot::{Dot, LANES};
use crate::backend::cpu::simd::Kernel;

/// Rows that the exact inputs of a layer are added to, in place.
#[derive(Debug)]
pub(in crate::backend::cpu) struct ExactJob {
    /// The first row's values of the exact inputs.
    pub(in crate::backend::cpu) values: *const f32,
    /// Values from one row of them to the next.
    pub(in crate::backend::cpu) values_stride: usize,
    /// The number of exact inputs.
    pub(in crate::backend::cpu) inputs: usize,
    /// Their weights, `[exact input][panel][lane]`.
    pub(in crate::backend::cpu) weights: *const f32,
    /// The first row's sums, with bias.
    pub(in crate::backend::cpu) y: *mut f32,
    /// Values from one row of `y` to the next.
    pub(in crate::backend::cpu) y_stride: usize,
    /// The number of rows.
    pub(in crate::backend::cpu) rows: usize,
    /// The number of panels.
    pub(in crate::backend::cpu) panels: usize,
    /// No output is below it.
    pub(in crate::backend::cpu) floor: f32,
    /// No output is above it.
    pub(in crate::backend::cpu) ceiling: f32,
}

/// Reads `rows` rows of values and all weights; reads and writes `rows` rows of `panels` panels.
///
/// Products and sums are rounded one by one, so that every level has the same bits.
#[derive(Debug)]
pub(super) struct Exact;

impl<D: Dot> Kernel<D> for Exact {
    type Job = ExactJob;

    #[inline(always)]
    unsafe fn run(dot: D, job: &ExactJob) {
        let (floor, ceiling) = (dot.splat(job.floor), dot.splat(job.ceiling));
        for row in 0..job.rows {
            for panel in 0..job.panels {
                // SAFETY: the caller promises the memory that the documentation above names.
                unsafe {
                    let y = job.y.add(row * job.y_stride + panel * LANES);
                    let mut sum = dot.load(y);
                    for input in 0..job.inputs {
                        let x = dot.splat(*job.values.add(row * job.values_stride + input));
                        let weights = job.weights.add((input * job.panels + panel) * LANES);
                        sum = dot.add(sum, dot.mul(x, dot.load(weights)));
                    }
                    dot.store(y, dot.min(ceiling, dot.max(floor, sum)));
                }
            }
        }
    }
}
