//! One layer as the processor runs it: weights expanded to f32, inputs split into chunks.
//!
//! Where the plan rounded weights to halves these are kept, too: a batch of few rows is bound by
//! reading weights, and reads half the bytes.
//!
//! Where the level multiplies pairs of bf16, weights of bf16 are kept as such alone. A layer is
//! then walked through as one of half the inputs, each of them a pair.

#![allow(unsafe_code)]

use std::ops::Range;

use half::{bf16, f16};

use super::blocks::{BlockJob, Configured, GROUPS, LANES, Step, Sums};
use super::kernels::Kernels;
use super::memory::{Block, LINE};
use super::passes::ActivateJob;
use super::split::Split;
use super::tile::{Ahead, Epilogue, FinishJob, HALVES_ROWS_MAX, Stored, TileJob, WIDE_ROWS_MAX};
use crate::model::Activation;
use crate::plan::{Plan, PlannedLayer, Precision};

/// The most inputs of a chunk: two panels of so many weights stay in the first-level cache while
/// tile after tile of rows goes by.
const CHUNK_MAX: usize = 256;

/// The most inputs of a layer whose chunks are too short to pay for a sum's way to memory and back.
const NARROW_MAX: usize = 64;
/// Outputs whose sums go by chunk after chunk before the next outputs do, so that the sums of many
/// rows stay in the second-level cache; a multiple of the panels side by side on any level.
const OUTPUTS_TOGETHER: usize = 512;

/// How a layer's inputs are split into sums of their own, added up in order at the end.
///
/// Depends on the layer only, never on the batch: see [`tile`](super::tile).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    /// The number of chunks, a multiple of `at_once`.
    count: usize,
    /// Chunks that a tile of one row sums at once.
    at_once: usize,
    /// Inputs of every chunk.
    inputs: usize,
    /// Inputs of the last chunk beyond those.
    tail: usize,
}

impl Chunks {
    fn of(inputs: usize) -> Chunks {
        let at_once = match inputs {
            0..16 => 1,
            16..128 => 2,
            _ => 4,
        };
        let count = at_once * inputs.div_ceil(at_once * CHUNK_MAX);
        Chunks { count, at_once, inputs: inputs / count, tail: inputs % count }
    }
}

/// Rows of f32 in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<P> {
    /// The first value.
    pub(super) start: P,
    /// Values from one row to the next.
    pub(super) stride: usize,
}

impl Matrix<*const f32> {
    /// The same rows from row `index` on.
    pub(super) fn row(self, index: usize) -> Matrix<*const f32> {
        Matrix { start: self.start.wrapping_add(index * self.stride), ..self }
    }
}

impl Matrix<*mut f32> {
    /// The same rows from row `index` on.
    pub(super) fn row(self, index: usize) -> Matrix<*mut f32> {
        Matrix { start: self.start.wrapping_add(index * self.stride), ..self }
    }

    /// The same rows, to read.
    pub(super) fn as_const(self) -> Matrix<*const f32> {
        Matrix { start: self.start, stride: self.stride }
    }
}

/// One layer, ready to run.
#[derive(Debug)]
pub(super) struct Layer {
    /// Values read, or pairs of them.
    inputs: usize,
    /// Values written.
    pub(super) outputs: usize,
    panels: usize,
    /// Panels whose weights lie side by side; in the last group fewer may be left.
    side_by_side: usize,
    chunks: Chunks,
    /// Weights, by groups of as many panels as the widest register tile has (the last of what is
    /// left), each `[input][panel][lane]`, so that this tile reads them from first to last; then
    /// `[panel][lane]` of bias.
    parameters: Block,
    /// What those weights are.
    stored: Stored,
    /// The same weights as halves, where the plan rounded them to such.
    halves: Option<(Stored, Block)>,
    scale: f32,
    clamp: [f32; 2],
    /// What the clamp cannot do.
    activation: Option<Activation>,
}

