//! The register tile: `R` rows times `P` panels of a matrix product, `C` chunks of inputs at once.
//!
//! The sum over a layer's inputs is defined as the sum, in order, of the sums over its chunks (see
//! [`Chunks`](super::layer::Chunks)), each of them in order. A tile of many rows has enough sums in
//! flight to hide the latency of a multiply-add, and takes one chunk a call. A tile of few rows
//! takes several chunks a call, each in sums of its own. Either way the same numbers are added in
//! the same order, so that a row's scores do not depend on the batch it is in.
//!
//! A tile of few rows is bound by reading weights, and takes them as halves where the plan rounded
//! them to such; expanding them is exact, so that the scores are the same again.
//!
//! Where the level multiplies pairs of bf16 ([`PairDot`]), a tile takes pairs for values, of rows
//! and of weights alike: what is called an input here is then a pair of them.

#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::pairs::PairDot;
use super::simd::{Kernel, Simd};

/// What one call of a tile works on.
#[derive(Debug)]
pub(super) struct TileJob {
    /// The first row's value, or pair of values, at the first chunk's first input.
    pub(super) x: *const f32,
    /// Values from one row of `x` to the next.
    pub(super) x_stride: usize,
    /// The weights of the first chunk's first input, in the tile's type; `[input][panel][lane]`.
    pub(super) weight: *const u8,
    /// Panels whose weights lie side by side there, the tile's among them.
    pub(super) side_by_side: usize,
    /// Inputs of a chunk.
    pub(super) chunk: usize,
    /// What to bring near meanwhile: so many bytes an input from here on.
    pub(super) ahead: Ahead,
    /// Inputs of the last chunk of this call beyond `chunk`.
    pub(super) tail: usize,
    /// The first row's outputs: sums of the chunks so far before the last call, values after it.
    pub(super) y: *mut f32,
    /// Values from one row of `y` to the next.
    pub(super) y_stride: usize,
    /// Whether these are the first chunks, so that `y` holds no sums yet.
    pub(super) begin: bool,
    /// The epilogue of the last call; `None` where chunks are still to come.
    pub(super) epilogue: Option<Epilogue>,
}

/// Memory that will be read next; nothing is assumed about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// The first byte.
    pub(super) start: *const u8,
    /// Bytes; or bytes an input, in a [`TileJob`].
    pub(super) bytes: usize,
}

impl Ahead {
    /// Nothing.
    pub(super) const NONE: Ahead = Ahead { start: std::ptr::null(), bytes: 0 };
}

/// What turns sums into outputs: `min(max(sum * scale + bias, floor), ceiling)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue {
    /// The biases of the first panel.
    pub(super) bias: *const f32,
    /// What sums are multiplied by.
    pub(super) scale: f32,
    /// No output is below it: 0 for relu, minus infinity for none.
    pub(super) floor: f32,
    /// No output is above it.
    pub(super) ceiling: f32,
}

impl Epilogue {
    /// The outputs of a sum of panel `p`.
    ///
    /// # Safety
    /// There are biases of so many panels.
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, simd: S, sum: S::V, p: usize) -> S::V {
        // SAFETY: as the caller promises.
        let bias = unsafe { simd.load(self.bias.add(p * S::LANES)) };
        let value = simd.fma(sum, simd.splat(self.scale), bias);
        let raised = simd.max(simd.splat(self.floor), value);
        simd.min(simd.splat(self.ceiling), raised)
    }
}

/// Sums in memory to turn into outputs.
#[derive(Debug)]
pub(super) struct FinishJob {
    /// The first row's sums, row after row of `panels` panels.
    pub(super) sums: *const f32,
    /// The number of rows.
    pub(super) rows: usize,
    /// The number of panels.
    pub(super) panels: usize,
    /// The first row's outputs.
    pub(super) y: *mut f32,
    /// Values from one row of `y` to the next.
    pub(super) y_stride: usize,
    /// What turns sums into outputs.
    pub(super) epilogue: Epilogue,
}

/// Reads `rows` rows of sums and the panels' biases; writes as many outputs.
#[derive(Debug)]
pub(super) struct Finish;

impl<S: Simd> Kernel<S> for Finish {
    type Job = FinishJob;

    #[inline(always)]
    unsafe fn run(simd: S, job: &FinishJob) {
        for row in 0..job.rows {
            for p in 0..job.panels {
                // SAFETY: the caller promises the memory that the documentation above names.
                unsafe {
                    let sum = simd.load(job.sums.add((row * job.panels + p) * S::LANES));
                    let y = job.y.add(row * job.y_stride + p * S::LANES);
                    simd.store(y, job.epilogue.apply(simd, sum, p));
                }
            }
        }
    }
}

