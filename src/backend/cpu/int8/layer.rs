//! One layer of whole numbers as the processor runs it.

#![allow(unsafe_code)]

use crate::backend::cpu::blocks::{BlockJob, Configured, GROUPS, Step, Sums, Tail};
use crate::backend::cpu::dots::{
    DotJob, Dots, Epilogue, ExactJob, FinishJob, LANES, Measured, Outputs,
};
use crate::backend::cpu::kernels::Kernels;
use crate::backend::cpu::memory::{Block, LINE};
use crate::backend::cpu::passes::ActivateJob;
use crate::backend::cpu::split::Split;
use crate::model::Activation;
use crate::plan::{Plan, PlannedLayer};

/// Inputs of a group: what one instruction multiplies in each lane.
const GROUP: usize = 4;

/// Bytes of a cache line.
const LINE_BYTES: usize = LINE * size_of::<f32>();

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
    /// The first row's values of the layer's exact inputs, as f32.
    pub(super) exact: *const f32,
    /// Values from one row of them to the next.
    pub(super) exact_stride: usize,
}

/// Inputs whose weights are f32: what they add to the sums of the others, and what follows then.
#[derive(Debug)]
struct Exact {
    inputs: Vec<usize>,
    /// `[exact input][panel][lane]`
    weights: Block,
    clamp: [f32; 2],
    activation: Option<Activation>,
}

impl Exact {
    /// Those of a planned layer; `None` where memory runs out.
    fn new(plan: &Plan, layer: &PlannedLayer, clamp: [f32; 2]) -> Option<Exact> {
        let padded = layer.outputs.next_multiple_of(LANES);
        let mut weights = Block::new(layer.exact_inputs.len() * padded)?;
        for (at, row) in weights.values_mut().chunks_exact_mut(padded).enumerate() {
            for (output, weight) in row[..layer.outputs].iter_mut().enumerate() {
                let element = at * layer.outputs_padded + output;
                *weight = layer.scale * float_at(plan, layer.exact_weights.start, element);
            }
        }
        Some(Exact { inputs: layer.exact_inputs.clone(), weights, clamp, activation: None })
    }
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
    /// For a unit that multiplies blocks, where the groups are no whole steps.
    tail: Option<TailWeights>,
    /// Three times `[panel][lane]`: scales, biases, and the sums of weights as whole numbers.
    numbers: Block,
    clamp: [f32; 2],
    /// What the clamp cannot do.
    activation: Option<Activation>,
    /// Whether no output is below 0.
    pub(super) positive: bool,
    /// Where there are such inputs; then the clamp and the activation are here alone.
    exact: Option<Exact>,
}

impl Int8Layer {
    /// Takes a layer out of a plan; `None` where memory runs out.
    pub(in crate::backend::cpu) fn new(
        plan: &Plan,
        layer: &PlannedLayer,
        kernels: &Kernels,
    ) -> Option<Int8Layer> {
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
        let has_tail = kernels.dots.blocks.is_some() && !groups.is_multiple_of(GROUPS);
        let tail = if has_tail { Some(TailWeights::new(to, groups, panels)?) } else { None };
        let (clamp, activation) = match layer.activation {
            Activation::Identity => ([f32::NEG_INFINITY, f32::INFINITY], None),
            Activation::Relu => ([0.0, f32::INFINITY], None),
            Activation::Clip { min, max } => ([min, max], None),
            other => ([f32::NEG_INFINITY, f32::INFINITY], Some(other)),
        };
        let positive = clamp.iter().all(|bound| *bound >= 0.0);
        let outputs = layer.outputs;
        let exact = match layer.exact_inputs.is_empty() {
            true => None,
            false => Some(Exact { activation, ..Exact::new(plan, layer, clamp)? }),
        };
        let (clamp, activation) = match &exact {
            Some(_) => ([f32::NEG_INFINITY, f32::INFINITY], None),
            None => (clamp, activation),
        };
        Some(Int8Layer {
            outputs,
            groups,
            panels,
            weights,
            tail,
            numbers,
            clamp,
            activation,
            positive,
            exact,
        })
    }

    /// The inputs whose values are wanted as f32, too.
    pub(super) fn exact_inputs(&self) -> &[usize] {
        self.exact.as_ref().map_or(&[], |exact| &exact.inputs)
    }

