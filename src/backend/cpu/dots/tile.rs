//! The register tile: `R` rows of bytes times `P` panels of weights, `C` chunks of inputs at once.
//!
//! Whole numbers add up to the same sum in any order, so that inputs are split as it suits the
//! tile: one of few rows takes several chunks at once, for as many sums as hide the latency of a
//! multiply-add.

#![allow(unsafe_code)]

use super::dot::{Dot, LANES};
use super::finish::{Epilogue, FinishJob, Panel};
use super::measure::Measured;
use crate::backend::cpu::simd::Kernel;

/// What one call of a tile works on.
#[derive(Debug)]
pub(in crate::backend::cpu) struct DotJob {
    /// The first row; read in groups of four bytes.
    pub(in crate::backend::cpu) x: *const u8,
    /// Bytes from one row of `x` to the next.
    pub(in crate::backend::cpu) x_stride: usize,
    /// Groups of four inputs.
    pub(in crate::backend::cpu) groups: usize,
    /// Weights, `[group][panel][lane][input]`.
    pub(in crate::backend::cpu) weight: *const u8,
    /// What to bring near meanwhile: so many bytes a group from here on.
    pub(in crate::backend::cpu) ahead: *const u8,
    /// Bytes a group; 0 for none.
    pub(in crate::backend::cpu) ahead_bytes: usize,
    /// What the bytes of each row stand for.
    pub(in crate::backend::cpu) rows: Measured<*const f32, *const i32>,
    /// The first row's outputs.
    pub(in crate::backend::cpu) y: *mut f32,
    /// Values from one row of `y` to the next.
    pub(in crate::backend::cpu) y_stride: usize,
    /// What turns sums into outputs.
    pub(in crate::backend::cpu) epilogue: Epilogue,
}

impl DotJob {
    /// What finishes sums that lie in memory: of `rows` rows, from row `first` on.
    pub(in crate::backend::cpu) fn finish(
        &self,
        sums: *const u32,
        first: usize,
        rows: usize,
    ) -> FinishJob {
        FinishJob {
            sums: sums.cast(),
            rows,
            measured: self.rows.after(first),
            y: self.y.wrapping_add(first * self.y_stride),
            y_stride: self.y_stride,
            epilogue: self.epilogue,
        }
    }
}

/// A tile compiled for an instruction set.
pub(in crate::backend::cpu) type DotTileFn = unsafe fn(&DotJob);

/// The tile for up to 8 `rows`, 1 or 2 `panels` and 1, 2 or 4 `chunks`; where those are more sums
/// than the instruction set has registers for, what comes back panics when called.
pub(super) fn tile<D: Dot>(rows: usize, panels: usize, chunks: usize) -> DotTileFn {
    match panels {
        1 => tile_of_panels::<D, 1>(rows, chunks),
        _ => tile_of_panels::<D, 2>(rows, chunks),
    }
}

fn tile_of_panels<D: Dot, const P: usize>(rows: usize, chunks: usize) -> DotTileFn {
    match (chunks, rows) {
        (1, 1) => D::enter::<Tile<1, P, 1>>,
        (1, 2) => D::enter::<Tile<2, P, 1>>,
        (1, 3) => D::enter::<Tile<3, P, 1>>,
        (1, 4) => D::enter::<Tile<4, P, 1>>,
        (1, 5) => D::enter::<Tile<5, P, 1>>,
        (1, 6) => D::enter::<Tile<6, P, 1>>,
        (1, 7) => D::enter::<Tile<7, P, 1>>,
        (1, 8) => D::enter::<Tile<8, P, 1>>,
        (2, 1) => D::enter::<Tile<1, P, 2>>,
        (2, 2) => D::enter::<Tile<2, P, 2>>,
        (2, 3) => D::enter::<Tile<3, P, 2>>,
        (2, 4) => D::enter::<Tile<4, P, 2>>,
        (4, 1) => D::enter::<Tile<1, P, 4>>,
        (4, 2) => D::enter::<Tile<2, P, 4>>,
        _ => unreachable!("no tile of {rows} rows takes {chunks} chunks at once"),
    }
}