/// A tile compiled for an instruction set.
pub(super) type TileFn = unsafe fn(&TileJob);

/// The most rows of a tile that reads halves: with more, expanding them takes longer than reading
/// twice the bytes.
pub(super) const HALVES_ROWS_MAX: usize = 2;

/// The most rows of a tile of four panels: with more there are no registers for its sums.
pub(super) const WIDE_ROWS_MAX: usize = 2;

/// How weights lie in memory, and what they are multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// An f32 each, times an f32.
    F32,
    /// Halves, expanded on their way to the product.
    F16,
    /// The same of bf16.
    Bf16,
    /// A pair of bf16 each, times a pair.
    Pairs,
}

impl Stored {
    /// Bytes of what is multiplied by one input.
    pub(super) fn bytes(self) -> usize {
        match self {
            Stored::F32 | Stored::Pairs => 4,
            Stored::F16 | Stored::Bf16 => 2,
        }
    }
}

/// What finds the tile of so many rows, panels and chunks, of weights stored so.
pub(super) type FindTile = fn(usize, usize, usize, Stored) -> TileFn;

/// The tile for up to 12 `rows`, up to [`HALVES_ROWS_MAX`] of `stored` halves, 1 or 2 `panels` and
/// 1, 2 or 4 `chunks`; up to [`WIDE_ROWS_MAX`] rows may have 4 panels, too. Where those are more
/// panels or sums than the instruction set has, what comes back panics when called. There is none
/// of pairs.
pub(super) fn tile<S: Simd>(rows: usize, panels: usize, chunks: usize, stored: Stored) -> TileFn {
    match (stored, panels) {
        (Stored::F32, 1) => tile_of_panels::<S, 1, F32>(rows, chunks),
        (Stored::F32, 2) => tile_of_panels::<S, 2, F32>(rows, chunks),
        (Stored::F32, 4) => tile_of_few_rows::<S, 4, F32>(rows, chunks),
        (Stored::F16, 1) => tile_of_few_rows::<S, 1, F16>(rows, chunks),
        (Stored::F16, 2) => tile_of_few_rows::<S, 2, F16>(rows, chunks),
        (Stored::F16, 4) => tile_of_few_rows::<S, 4, F16>(rows, chunks),
        (Stored::Bf16, 1) => tile_of_few_rows::<S, 1, Bf16>(rows, chunks),
        (Stored::Bf16, 2) => tile_of_few_rows::<S, 2, Bf16>(rows, chunks),
        (Stored::Bf16, 4) => tile_of_few_rows::<S, 4, Bf16>(rows, chunks),
        (Stored::Pairs, _) => unreachable!("weights are stored as pairs where there are tiles"),
        _ => unreachable!("no tile has {panels} panels"),
    }
}

/// [`tile`], and those of pairs.
pub(super) fn tile_or_pairs<S: Simd, D: PairDot>(
    rows: usize,
    panels: usize,
    chunks: usize,
    stored: Stored,
) -> TileFn {
    match (stored, panels) {
        (Stored::Pairs, 1) => tile_of_panels::<D, 1, Pairs>(rows, chunks),
        (Stored::Pairs, _) => tile_of_panels::<D, 2, Pairs>(rows, chunks),
        _ => tile::<S>(rows, panels, chunks, stored),
    }
}

fn tile_of_panels<S, const P: usize, W>(rows: usize, chunks: usize) -> TileFn
where
    S: Simd,
    W: Weights<S>,
{
    match (chunks, rows) {
        (_, 1..=HALVES_ROWS_MAX) => tile_of_few_rows::<S, P, W>(rows, chunks),
        (1, 3) => S::enter::<Tile<3, P, 1, W>>,
        (1, 4) => S::enter::<Tile<4, P, 1, W>>,
        (1, 5) => S::enter::<Tile<5, P, 1, W>>,
        (1, 6) => S::enter::<Tile<6, P, 1, W>>,
        (1, 7) => S::enter::<Tile<7, P, 1, W>>,
        (1, 8) => S::enter::<Tile<8, P, 1, W>>,
        (1, 9) => S::enter::<Tile<9, P, 1, W>>,
        (1, 10) => S::enter::<Tile<10, P, 1, W>>,
        (1, 11) => S::enter::<Tile<11, P, 1, W>>,
        (1, 12) => S::enter::<Tile<12, P, 1, W>>,
        (2, 3) => S::enter::<Tile<3, P, 2, W>>,
        (2, 4) => S::enter::<Tile<4, P, 2, W>>,
        (2, 5) => S::enter::<Tile<5, P, 2, W>>,
        (2, 6) => S::enter::<Tile<6, P, 2, W>>,
        (4, 3) => S::enter::<Tile<3, P, 4, W>>,
        _ => unreachable!("no tile of {rows} rows takes {chunks} chunks at once"),
    }
}

