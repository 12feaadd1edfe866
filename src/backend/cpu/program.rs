//! The stages of a plan as the processor walks them: blocks of rows, tiles of rows, layers.

#![allow(unsafe_code)]

use std::ops::Range;

use super::blocks::{Blocks, Configured, TILE_ROWS};
use super::kernels::{Kernels, RoundFn};
use super::layer::{Layer, Matrix};
use super::memory::stride;
use super::pairs::RoundJob;
use super::passes::{HeadJob, Values, WidenJob};
use super::split::Split;
use super::tile::Ahead;
use crate::backend::Rows;
use crate::model::Head;
use crate::plan::{InputType, Plan, Stage, StageKind};

/// Bytes that the rows of a block may take between two stages.
const BETWEEN_BYTES_MAX: usize = 4 << 20;
/// The fewest rows of a block: weights are read from memory once a block.
const BLOCK_ROWS_MIN: usize = 96;
/// The most rows of a block.
const BLOCK_ROWS_MAX: usize = 960;

/// Register tiles of rows that go through a wide layer together: its weights are read from memory
/// once for all of them, and a chunk of their inputs stays in the second-level cache.
const WIDE_TILES: usize = 16;
/// Rows this many bytes apart, or a multiple, share a few sets of a cache and evict each other.
const ALIASING_BYTES: usize = 1024;

/// A run of layers that a tile of rows goes through before the next tile does.
#[derive(Debug)]
struct TileStage {
    layers: Range<usize>,
    tile_rows: usize,
    /// Values from row to row of what its layers hand to each other.
    stride: usize,
}

/// A plan's stages, unpacked.
///
/// Working memory is one block: what stages hand to each other (twice), what layers of a stage hand
/// to each other (twice), and a tile of input that was copied: narrow numbers written out as f32,
/// rows moved apart, or any numbers rounded to pairs of bf16.
#[derive(Debug)]
pub(super) struct Program {
    kernels: Kernels,
    layers: Vec<Layer>,
    stages: Vec<TileStage>,
    block_rows: usize,
    copies: bool,
    /// What makes pairs of bf16 of all that layers read, where they multiply such.
    round: Option<RoundFn>,
    /// What multiplies blocks of those pairs, where there is a unit for it.
    blocks: Option<Blocks>,
    inputs: usize,
    classes: usize,
    head: Head,
    between_stride: usize,
}

/// Where the parts of working memory start, and the values they take together.
struct Memory {
    between: [usize; 2],
    tile: [usize; 2],
    copied: usize,
    end: usize,
}

/// Rows of a block on their way, as the caller handed them over or as a stage left them.
#[derive(Clone, Copy)]
enum Source {
    Here(Matrix<*const f32>),
    ToCopy(Values),
}

impl Program {
    /// Takes the stages out of a plan; a head's own launch becomes the end of the last tile.
    pub(super) fn new(plan: &Plan, layers: Vec<Layer>, kernels: Kernels) -> Program {
        let between = stride(plan.widest_between_stages().max(plan.classes()));
        let fitting = BETWEEN_BYTES_MAX / (between * size_of::<f32>());
        let block_rows =
            fitting.clamp(BLOCK_ROWS_MIN, BLOCK_ROWS_MAX) / kernels.rows * kernels.rows;
        let round = kernels.round_for(plan.precision());
        let blocks = kernels.blocks_for(plan.precision());
        let copies = round.is_some() || plan.input() != InputType::F32 || aliases(plan.inputs());
        let stage = |stage: &Stage| {
            let widths = plan.layers_of(stage).iter().map(|layer| layer.outputs);
            let tile_rows = match stage.kind {
                StageKind::Fused if blocks.is_some() => TILE_ROWS,
                // The copy of a larger tile would not stay in the first-level cache.
                StageKind::Fused if copies && stage.layers.start == 0 => kernels.rows,
                StageKind::Fused => stage.tile_rows,
                _ => WIDE_TILES * kernels.rows,
            };
            TileStage {
                layers: stage.layers.clone(),
                tile_rows: tile_rows.min(block_rows),
                stride: widths.map(stride).max().unwrap_or(0),
            }
        };
        let with_layers = plan.stages().iter().filter(|stage| !stage.layers.is_empty());
        Program {
            stages: with_layers.map(stage).collect(),
            kernels,
            layers,
            block_rows,
            copies,
            round,
            blocks,
            inputs: plan.inputs(),
            classes: plan.classes(),
            head: plan.head(),
            between_stride: between,
        }
    }

