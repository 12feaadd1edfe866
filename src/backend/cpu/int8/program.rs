//! A plan of whole numbers as the processor walks it: tiles of rows, layers.

#![allow(unsafe_code)]

use super::layer::{Bytes, Int8Layer};
use crate::backend::Rows;
use crate::backend::cpu::blocks::{Configured, STEP_BYTES, TILE_ROWS};
use crate::backend::cpu::dots::{MeasureJob, Measured, Measures};
use crate::backend::cpu::kernels::Kernels;
use crate::backend::cpu::memory::{LINE, stride};
use crate::backend::cpu::passes::{HeadJob, Values, WidenJob};
use crate::backend::cpu::split::Split;
use crate::model::Head;
use crate::plan::{InputType, Plan};

/// The most rows of one run, whose length costs nothing.
const BLOCK_ROWS: usize = 1 << 16;
/// Bytes of a tile's rows: half of a usual first-level cache, or of a second-level one where
/// weights do not stay in that and are read from further away once a tile.
const TILE_BYTES: [usize; 2] = [24 << 10, 512 << 10];
/// Bytes of weights past which they do not stay in the second-level cache.
const WEIGHTS_NEAR_MAX: usize = 256 << 10;
/// Register tiles in a tile of rows.
const REGISTER_TILES_MAX: usize = 16;
/// Rows of bytes this far apart, or a multiple, share a set of a first-level cache and evict each
/// other.
const ALIASING_BYTES: usize = 1024;

/// A plan's layers, unpacked.
///
/// Working memory is one block: what a layer writes, what that is as bytes, what the bytes stand
/// for, a row of input that was widened, and the values of inputs whose weights are exact.
#[derive(Debug)]
pub(in crate::backend::cpu) struct Int8Program {
    kernels: Kernels,
    layers: Vec<Int8Layer>,
    tile_rows: usize,
    inputs: usize,
    input: InputType,
    classes: usize,
    head: Head,
    /// The step and the zero of rows of bytes: a byte stands for itself, times the layer's scale.
    own: (f32, i32),
    /// Whether the first layer reads rows of bytes where the caller has them.
    in_place: bool,
    /// Values from row to row of what layers write.
    stride: usize,
    /// Values, four bytes each, from row to row of bytes.
    bytes_stride: usize,
    /// Values from row to row of those of exact inputs; 0 where no layer has such.
    exact_stride: usize,
}

/// Where the parts of working memory start, and the values they take together.
struct Memory {
    outputs: usize,
    bytes: usize,
    steps: usize,
    zeros: usize,
    widened: usize,
    exact: usize,
    end: usize,
}

impl Int8Program {
    /// Takes the layers of a plan.
    pub(in crate::backend::cpu) fn new(
        plan: &Plan,
        layers: Vec<Int8Layer>,
        kernels: Kernels,
    ) -> Int8Program {
        let (inputs, input) = (plan.inputs(), plan.input());
        let in_place = input == InputType::U8
            && inputs.is_multiple_of(4)
            && !inputs.is_multiple_of(ALIASING_BYTES)
            // A unit that multiplies blocks reads a whole step of each row.
            && (kernels.dots.blocks.is_none() || inputs >= STEP_BYTES);
        let last = layers.len() - 1;
        let hidden = layers[..last].iter().map(Int8Layer::padded).max().unwrap_or(0);
        let as_bytes = if in_place { hidden } else { hidden.max(inputs) };
        let bytes_stride = if as_bytes == 0 { 0 } else { stride(as_bytes.div_ceil(4)) };
        let stride = layers.iter().map(|layer| stride(layer.padded())).max().unwrap_or(0);
        let far = plan.parameters().len() > WEIGHTS_NEAR_MAX;
        let fitting = TILE_BYTES[usize::from(far)] / ((stride + bytes_stride) * size_of::<f32>());
        let together = if kernels.dots.blocks.is_some() { TILE_ROWS } else { kernels.dots.rows };
        let tiles = (fitting / together).clamp(1, REGISTER_TILES_MAX);
        let exact = layers.iter().map(|layer| layer.exact_inputs().len()).max().unwrap_or(0);
        Int8Program {
            tile_rows: tiles * together,
            kernels,
            layers,
            inputs,
            input,
            classes: plan.classes(),
            head: plan.head(),
            own: (1.0, 0),
            in_place,
            stride,
            bytes_stride,
            exact_stride: exact.next_multiple_of(LINE),
        }
    }

    /// The most rows of one [`run`](Int8Program::run) with working memory that is not to grow.
    pub(in crate::backend::cpu) fn block_rows(&self) -> usize {
        BLOCK_ROWS
    }

    /// Values of working memory that so many rows take.
    pub(in crate::backend::cpu) fn memory(&self, rows: usize) -> usize {
        self.layout(rows).end
    }