fn tile_of_few_rows<S, const P: usize, W>(rows: usize, chunks: usize) -> TileFn
where
    S: Simd,
    W: Weights<S>,
{
    match (chunks, rows) {
        (1, 1) => S::enter::<Tile<1, P, 1, W>>,
        (1, 2) => S::enter::<Tile<2, P, 1, W>>,
        (2, 1) => S::enter::<Tile<1, P, 2, W>>,
        (2, 2) => S::enter::<Tile<2, P, 2, W>>,
        (4, 1) => S::enter::<Tile<1, P, 4, W>>,
        (4, 2) => S::enter::<Tile<2, P, 4, W>>,
        _ => unreachable!("no tile of {rows} rows takes {chunks} chunks at once"),
    }
}

/// Weights in memory: see [`Stored`].
trait Weights<S: Simd> {
    /// The `index`th vector of weights from `start` on.
    ///
    /// # Safety
    /// It may be read.
    unsafe fn load(simd: S, start: *const u8, index: usize) -> S::V;

    /// `sum`, plus the product of `x` and `weights`.
    #[inline(always)]
    fn add_product(simd: S, sum: S::V, x: S::V, weights: S::V) -> S::V {
        simd.fma(x, weights, sum)
    }
}

struct F32;
struct F16;
struct Bf16;
struct Pairs;

impl<S: Simd> Weights<S> for F32 {
    #[inline(always)]
    unsafe fn load(simd: S, start: *const u8, index: usize) -> S::V {
        // SAFETY: as the caller promises.
        unsafe { simd.load(start.cast::<f32>().add(index * S::LANES)) }
    }
}

impl<S: Simd> Weights<S> for F16 {
    #[inline(always)]
    unsafe fn load(simd: S, start: *const u8, index: usize) -> S::V {
        // SAFETY: as the caller promises.
        unsafe { simd.load_f16(start.cast::<u16>().add(index * S::LANES)) }
    }
}

impl<S: Simd> Weights<S> for Bf16 {
    #[inline(always)]
    unsafe fn load(simd: S, start: *const u8, index: usize) -> S::V {
        // SAFETY: as the caller promises.
        unsafe { simd.load_bf16(start.cast::<u16>().add(index * S::LANES)) }
    }
}

impl<D: PairDot> Weights<D> for Pairs {
    #[inline(always)]
    unsafe fn load(dot: D, start: *const u8, index: usize) -> D::V {
        // SAFETY: as the caller promises.
        unsafe { dot.load(start.cast::<f32>().add(index * D::LANES)) }
    }

    #[inline(always)]
    fn add_product(dot: D, sum: D::V, x: D::V, weights: D::V) -> D::V {
        dot.dot(sum, x, weights)
    }
}

struct Tile<const R: usize, const P: usize, const C: usize, W>(PhantomData<W>);

impl<S, const R: usize, const P: usize, const C: usize, W> Kernel<S> for Tile<R, P, C, W>
where
    S: Simd,
    W: Weights<S>,
{
    type Job = TileJob;

    /// Reads `R` rows of `C` chunks and the tail, their weights in `P` panels and `P` vectors of
    /// bias; reads (unless it begins) and writes `R` rows of `P` vectors.
    #[inline(always)]
    unsafe fn run(simd: S, job: &TileJob) {
        if const { R * P * C > S::SUMS || P > S::PANELS } {
            unreachable!("a tile with more sums than registers is never chosen");
        }
        debug_assert!(job.x_stride >= job.chunk * C + job.tail || R == 1, "rows overlap");
        // SAFETY: the caller promises the memory that the documentation above names.
        unsafe {
            let mut sums = chunk_sums::<S, R, P, C, W>(simd, job);
            add_tail::<S, R, P, C, W>(simd, job, &mut sums);
            finish::<S, R, P, C>(simd, job, &sums);
        }
    }
}

/// `[chunk][row][panel]`
type Sums<V, const R: usize, const P: usize, const C: usize> = [[[V; P]; R]; C];