    /// The most rows of one [`run`](Program::run) with working memory that is not to grow.
    pub(super) fn block_rows(&self) -> usize {
        self.block_rows
    }

    /// Values of working memory that so many rows take.
    pub(super) fn memory(&self, rows: usize) -> usize {
        self.layout(rows).end
    }

    fn layout(&self, rows: usize) -> Memory {
        let between = if self.stages.len() > 1 { rows * self.between_stride } else { 0 };
        let tile = self.stages.iter().map(|stage| rows.min(stage.tile_rows) * stage.stride);
        let tile = tile.max().unwrap_or(0);
        let copied = rows.min(self.stages[0].tile_rows) * self.copied_stride();
        let copied = if self.copies { copied } else { 0 };
        let tile_start = 2 * between;
        let copied_start = tile_start + 2 * tile;
        Memory {
            between: [0, between],
            tile: [tile_start, tile_start + tile],
            copied: copied_start,
            end: copied_start + copied,
        }
    }

    /// Runs `count` rows of the planned type and width, at least one, into as many rows of scores.
    ///
    /// # Safety
    /// `memory` has room for [`memory(count)`](Program::memory) values, and nobody else uses it.
    pub(super) unsafe fn run(
        &self,
        rows: Rows<'_>,
        count: usize,
        scores: &mut [f32],
        memory: *mut f32,
    ) {
        debug_assert_eq!(rows.values(), count * self.inputs);
        debug_assert_eq!(scores.len(), count * self.classes);
        let layout = self.layout(count);
        let mut source = match rows {
            Rows::F32(values) if !self.copies => {
                Source::Here(Matrix { start: values.as_ptr(), stride: self.inputs })
            }
            rows => Source::ToCopy(Values::of(rows)),
        };
        let unit = self.blocks.as_ref().map(|unit| unit.configure(count));
        let unit = unit.as_ref();
        let last = self.stages.len() - 1;
        for (index, stage) in self.stages.iter().enumerate() {
            // SAFETY: the layout keeps the parts of `memory` apart; a stage reads what the one
            // before it wrote to the other part.
            unsafe {
                let between = memory.wrapping_add(layout.between[index % 2]);
                let to = Matrix { start: between, stride: self.between_stride };
                let to_next = (index < last).then_some(to);
                let work = Work { to: to_next, unit, memory, layout: &layout };
                self.run_stage(stage, source, count, scores, &work);
                source = Source::Here(to.as_const());
            }
        }
    }

    /// Runs a stage tile by tile; the last stage's tiles end as scores.
    ///
    /// # Safety
    /// `source` holds `count` rows, and `work` is laid out for as many.
    unsafe fn run_stage(
        &self,
        stage: &TileStage,
        source: Source,
        count: usize,
        scores: &mut [f32],
        work: &Work<'_>,
    ) {
        let mut start = 0;
        let mut rest = scores;
        let split = Split::new(count, stage.tile_rows);
        for tile in 0..split.tiles {
            let rows = split.rows(tile);
            // SAFETY: tiles lie within the rows; the caller's promise covers the rest.
            unsafe {
                let x = self.tile_source(source, start, rows, work);
                let to = work.to.map(|to| to.row(start));
                let ahead = self.ahead(source, start + rows, count, rows);
                let y = self.run_layers(stage, x, to, rows, ahead, work);
                if work.to.is_none() {
                    let (now, later) = rest.split_at_mut(rows * self.classes);
                    self.finish(y, now);
                    rest = later;
                }
            }
            start += rows;
        }
    }

    /// The rows of a tile as numbers: where they lie, or copied.
    ///
    /// # Safety
    /// `source` holds the tile's rows, and `work` is laid out for them.
    unsafe fn tile_source(
        &self,
        source: Source,
        start: usize,
        rows: usize,
        work: &Work<'_>,
    ) -> Matrix<*const f32> {
        let values = match source {
            Source::Here(matrix) => return matrix.row(start),
            Source::ToCopy(values) => values.after(start * self.inputs),
        };
        let (width, stride) = (self.inputs, self.copied_stride());
        let copy = work.memory.wrapping_add(work.layout.copied);
        // SAFETY: the rows are the caller's; the layout has room for a tile of them.
        unsafe {
            if let Some(round) = self.round {
                let (pairs, pairs_stride) = (copy, stride);
                // Layers bring the rows of later tiles near.
                let far = start == 0;
                round(&RoundJob { values, stride: width, width, rows, far, pairs, pairs_stride });
            } else {
                (self.kernels.widen)(&WidenJob { from: values, width, rows, values: copy, stride });
            }
        }
        Matrix { start: copy.cast_const(), stride }
    }

