//! What becomes of sums: outputs, whether the sums are in registers or in memory.

#![allow(unsafe_code)]

use super::dot::{Dot, LANES, Outputs};
use super::measure::Measured;
use crate::backend::cpu::simd::Kernel;

/// What turns sums into outputs: `min(max(sum * (row * scale) + bias, floor), ceiling)`.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct Epilogue {
    /// The numbers of the first panel's outputs.
    pub(in crate::backend::cpu) outputs: Outputs,
    /// Whether a byte other than 0 may stand for zero.
    pub(in crate::backend::cpu) zeros: bool,
    /// No output is below it: 0 for relu, minus infinity for none.
    pub(in crate::backend::cpu) floor: f32,
    /// No output is above it.
    pub(in crate::backend::cpu) ceiling: f32,
}

/// Sums in memory to turn into outputs.
#[derive(Debug)]
pub(in crate::backend::cpu) struct FinishJob {
    /// The first row's sums, `[row][panel][lane]`.
    pub(in crate::backend::cpu) sums: *const i32,
    /// The number of rows.
    pub(in crate::backend::cpu) rows: usize,
    /// What the bytes of each row stand for.
    pub(in crate::backend::cpu) measured: Measured<*const f32, *const i32>,
    /// The first row's outputs.
    pub(in crate::backend::cpu) y: *mut f32,
    /// Values from one row of `y` to the next.
    pub(in crate::backend::cpu) y_stride: usize,
    /// What turns sums into outputs.
    pub(in crate::backend::cpu) epilogue: Epilogue,
}

/// Reads `rows` rows of sums of `P` panels and what the rows stand for; writes as many outputs.
#[derive(Debug)]
pub(super) struct Finish<const P: usize>;

impl<D: Dot, const P: usize> Kernel<D> for Finish<P> {
    type Job = FinishJob;

    #[inline(always)]
    unsafe fn run(dot: D, job: &FinishJob) {
        for p in 0..P {
            // SAFETY: the caller promises the memory that the documentation above names.
            unsafe {
                let panel = Panel::new(dot, &job.epilogue, p);
                for row in 0..job.rows {
                    let sum = dot.load_i(job.sums.add((row * P + p) * LANES));
                    let value = if job.epilogue.zeros {
                        panel.value::<true>(dot, sum, job.measured, row)
                    } else {
                        panel.value::<false>(dot, sum, job.measured, row)
                    };
                    dot.store(job.y.add(row * job.y_stride + p * LANES), value);
                }
            }
        }
    }
}

/// The numbers of a panel's outputs, in registers.
pub(super) struct Panel<D: Dot> {
    scales: D::V,
    bias: D::V,
    weight_sums: D::I,
    floor: D::V,
    ceiling: D::V,
}

impl<D: Dot> Panel<D> {
    /// Those of panel `p`.
    ///
    /// # Safety
    /// The outputs have so many panels.
    #[inline(always)]
    pub(super) unsafe fn new(dot: D, epilogue: &Epilogue, p: usize) -> Panel<D> {
        let Epilogue { outputs, floor, ceiling, .. } = *epilogue;
        // SAFETY: the caller promises the panel.
        unsafe {
            Panel {
                scales: dot.load(outputs.scales.add(p * LANES)),
                bias: dot.load(outputs.bias.add(p * LANES)),
                weight_sums: dot.load_i(outputs.weight_sums.add(p * LANES)),
                floor: dot.splat(floor),
                ceiling: dot.splat(ceiling),
            }
        }
    }

    /// A row's outputs; `Z` where a byte other than 0 may stand for zero.
    ///
    /// # Safety
    /// It is known what the row's bytes stand for.
    #[inline(always)]
    pub(super) unsafe fn value<const Z: bool>(
        &self,
        dot: D,
        mut sum: D::I,
        measured: Measured<*const f32, *const i32>,
        row: usize,
    ) -> D::V {
        // SAFETY: the caller promises what the row stands for.
        let (step, zero) = unsafe {
            let at = row * measured.step;
            (*measured.steps.add(at), if Z { *measured.zeros.add(at) } else { 0 })
        };
        if Z {
            sum = dot.sub_i(sum, dot.mul_i(dot.splat_i(zero), self.weight_sums));
        }
        let value = dot.mul(dot.to_floats(sum), dot.mul(dot.splat(step), self.scales));
        dot.min(self.ceiling, dot.max(self.floor, dot.add(value, self.bias)))
    }
}