/// The sums of this call's chunks without the tail.
///
/// # Safety
/// As [`Tile`]'s kernel.
#[inline(always)]
unsafe fn chunk_sums<S: Simd, const R: usize, const P: usize, const C: usize, W: Weights<S>>(
    simd: S,
    job: &TileJob,
) -> Sums<S::V, R, P, C> {
    let mut sums = [[[simd.splat(0.0); P]; R]; C];
    let whole = job.chunk - job.chunk % S::INPUTS;
    for first in (0..whole).step_by(S::INPUTS) {
        for k in first..first + S::INPUTS {
            // SAFETY: a chunk has so many inputs.
            unsafe { add_inputs::<S, R, P, C, W>(simd, job, k, &mut sums) };
        }
    }
    for k in whole..job.chunk {
        // SAFETY: as above.
        unsafe { add_inputs::<S, R, P, C, W>(simd, job, k, &mut sums) };
    }
    sums
}

/// Adds input `k` of every chunk.
///
/// # Safety
/// As [`Tile`]'s kernel; chunks have so many inputs.
#[inline(always)]
unsafe fn add_inputs<S: Simd, const R: usize, const P: usize, const C: usize, W: Weights<S>>(
    simd: S,
    job: &TileJob,
    k: usize,
    sums: &mut Sums<S::V, R, P, C>,
) {
    // A tile that takes several chunks at once is the only one of its batch.
    if C == 1 {
        simd.prefetch(job.ahead.start.wrapping_add(k * job.ahead.bytes));
    }
    for (c, sums) in sums.iter_mut().enumerate() {
        // SAFETY: input `c * chunk + k` is one of the chunks'.
        unsafe { add_input::<S, R, P, W>(simd, job, c * job.chunk + k, sums) };
    }
}

/// Adds the tail to the last chunk's sums.
///
/// # Safety
/// As [`Tile`]'s kernel.
#[inline(always)]
unsafe fn add_tail<S: Simd, const R: usize, const P: usize, const C: usize, W: Weights<S>>(
    simd: S,
    job: &TileJob,
    sums: &mut Sums<S::V, R, P, C>,
) {
    for k in 0..job.tail {
        // SAFETY: the tail's inputs follow those of the chunks.
        unsafe { add_input::<S, R, P, W>(simd, job, C * job.chunk + k, &mut sums[C - 1]) };
    }
}

/// Adds input `k` of every row, times its weights, to the sums of its chunk.
///
/// # Safety
/// As [`Tile`]'s kernel; `k` is one of the call's inputs.
#[inline(always)]
unsafe fn add_input<S: Simd, const R: usize, const P: usize, W: Weights<S>>(
    simd: S,
    job: &TileJob,
    k: usize,
    sums: &mut [[S::V; P]; R],
) {
    // Where no tile has more than two panels, those that lie side by side are the tile's own.
    let side_by_side = if const { S::PANELS > 2 } { job.side_by_side } else { P };
    // SAFETY: the caller promises that `k` is an input of this call; panels hold `LANES` weights an
    // input.
    let weights: [S::V; P] =
        std::array::from_fn(|p| unsafe { W::load(simd, job.weight, k * side_by_side + p) });
    for (r, sums) in sums.iter_mut().enumerate() {
        // SAFETY: as above, of row `r`.
        let x = simd.splat(unsafe { *job.x.add(r * job.x_stride + k) });
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = W::add_product(simd, *sum, x, weights);
        }
    }
}

/// Adds the chunks' sums to those so far, applies the epilogue if it is time, and writes.
///
/// # Safety
/// As [`Tile`]'s kernel.
#[inline(always)]
unsafe fn finish<S: Simd, const R: usize, const P: usize, const C: usize>(
    simd: S,
    job: &TileJob,
    sums: &Sums<S::V, R, P, C>,
) {
    for p in 0..P {
        for r in 0..R {
            // SAFETY: the caller promises `R` rows of `P` vectors of output and `P` of bias.
            unsafe {
                let y = job.y.add(r * job.y_stride + p * S::LANES);
                let mut sum = sums[0][r][p];
                if !job.begin {
                    sum = simd.add(simd.load(y), sum);
                }
                for chunk in &sums[1..] {
                    sum = simd.add(sum, chunk[r][p]);
                }
                if let Some(epilogue) = &job.epilogue {
                    sum = epilogue.apply(simd, sum, p);
                }
                simd.store(y, sum);
            }
        }
    }
}