    fn layout(&self, rows: usize) -> Memory {
        let rows = rows.min(self.tile_rows);
        let bytes = rows * self.stride;
        let steps = bytes + rows * self.bytes_stride;
        let zeros = steps + rows.next_multiple_of(LINE);
        let widened = zeros + rows.next_multiple_of(LINE);
        let widens = matches!(self.input, InputType::F16 | InputType::Bf16);
        let exact = widened + if widens { stride(self.inputs) } else { 0 };
        let end = exact + rows * self.exact_stride;
        Memory { outputs: 0, bytes, steps, zeros, widened, exact, end }
    }

    /// Runs `count` rows of the planned type and width, at least one, into as many rows of scores.
    ///
    /// # Safety
    /// `memory` has room for [`memory(count)`](Int8Program::memory) values, and nobody else uses
    /// it.
    pub(in crate::backend::cpu) unsafe fn run(
        &self,
        rows: Rows<'_>,
        count: usize,
        scores: &mut [f32],
        memory: *mut f32,
    ) {
        debug_assert_eq!(rows.values(), count * self.inputs);
        debug_assert_eq!(scores.len(), count * self.classes);
        let layout = self.layout(count);
        let work = Work {
            outputs: memory.wrapping_add(layout.outputs),
            bytes: memory.wrapping_add(layout.bytes).cast(),
            measures: Measured {
                steps: memory.wrapping_add(layout.steps),
                zeros: memory.wrapping_add(layout.zeros).cast(),
                step: 1,
            },
            widened: memory.wrapping_add(layout.widened),
            exact: memory.wrapping_add(layout.exact),
        };
        let unit = self.kernels.dots.blocks.filter(|_| count > self.kernels.dots.rows);
        let unit = unit.as_ref().map(|unit| unit.configure(count));
        let split = Split::new(count, self.tile_rows);
        let (mut start, mut rest) = (0, scores);
        for tile in 0..split.tiles {
            let tile_rows = split.rows(tile);
            let end = start + tile_rows;
            let (now, later) = rest.split_at_mut(tile_rows * self.classes);
            // SAFETY: the layout keeps the parts of `memory` apart, each with room for a tile.
            unsafe {
                let rows = rows.slice(start..end, self.inputs);
                let x = self.first_bytes(rows, tile_rows, &work);
                self.first_exact(rows, &work);
                self.run_tile(x, tile_rows, unit.as_ref(), &work, now);
            }
            (start, rest) = (end, later);
        }
    }