    /// Adds those inputs to the layer's sums, and applies what follows then.
    ///
    /// # Safety
    /// `x` holds `rows` rows, and `y` as many of sums in whole panels.
    unsafe fn add_exact(
        &self,
        kernels: &Kernels,
        x: &Bytes,
        y: *mut f32,
        stride: usize,
        rows: usize,
    ) {
        let Some(exact) = &self.exact else { return };
        let [floor, ceiling] = exact.clamp;
        let job = ExactJob {
            values: x.exact,
            values_stride: x.exact_stride,
            inputs: exact.inputs.len(),
            weights: exact.weights.start(),
            y,
            y_stride: stride,
            rows,
            panels: self.panels,
            floor,
            ceiling,
        };
        // SAFETY: rows and sums as the caller promises; weights are the layer's own.
        unsafe {
            (kernels.dots.exact)(&job);
            if let Some(activation) = exact.activation {
                let vectors = self.panels * LANES / kernels.lanes;
                (kernels.activate)(&ActivateJob { values: y, stride, rows, vectors, activation });
            }
        }
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
                job.rows = job.rows.after(rows);
            }
        }
        // SAFETY: as the caller promises; all sums are there.
        unsafe { self.add_exact(kernels, x, y, stride, rows) };
    }

    /// The same by a unit that multiplies blocks.
    ///
    /// # Safety
    /// As [`run`](Int8Layer::run); there are at least as many rows as the unit is configured for,
    /// and whole steps of each may be read.
    pub(super) unsafe fn run_blocks(
        &self,
        kernels: &Kernels,
        unit: &Configured<'_>,
        x: &Bytes,
        y: *mut f32,
        stride: usize,
        rows: usize,
    ) {
        let mut sums = Sums::new();
        for panel in (0..self.panels).step_by(2) {
            let panels = (self.panels - panel).min(2);
            let job = self.job(x, panel, y, stride);
            for step in unit.walk(rows) {
                let ahead = x.ahead && panel == 0;
                let block = self.block(&job, panel, unit.rows(), &step, ahead, &mut sums);
                // SAFETY: rows as the caller promises, weights are the layer's own.
                unsafe { unit.multiply(step.blocks(), panels, &block) };
                for (index, (first, again)) in step.each().enumerate() {
                    let sums = sums.row(panels, index, again);
                    let rows = unit.rows() - again;
                    let job = job.finish(sums, first + again, rows);
                    // SAFETY: the unit wrote the sums; room for outputs as the caller promises.
                    unsafe { self.finish(kernels, &job, panels) };
                }
            }
        }
        // SAFETY: as the caller promises; all sums are there.
        unsafe { self.add_exact(kernels, x, y, stride, rows) };
    }

    /// What a unit multiplies at a step of its walk: the rows and weights of a tile's job.
    fn block(
        &self,
        job: &DotJob,
        panel: usize,
        rows: usize,
        step: &Step,
        ahead: bool,
        sums: &mut Sums,
    ) -> BlockJob {
        let x = job.x.wrapping_add(step.first * job.x_stride);
        let taken = step.blocks() * rows * job.x_stride;
        let steps = self.groups.div_ceil(GROUPS);
        BlockJob {
            rows,
            x,
            x_stride: job.x_stride,
            second: step.second.unwrap_or(0),
            steps: self.groups / GROUPS,
            weight: job.weight,
            tail: self.tail.as_ref().map(|tail| Tail {
                byte: tail.byte,
                weight: tail.weights.start().wrapping_add(panel * GROUPS * LANES).cast(),
            }),
            ahead: x.wrapping_add(taken),
            ahead_lines: if ahead { taken.div_ceil(steps * LINE_BYTES) } else { 0 },
            sums: sums.start(),
        }
    }

    /// Turns the sums of some rows of a panel or two into outputs.
    ///
    /// # Safety
    /// The sums are there, and room for the outputs.
    unsafe fn finish(&self, kernels: &Kernels, job: &FinishJob, panels: usize) {
        let FinishJob { y: values, y_stride: stride, rows, .. } = *job;
        // SAFETY: as the caller promises.
        unsafe {
            (kernels.dots.finish[panels - 1])(job);
            if let Some(activation) = self.activation {
                let vectors = panels * LANES / kernels.lanes;
                let job = ActivateJob { values, stride, rows, vectors, activation };
                (kernels.activate)(&job);
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

/// The weights of a step that takes what is left of a row's groups: its last bytes, of which whole
/// steps took some, or all of a row that is less than a step.
#[derive(Debug)]
struct TailWeights {
    /// Where the step begins in each row.
    byte: usize,
    /// Panel pair by panel pair, each `[group][panel][lane][input]`.
    weights: Block,
}

impl TailWeights {
    /// Copies what the step takes out of a layer's weights; `None` where memory runs out.
    fn new(weights: &[i8], groups: usize, panels: usize) -> Option<TailWeights> {
        let (first, taken) = (groups.saturating_sub(GROUPS), groups / GROUPS * GROUPS);
        let mut tail = Block::new(GROUPS * panels * LANES)?;
        let to: &mut [i8] = bytemuck::cast_slice_mut(tail.values_mut());
        for output in 0..panels * LANES {
            for input in taken * GROUP..groups * GROUP {
                to[place(panels, GROUPS, output, input - first * GROUP)] =
                    weights[place(panels, groups, output, input)];
            }
        }
        Some(TailWeights { byte: first * GROUP, weights: tail })
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
