//! One layer of whole numbers as the processor runs it.

#![allow(unsafe_code)]

use crate::backend::cpu::dots::{DotJob, Dots, Epilogue, LANES, Measured, Outputs};
use crate::backend::cpu::kernels::Kernels;
use crate::backend::cpu::memory::Block;
use crate::backend::cpu::passes::ActivateJob;
use crate::backend::cpu::split::Split;
use crate::model::Activation;
use crate::plan::{Plan, PlannedLayer};

/// Inputs of a group: what one instruction multiplies in each lane.
const GROUP: usize = 4;

/// Rows of bytes, and what they stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    /// The first row; whole groups may be read.
    pub(super) start: *const u8,
    /// Bytes from one row to the next.
    pub(super) stride: usize,
    /// What the bytes of each row stand for.
    pub(super) measured: Measured<*const f32, *const i32>,
    /// Whether a byte other than 0 may stand for zero.
    pub(super) zeros: bool,
    /// Whether what follows the rows is worth bringing near.
    pub(super) ahead: bool,
}

/// One layer, ready to run.
#[derive(Debug)]
pub(in crate::backend::cpu) struct Int8Layer {
    pub(super) outputs: usize,
    groups: usize,
    panels: usize,
    /// Signed bytes, panel pair by panel pair (a last odd panel alone), each
    /// `[group][panel][lane][input]`.
    weights: Block,
    /// Three times `[panel][lane]`: scales, biases, and the sums of weights as whole numbers.
    numbers: Block,
    clamp: [f32; 2],
    /// What the clamp cannot do.
    activation: Option<Activation>,
    /// Whether no output is below 0.
    pub(super) positive: bool,
}

impl Int8Layer {
    /// Takes a layer out of a plan; `None` where memory runs out.
    pub(in crate::backend::cpu) fn new(plan: &Plan, layer: &PlannedLayer) -> Option<Int8Layer> {
        let groups = layer.inputs.div_ceil(GROUP);
        let panels = layer.outputs.div_ceil(LANES);
        let mut weights = Block::new(groups * panels * LANES)?;
        let mut numbers = Block::new(3 * panels * LANES)?;
        let packed: &[i8] = bytemuck::cast_slice(&plan.parameters()[layer.weight.clone()]);
        let panel = plan.limits().panel;
        let to: &mut [i8] = bytemuck::cast_slice_mut(weights.values_mut());
        let (scales, rest) = numbers.values_mut().split_at_mut(panels * LANES);
        let (bias, sums) = rest.split_at_mut(panels * LANES);
        let sums: &mut [i32] = bytemuck::cast_slice_mut(sums);
        for output in 0..layer.outputs {
            let first = output / panel * layer.inputs * panel + output % panel;
            let weight = |input: usize| packed[first + input * panel];
            for input in 0..layer.inputs {
                to[place(panels, groups, output, input)] = weight(input);
            }
            scales[output] = layer.scale * float_at(plan, layer.scales.start, output);
            bias[output] = float_at(plan, layer.bias.start, output);
            sums[output] = (0..layer.inputs).map(|input| i32::from(weight(input))).sum();
        }
        let (clamp, activation) = match layer.activation {
            Activation::Identity => ([f32::NEG_INFINITY, f32::INFINITY], None),
            Activation::Relu => ([0.0, f32::INFINITY], None),
            Activation::Clip { min, max } => ([min, max], None),
            other => ([f32::NEG_INFINITY, f32::INFINITY], Some(other)),
        };
        let positive = clamp.iter().all(|bound| *bound >= 0.0);
        let outputs = layer.outputs;
        Some(Int8Layer { outputs, groups, panels, weights, numbers, clamp, activation, positive })
    }

    /// Values that a row of outputs takes: whole panels.
    pub(super) fn padded(&self) -> usize {
        self.panels * LANES
    }

    /// Runs `rows` rows of `x` through the layer into `y`, a row every `stride` values.
    ///
    /// A panel pair goes by tile after tile of rows, so that its weights stay in the first-level
    /// cache.
    ///
    /// # Safety
    /// `x` holds `rows` rows of the layer's inputs in whole groups, `y` has room for `rows` rows of
    /// its outputs in whole panels; the two do not overlap.
    pub(super) unsafe fn run(
        &self,
        kernels: &Kernels,
        x: &Bytes,
        y: *mut f32,
        stride: usize,
        rows: usize,
    ) {
        let dots = &kernels.dots;
        let split = Split::new(rows, dots.rows);
        for panel in (0..self.panels).step_by(2) {
            let panels = (self.panels - panel).min(2);
            let chunks = chunks(dots, split.rows(0));
            let mut job = self.job(x, panel, y, stride);
            for tile in 0..split.tiles {
                let rows = split.rows(tile);
                if x.ahead && panel == 0 {
                    job.ahead = job.x.wrapping_add(rows * x.stride);
                    job.ahead_bytes = (rows * x.stride).div_ceil(self.groups);
                }
                // SAFETY: rows and room as the caller promises; weights and numbers are the
                // layer's own, in whole panels.
                unsafe {
                    (dots.tile)(rows, panels, chunks)(&job);
                    if let Some(activation) = self.activation {
                        let (values, vectors) = (job.y, panels * LANES / kernels.lanes);
                        let job = ActivateJob { values, stride, rows, vectors, activation };
                        (kernels.activate)(&job);
                    }
                }
                job.x = job.x.wrapping_add(rows * x.stride);
                job.y = job.y.wrapping_add(rows * stride);
                let step = rows * job.rows.step;
                job.rows.steps = job.rows.steps.wrapping_add(step);
                job.rows.zeros = job.rows.zeros.wrapping_add(step);
            }
        }
    }

    /// The first tile's job, of the panels from `panel` on.
    fn job(&self, x: &Bytes, panel: usize, y: *mut f32, stride: usize) -> DotJob {
        let (numbers, all) = (self.numbers.start(), self.panels * LANES);
        let first = panel * LANES;
        let outputs = Outputs {
            scales: numbers.wrapping_add(first),
            bias: numbers.wrapping_add(all + first),
            weight_sums: numbers.wrapping_add(2 * all + first).cast(),
        };
        let [floor, ceiling] = self.clamp;
        DotJob {
            x: x.start,
            x_stride: x.stride,
            groups: self.groups,
            weight: self.weights.start().cast::<u8>().wrapping_add(first * self.groups * GROUP),
            ahead: std::ptr::null(),
            ahead_bytes: 0,
            rows: x.measured,
            y: y.wrapping_add(first),
            y_stride: stride,
            epilogue: Epilogue { outputs, zeros: x.zeros, floor, ceiling },
        }
    }
}

/// Where a weight lies among the layer's.
fn place(panels: usize, groups: usize, output: usize, input: usize) -> usize {
    let panel = output / LANES;
    let pair = panel / 2 * 2;
    let panels = (panels - pair).min(2);
    let vector = pair * groups + input / GROUP * panels + panel - pair;
    (vector * LANES + output % LANES) * GROUP + input % GROUP
}

fn float_at(plan: &Plan, start: usize, index: usize) -> f32 {
    let at = start + index * size_of::<f32>();
    bytemuck::pod_read_unaligned(&plan.parameters()[at..at + size_of::<f32>()])
}

/// Chunks for tiles of so many rows of two panels: as many as there are registers for.
fn chunks(dots: &Dots, rows: usize) -> usize {
    match dots.sums / (2 * rows) {
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}