impl Layer {
    /// Takes a layer out of a plan; `None` where memory runs out.
    pub(super) fn new(plan: &Plan, layer: &PlannedLayer, kernels: &Kernels) -> Option<Layer> {
        let as_pairs = kernels.round_for(plan.precision()).is_some();
        let inputs = if as_pairs { layer.inputs.div_ceil(2) } else { layer.inputs };
        let in_blocks = kernels.blocks_for(plan.precision()).is_some();
        let inputs = if in_blocks { inputs.next_multiple_of(GROUPS) } else { inputs };
        let weights = inputs * layer.outputs_padded;
        let mut parameters = Block::new(weights + layer.outputs_padded)?;
        let (weight, bias) = parameters.values_mut().split_at_mut(weights);
        let bytes = &plan.parameters()[layer.weight.clone()];
        let packed = Packed::new(bytes, layer.inputs, kernels);
        let mut halves = None;
        let stored = match plan.precision() {
            _ if as_pairs => {
                packed.place(weight, inputs, |at| packed.pair(at));
                Stored::Pairs
            }
            Precision::F32 => {
                packed.place(weight, inputs, |at| f32::from_le_bytes(packed.number(at)));
                Stored::F32
            }
            Precision::F16 => {
                packed.place(weight, inputs, |at| f16::from_le_bytes(packed.number(at)).to_f32());
                halves = Some((Stored::F16, packed.halves()?));
                Stored::F32
            }
            Precision::Bf16 => {
                packed.place(weight, inputs, |at| bf16::from_le_bytes(packed.number(at)).to_f32());
                halves = Some((Stored::Bf16, packed.halves()?));
                Stored::F32
            }
            Precision::Int8 => unreachable!("its layers are of whole numbers"),
        };
        let (biases, _) = plan.parameters()[layer.bias.clone()].as_chunks();
        bias.iter_mut().zip(biases).for_each(|(to, bytes)| *to = f32::from_le_bytes(*bytes));
        let (clamp, activation) = match layer.activation {
            Activation::Identity => ([f32::NEG_INFINITY, f32::INFINITY], None),
            Activation::Relu => ([0.0, f32::INFINITY], None),
            Activation::Clip { min, max } => ([min, max], None),
            other => ([f32::NEG_INFINITY, f32::INFINITY], Some(other)),
        };
        Some(Layer {
            inputs,
            outputs: layer.outputs,
            panels: layer.outputs_padded / kernels.lanes,
            side_by_side: kernels.panels,
            chunks: Chunks::of(inputs),
            parameters,
            stored,
            halves,
            scale: layer.scale,
            clamp,
            activation,
        })
    }

    /// Runs `rows` rows of `x` through the layer into `y`, and brings `ahead` near meanwhile.
    ///
    /// A chunk of all rows goes by a tile's panels after a tile's panels, and a chunk of those goes
    /// by tile after tile of rows: the latter stays in the first-level cache, the former in the
    /// second.
    ///
    /// # Safety
    /// `x` holds `rows` rows of the layer's inputs, `y` has room for `rows` rows of its outputs in
    /// whole panels; the two do not overlap.
    pub(super) unsafe fn run(
        &self,
        kernels: &Kernels,
        x: Matrix<*const f32>,
        y: Matrix<*mut f32>,
        rows: usize,
        ahead: Ahead,
    ) {
        let split = Split::new(rows, self.tile_rows(kernels));
        let wide = if split.most <= WIDE_ROWS_MAX { self.side_by_side } else { 2 };
        let at_once = match kernels.sums / (wide * split.most) {
            4.. => self.chunks.at_once,
            2.. => self.chunks.at_once.min(2),
            _ => 1,
        };
        let together = (OUTPUTS_TOGETHER / kernels.lanes).min(self.panels);
        for first in (0..self.panels).step_by(together) {
            let end = self.panels.min(first + together);
            for chunk in (0..self.chunks.count).step_by(at_once) {
                for (panel, panels) in panels_of_tiles(first..end, wide) {
                    let part = Part { panel, panels, chunk, at_once };
                    let ahead = match panel {
                        0 => self.share(ahead, chunk),
                        _ => self.weights_after(&part, kernels.lanes),
                    };
                    // SAFETY: the caller's promise, passed on.
                    unsafe { self.run_part(kernels, x, y, &split, &part, ahead) };
                }
            }
        }
    }

    /// The same by a unit that multiplies blocks of pairs, whole steps of them.
    ///
    /// # Safety
    /// As [`run`](Layer::run), of pairs; there are at least as many rows as the unit is configured
    /// for, and behind each row's last pair are zeros to the end of a step.
    pub(super) unsafe fn run_blocks(
        &self,
        kernels: &Kernels,
        unit: &Configured<'_>,
        x: Matrix<*const f32>,
        y: Matrix<*mut f32>,
        rows: usize,
        ahead: Ahead,
    ) {
        let mut sums = Sums::new();
        for panel in (0..self.panels).step_by(2) {
            let panels = (self.panels - panel).min(2);
            let mut ahead = if panel == 0 { ahead } else { Ahead::NONE };
            ahead.bytes = ahead.bytes.div_ceil(rows.div_ceil(unit.rows()));
            for step in unit.walk(rows) {
                let block = self.block(x, panel, unit.rows(), &step, ahead, &mut sums);
                ahead.start = ahead.start.wrapping_add(ahead.bytes * step.blocks());
                // SAFETY: rows as the caller promises, weights are the layer's own.
                unsafe { unit.multiply(step.blocks(), panels, &block) };
                for (index, (first, again)) in step.each().enumerate() {
                    let sums = sums.row(panels, index, again).cast();
                    let (y, rows) = (y.row(first + again), unit.rows() - again);
                    // SAFETY: the unit wrote the sums; room for outputs as the caller promises.
                    unsafe { self.finish(kernels, sums, y, rows, panel, panels) };
                }
            }
        }
    }