    /// Values from row to row of a copied tile.
    fn copied_stride(&self) -> usize {
        stride(if self.round.is_some() { self.inputs.div_ceil(2) } else { self.inputs })
    }

    /// The source's rows from `start` on, as many as a tile has at most, but none past `count`.
    fn ahead(&self, source: Source, start: usize, count: usize, tile_rows: usize) -> Ahead {
        let (first, row_bytes) = match source {
            Source::Here(matrix) => (matrix.start.cast(), matrix.stride * size_of::<f32>()),
            Source::ToCopy(values) => (values.start(), self.inputs * values.bytes()),
        };
        let rows = tile_rows.min(count - start);
        Ahead { start: first.wrapping_add(start * row_bytes), bytes: rows * row_bytes }
    }

    /// Runs a tile through the layers of a stage, to where the stage's results go, if anywhere, and
    /// else to a part of working memory that the next tile overwrites.
    ///
    /// # Safety
    /// `x` holds `rows` rows, `to` has room for them, and `work` is laid out for them.
    unsafe fn run_layers(
        &self,
        stage: &TileStage,
        mut x: Matrix<*const f32>,
        to: Option<Matrix<*mut f32>>,
        rows: usize,
        mut ahead: Ahead,
        work: &Work<'_>,
    ) -> Matrix<*mut f32> {
        let mut y = Matrix { start: std::ptr::null_mut(), stride: stage.stride };
        for (index, layer) in self.layers[stage.layers.clone()].iter().enumerate() {
            y = match to {
                Some(to) if index + 1 == stage.layers.len() => to,
                _ => Matrix {
                    start: work.memory.wrapping_add(work.layout.tile[index % 2]),
                    stride: stage.stride,
                },
            };
            // SAFETY: `x` is a tile of the source or of one part of working memory, `y` of another,
            // each with rows as wide as the plan's layers, which chain.
            // A layer that another follows leaves what that one reads.
            unsafe {
                match work.unit {
                    Some(unit) => layer.run_blocks(&self.kernels, unit, x, y, rows, ahead),
                    None => layer.run(&self.kernels, x, y, rows, ahead),
                }
                if let Some(round) = self.round
                    && stage.layers.start + index + 1 < self.layers.len()
                {
                    let (values, width) = (Values::F32(y.start.cast_const()), layer.outputs);
                    let (stride, pairs, pairs_stride) = (y.stride, y.start, y.stride);
                    let far = false;
                    round(&RoundJob { values, stride, width, rows, far, pairs, pairs_stride });
                }
            }
            x = y.as_const();
            ahead = Ahead::NONE;
        }
        y
    }

    /// Applies the head to the last layer's outputs and copies them out.
    ///
    /// # Safety
    /// `y` holds as many rows of whole panels as `scores` has room for.
    unsafe fn finish(&self, y: Matrix<*mut f32>, scores: &mut [f32]) {
        let rows = scores.len() / self.classes;
        if self.head != Head::Logits {
            let (classes, head) = (self.classes, self.head);
            let job = HeadJob { values: y.start, stride: y.stride, rows, classes, head };
            // SAFETY: `y` holds so many rows of whole panels, and the stride covers them.
            unsafe { (self.kernels.head)(&job) };
        }
        for (row, scores) in scores.chunks_exact_mut(self.classes).enumerate() {
            // SAFETY: as above; nothing writes to `y` now.
            let from = unsafe { std::slice::from_raw_parts(y.row(row).start, self.classes) };
            scores.copy_from_slice(from);
        }
    }
}

/// Whether rows of `inputs` values, one right after the other, evict each other from cache.
fn aliases(inputs: usize) -> bool {
    (inputs * size_of::<f32>()).is_multiple_of(ALIASING_BYTES)
}

/// Where one stage works.
struct Work<'a> {
    /// Where its results go; `None` for the last stage.
    to: Option<Matrix<*mut f32>>,
    /// What multiplies blocks, ready for the batch.
    unit: Option<&'a Configured<'a>>,
    memory: *mut f32,
    layout: &'a Memory,
}