struct Tile<const R: usize, const P: usize, const C: usize>;

impl<D: Dot, const R: usize, const P: usize, const C: usize> Kernel<D> for Tile<R, P, C> {
    type Job = DotJob;

    /// Reads `R` rows of `groups` groups, their weights in `P` panels, `P * LANES` of the outputs'
    /// numbers and what `R` rows stand for; writes `R` rows of as many outputs.
    #[inline(always)]
    unsafe fn run(dot: D, job: &DotJob) {
        if const { R * P * C > D::DOT_SUMS } {
            unreachable!("a tile with more sums than registers is never chosen");
        }
        // SAFETY: the caller promises the memory that the documentation above names.
        unsafe {
            let sums = sums::<D, R, P, C>(dot, job);
            // A loop of its own each, short enough that the compiler keeps all sums in registers.
            if job.epilogue.zeros {
                finish::<D, R, P, true>(dot, job, &sums);
            } else {
                finish::<D, R, P, false>(dot, job, &sums);
            }
        }
    }
}

/// The sums of all products.
///
/// # Safety
/// As [`Tile`]'s kernel.
#[inline(always)]
unsafe fn sums<D: Dot, const R: usize, const P: usize, const C: usize>(
    dot: D,
    job: &DotJob,
) -> [[D::I; P]; R] {
    let chunk = job.groups / C;
    let mut sums = [[[dot.splat_i(0); P]; R]; C];
    for group in 0..chunk {
        // A tile that takes several chunks at once is the only one of its batch.
        if C == 1 {
            dot.prefetch(job.ahead.wrapping_add(group * job.ahead_bytes));
        }
        for (c, sums) in sums.iter_mut().enumerate() {
            // SAFETY: group `c * chunk + group` is one of the job's.
            unsafe { add_group::<D, R, P>(dot, job, c * chunk + group, sums) };
        }
    }
    for group in C * chunk..job.groups {
        // SAFETY: what is left of the job's groups.
        unsafe { add_group::<D, R, P>(dot, job, group, &mut sums[C - 1]) };
    }
    let mut total = sums[0];
    for chunk in &sums[1..] {
        for (total, sums) in total.iter_mut().zip(chunk) {
            for (total, sum) in total.iter_mut().zip(sums) {
                *total = dot.add_i(*total, *sum);
            }
        }
    }
    total
}

/// Adds a group's products to the sums of its chunk.
///
/// # Safety
/// As [`Tile`]'s kernel; `group` is one of the job's.
#[inline(always)]
unsafe fn add_group<D: Dot, const R: usize, const P: usize>(
    dot: D,
    job: &DotJob,
    group: usize,
    sums: &mut [[D::I; P]; R],
) {
    let weights = job.weight.cast::<i32>().wrapping_add(group * P * LANES);
    // SAFETY: the caller promises that the group's weights and bytes may be read; the bytes need no
    // alignment.
    unsafe {
        let weights: [D::I; P] = std::array::from_fn(|p| dot.load_i(weights.add(p * LANES)));
        for (r, sums) in sums.iter_mut().enumerate() {
            let four = job.x.add(r * job.x_stride + 4 * group).cast::<i32>();
            let x = dot.splat_i(four.read_unaligned());
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = dot.dot(*sum, x, weights);
            }
        }
    }
}

/// Turns sums into outputs and writes them; `Z` where a byte other than 0 may stand for zero.
///
/// # Safety
/// As [`Tile`]'s kernel.
#[inline(always)]
unsafe fn finish<D: Dot, const R: usize, const P: usize, const Z: bool>(
    dot: D,
    job: &DotJob,
    sums: &[[D::I; P]; R],
) {
    for p in 0..P {
        // SAFETY: the caller promises `P` panels of the outputs' numbers, what `R` rows stand for,
        // and room for `R` rows of `P` panels.
        unsafe {
            let panel = Panel::new(dot, &job.epilogue, p);
            for (r, sums) in sums.iter().enumerate() {
                let value = panel.value::<Z>(dot, sums[p], job.rows, r);
                dot.store(job.y.add(r * job.y_stride + p * LANES), value);
            }
        }
    }
}