    /// What a unit multiplies at a step of its walk.
    fn block(
        &self,
        x: Matrix<*const f32>,
        panel: usize,
        rows: usize,
        step: &Step,
        ahead: Ahead,
        sums: &mut Sums,
    ) -> BlockJob {
        let steps = self.inputs / GROUPS;
        let lines = (ahead.bytes * step.blocks()).div_ceil(steps * LINE * size_of::<f32>());
        BlockJob {
            rows,
            x: x.row(step.first).start.cast(),
            x_stride: x.stride * size_of::<f32>(),
            second: step.second.unwrap_or(0),
            steps,
            weight: self.parameters.start().wrapping_add(panel * self.inputs * LANES).cast(),
            tail: None,
            ahead: ahead.start,
            ahead_lines: lines,
            sums: sums.start(),
        }
    }

    /// Turns the sums of some rows of a panel or two into outputs.
    ///
    /// # Safety
    /// The sums are there, and room for the outputs.
    unsafe fn finish(
        &self,
        kernels: &Kernels,
        sums: *const f32,
        y: Matrix<*mut f32>,
        rows: usize,
        panel: usize,
        panels: usize,
    ) {
        let first = panel * kernels.lanes;
        let bias = self.inputs * self.panels * kernels.lanes + first;
        let bias = self.parameters.start().wrapping_add(bias);
        let [floor, ceiling] = self.clamp;
        let epilogue = Epilogue { bias, scale: self.scale, floor, ceiling };
        let (values, stride) = (y.start.wrapping_add(first), y.stride);
        // SAFETY: as the caller promises; the layer has the panels.
        unsafe {
            let job = FinishJob { sums, rows, panels, y: values, y_stride: stride, epilogue };
            (kernels.finish)(&job);
            if let Some(activation) = self.activation {
                let vectors = panels;
                (kernels.activate)(&ActivateJob { values, stride, rows, vectors, activation });
            }
        }
    }

    /// The most rows of a register tile: as many as there are registers for, but where chunks are
    /// short, so many that two chunks of two panels are summed at once and no sum goes to memory.
    fn tile_rows(&self, kernels: &Kernels) -> usize {
        if self.inputs <= NARROW_MAX { kernels.sums / 4 } else { kernels.rows }
    }

    /// The part of `ahead` that is for one chunk.
    fn share(&self, ahead: Ahead, chunk: usize) -> Ahead {
        let bytes = ahead.bytes / self.chunks.count;
        Ahead { start: ahead.start.wrapping_add(chunk * bytes), bytes }
    }

    /// The same chunk's weights in the next group of panels, or what lies there.
    fn weights_after(&self, part: &Part, lanes: usize) -> Ahead {
        let panel = (part.panel / self.side_by_side + 1) * self.side_by_side;
        let weights = panel * self.inputs + part.chunk * self.chunks.inputs * self.side_by_side;
        let start = self.parameters.start().wrapping_add(weights * lanes).cast();
        let bytes = self.chunks.inputs * self.side_by_side * lanes * size_of::<f32>();
        Ahead { start, bytes }
    }