    /// Runs a tile through all layers, and turns what the last one writes into scores.
    ///
    /// # Safety
    /// `x` holds `rows` rows, and `work` has room for as many.
    unsafe fn run_tile(
        &self,
        mut x: Bytes,
        rows: usize,
        unit: Option<&Configured<'_>>,
        work: &Work,
        scores: &mut [f32],
    ) {
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            // SAFETY: `x` are the caller's rows or bytes in a part of their own; every layer's
            // outputs fit the other, and its inputs are the outputs of the one before.
            unsafe {
                let (kernels, y, stride) = (&self.kernels, work.outputs, self.stride);
                match unit {
                    Some(unit) => layer.run_blocks(kernels, unit, &x, y, stride, rows),
                    None => layer.run(kernels, &x, y, stride, rows),
                }
                if index < last {
                    let source = Floats { start: work.outputs, stride: self.stride };
                    x = self.measure(source, layer.outputs, rows, layer.positive, work);
                    self.next_exact(&self.layers[index + 1], rows, work);
                }
            }
        }
        // SAFETY: the last layer wrote `rows` rows of whole panels.
        unsafe { self.finish(rows, work, scores) };
    }

    /// The rows of a tile as bytes: where they lie, or copied, or measured.
    ///
    /// # Safety
    /// `work` has room for `count` rows, which `rows` holds.
    unsafe fn first_bytes(&self, rows: Rows<'_>, count: usize, work: &Work) -> Bytes {
        let values = match rows {
            Rows::U8(bytes) => {
                let (steps, zeros) = (&raw const self.own.0, &raw const self.own.1);
                let here = Bytes {
                    start: bytes.as_ptr(),
                    stride: self.inputs,
                    measured: Measured { steps, zeros, step: 0 },
                    zeros: false,
                    ahead: true,
                    exact: work.exact.cast_const(),
                    exact_stride: self.exact_stride,
                };
                // SAFETY: as the caller promises.
                return if self.in_place { here } else { unsafe { self.copy(&here, count, work) } };
            }
            Rows::F32(values) => {
                let source = Floats { start: values.as_ptr(), stride: self.inputs };
                // SAFETY: as the caller promises.
                return unsafe { self.measure(source, self.inputs, count, false, work) };
            }
            Rows::F16(_) | Rows::Bf16(_) => Values::of(rows),
        };
        let (width, widened) = (self.inputs, work.widened);
        let mut first = None;
        for row in 0..count {
            let from = values.after(row * width);
            let job = WidenJob { from, width, rows: 1, values: widened, stride: width };
            let source = Floats { start: widened.cast_const(), stride: width };
            // SAFETY: a row is there to read, and room for one to write.
            let bytes = unsafe {
                (self.kernels.widen)(&job);
                self.measure(source, width, 1, false, &work.row(row, self.bytes_stride))
            };
            first.get_or_insert(bytes);
        }
        // At least one row.
        first.unwrap_or_else(|| unreachable!("a tile of no rows"))
    }

    /// Keeps the values of the first layer's exact inputs.
    ///
    /// # Safety
    /// `work` has room for the rows.
    unsafe fn first_exact(&self, rows: Rows<'_>, work: &Work) {
        let inputs = self.layers[0].exact_inputs();
        if inputs.is_empty() {
            return;
        }
        for row in 0..rows.values() / self.inputs {
            for (at, input) in inputs.iter().enumerate() {
                let value = row * self.inputs + input;
                let value = match rows {
                    Rows::F32(values) => values[value],
                    Rows::U8(bytes) => f32::from(bytes[value]),
                    Rows::F16(values) => values[value].to_f32(),
                    Rows::Bf16(values) => values[value].to_f32(),
                };
                // SAFETY: as the caller promises.
                unsafe { work.exact.add(row * self.exact_stride + at).write(value) };
            }
        }
    }

    /// Keeps the values of a layer's exact inputs, which the layer before it wrote.
    ///
    /// # Safety
    /// The outputs hold `rows` rows, and `work` has room for as many.
    unsafe fn next_exact(&self, layer: &Int8Layer, rows: usize, work: &Work) {
        for row in 0..rows {
            for (at, input) in layer.exact_inputs().iter().enumerate() {
                // SAFETY: as the caller promises.
                unsafe {
                    let value = *work.outputs.add(row * self.stride + input);
                    work.exact.add(row * self.exact_stride + at).write(value);
                }
            }
        }
    }

    /// Copies rows to where whole groups may be read, and away from each other.
    ///
    /// # Safety
    /// `rows` holds `count` rows, and `work` has room for as many.
    unsafe fn copy(&self, rows: &Bytes, count: usize, work: &Work) -> Bytes {
        let stride = self.bytes_stride * size_of::<f32>();
        for row in 0..count {
            // SAFETY: as the caller promises; what a group has beyond a row's end has weights of 0,
            // but is to be written once.
            unsafe {
                let to = work.bytes.add(row * stride);
                to.add(self.inputs / 4 * 4).write_bytes(0, 4);
                to.copy_from_nonoverlapping(rows.start.add(row * rows.stride), self.inputs);
            }
        }
        Bytes { start: work.bytes.cast_const(), stride, ahead: false, ..*rows }
    }

    /// Turns rows of f32 into bytes.
    ///
    /// # Safety
    /// `source` holds `rows` rows of `width` values, and `work` has room for as many of bytes.
    unsafe fn measure(
        &self,
        source: Floats,
        width: usize,
        rows: usize,
        positive: bool,
        work: &Work,
    ) -> Bytes {
        let bytes_stride = self.bytes_stride * size_of::<f32>();
        let job = MeasureJob {
            values: source.start,
            stride: source.stride,
            width,
            rows,
            positive,
            bytes: work.bytes,
            bytes_stride,
            measures: work.measures,
        };
        // SAFETY: as the caller promises; strides are whole cache lines.
        unsafe { (self.kernels.dots.measure)(&job) };
        Bytes {
            start: work.bytes.cast_const(),
            stride: bytes_stride,
            measured: work.measures.row(0),
            zeros: !positive,
            ahead: false,
            exact: work.exact.cast_const(),
            exact_stride: self.exact_stride,
        }
    }

    /// Applies the head to the last layer's outputs and copies them out.
    ///
    /// # Safety
    /// The outputs hold `rows` rows of whole panels.
    unsafe fn finish(&self, rows: usize, work: &Work, scores: &mut [f32]) {
        let (classes, stride) = (self.classes, self.stride);
        if self.head != Head::Logits {
            let (values, head) = (work.outputs, self.head);
            let job = HeadJob { values, stride, rows, classes, head };
            // SAFETY: as the caller promises.
            unsafe { (self.kernels.head)(&job) };
        }
        for (row, scores) in scores.chunks_exact_mut(classes).enumerate() {
            // SAFETY: as the caller promises; nothing writes to them now.
            let from =
                unsafe { std::slice::from_raw_parts(work.outputs.add(row * stride), classes) };
            scores.copy_from_slice(from);
        }
    }
}

/// Rows of f32 to read.
#[derive(Clone, Copy)]
struct Floats {
    start: *const f32,
    stride: usize,
}

/// The parts of working memory.
#[derive(Clone, Copy)]
struct Work {
    outputs: *mut f32,
    bytes: *mut u8,
    measures: Measures,
    widened: *mut f32,
    exact: *mut f32,
}

impl Work {
    /// The parts for bytes from row `index` on.
    fn row(&self, index: usize, bytes_stride: usize) -> Work {
        let Measured { steps, zeros, step } = self.measures;
        let (steps, zeros) = (steps.wrapping_add(index), zeros.wrapping_add(index));
        Work {
            bytes: self.bytes.wrapping_add(index * bytes_stride * size_of::<f32>()),
            measures: Measured { steps, zeros, step },
            ..*self
        }
    }
}