    /// Runs all rows through some chunks of a tile's panels.
    ///
    /// # Safety
    /// As [`run`](Layer::run).
    unsafe fn run_part(
        &self,
        kernels: &Kernels,
        x: Matrix<*const f32>,
        y: Matrix<*mut f32>,
        split: &Split,
        part: &Part,
        ahead: Ahead,
    ) {
        let (lanes, first_input) = (kernels.lanes, part.chunk * self.chunks.inputs);
        let weights = self.inputs * self.panels * lanes;
        let start = self.parameters.start();
        let last = part.chunk + part.at_once == self.chunks.count;
        let step = ahead.bytes.div_ceil(split.tiles * self.chunks.inputs);
        // SAFETY: panel and input exist; biases follow the weights; rows as the caller promises.
        unsafe {
            let (stored, weight) = match &self.halves {
                Some((stored, halves)) if split.tiles == 1 && split.most <= HALVES_ROWS_MAX => {
                    (*stored, halves.start().cast::<u8>())
                }
                _ => (self.stored, start.cast()),
            };
            let within = part.panel % self.side_by_side;
            let group = part.panel - within;
            let side_by_side = self.side_by_side.min(self.panels - group);
            let before = (group * self.inputs + first_input * side_by_side + within) * lanes;
            let bias = start.add(weights + part.panel * lanes);
            let [floor, ceiling] = self.clamp;
            let mut job = TileJob {
                x: x.start.add(first_input),
                x_stride: x.stride,
                weight: weight.add(before * stored.bytes()),
                side_by_side,
                chunk: self.chunks.inputs,
                ahead: Ahead { bytes: step, ..ahead },
                tail: if last { self.chunks.tail } else { 0 },
                y: y.start.add(part.panel * lanes),
                y_stride: y.stride,
                begin: part.chunk == 0,
                epilogue: last.then_some(Epilogue { bias, scale: self.scale, floor, ceiling }),
            };
            for tile in 0..split.tiles {
                let rows = split.rows(tile);
                (kernels.tile)(rows, part.panels, part.at_once, stored)(&job);
                if last && let Some(activation) = self.activation {
                    let (values, stride, vectors) = (job.y, y.stride, part.panels);
                    (kernels.activate)(&ActivateJob { values, stride, rows, vectors, activation });
                }
                job.x = job.x.wrapping_add(rows * x.stride);
                job.y = job.y.wrapping_add(rows * y.stride);
                job.ahead.start = job.ahead.start.wrapping_add(step * self.chunks.inputs);
            }
        }
    }
}

/// The first panel of each tile, and how many the tile has: so many, and of what is left two or
/// one.
fn panels_of_tiles(panels: Range<usize>, wide: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = panels.start;
    std::iter::from_fn(move || {
        let left = panels.end - first;
        let count = if left >= wide { wide } else { left.min(2) };
        let tile = (first, count);
        first += count;
        (count > 0).then_some(tile)
    })
}

/// The panels of a tile, and the chunks that it sums at once.
struct Part {
    panel: usize,
    panels: usize,
    chunk: usize,
    at_once: usize,
}

/// A layer's packed weights, `[panel][input][lane]`.
#[derive(Clone, Copy)]
struct Packed<'a> {
    bytes: &'a [u8],
    inputs: usize,
    lanes: usize,
    /// Panels that are to lie side by side.
    side_by_side: usize,
}

/// A weight's place, or that of a pair of weights.
struct Place {
    panel: usize,
    input: usize,
    lane: usize,
}

impl<'a> Packed<'a> {
    fn new(bytes: &'a [u8], inputs: usize, kernels: &Kernels) -> Packed<'a> {
        Packed { bytes, inputs, lanes: kernels.lanes, side_by_side: kernels.panels }
    }

    /// Writes weights of so many inputs to their places, groups of panels side by side (the last of
    /// what is left): `[group][input][panel][lane]`.
    fn place<T>(&self, to: &mut [T], inputs: usize, weight: impl Fn(Place) -> T) {
        let side = self.side_by_side;
        for (group, to) in to.chunks_mut(side * inputs * self.lanes).enumerate() {
            let width = to.len() / inputs;
            for (input, row) in to.chunks_exact_mut(width).enumerate() {
                for (lane, to) in row.iter_mut().enumerate() {
                    let (panel, lane) = (side * group + lane / self.lanes, lane % self.lanes);
                    *to = weight(Place { panel, input, lane });
                }
            }
        }
    }

    /// A weight as it is stored.
    fn number<const N: usize>(&self, at: Place) -> [u8; N] {
        let (numbers, _) = self.bytes.as_chunks::<N>();
        numbers[(at.panel * self.inputs + at.input) * self.lanes + at.lane]
    }

    /// The weights of two inputs as one number's bits, with 0 for an input that there is not.
    fn pair(&self, Place { panel, input, lane }: Place) -> f32 {
        let half = |input| match input < self.inputs {
            true => u32::from(u16::from_le_bytes(self.number(Place { panel, input, lane }))),
            false => 0,
        };
        f32::from_bits(half(2 * input) | half(2 * input + 1) << 16)
    }

    /// The weights as the halves they are, placed.
    fn halves(&self) -> Option<Block> {
        // Panels hold an even number of lanes, so that two halves fill each value.
        let mut halves = Block::new(self.bytes.len() / size_of::<f32>())?;
        let to = bytemuck::cast_slice_mut(halves.values_mut());
        self.place(to, self.inputs, |at| u16::from_le_bytes(self.number(at)));
        Some(halves)
    }
}
