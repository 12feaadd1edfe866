//! What a launch knows about its stage: one block of bytes, laid out when a plan is loaded.
//!
//! `kernels/stage.cuh` says what lies where, and reads it; the two files are read together. Numbers
//! are of the machine's own order, which is little-endian wherever there is a driver.

use half::{bf16, f16};

use super::special::Fixed;
use crate::model::{Activation, Head};
use crate::plan::{InputType, Plan, PlannedLayer, Precision, Stage};

/// Bytes of `Stage` without its layers, and of `Layer`.
const STAGE_BYTES: usize = 32;
const LAYER_BYTES: usize = 48;
/// Inputs in a chunk, outputs in a tile.
pub(super) const CHUNK: usize = 16;
pub(super) const TILE: usize = 8;
/// The words of `Layer` that are floats: the activation's parameters and the scale.
const FLOATS: [usize; 3] = [7, 8, 9];
/// What the parts of a block begin on.
const ALIGN: usize = 16;
/// Lanes that hold a fragment, and weights in each.
const LANES: usize = 32;
const WEIGHTS: usize = 4;

/// The bytes of a row that a stage reads.
pub(super) fn row_bytes(plan: &Plan, stage: &Stage) -> usize {
    let first = plan.layers_of(stage).first();
    let values = first.map_or(plan.classes(), |layer| layer.inputs);
    values * input(stage).unwrap_or(plan.input()).bytes()
}

/// The type of the rows that a stage reads, where they are not the caller's.
fn input(stage: &Stage) -> Option<InputType> {
    (stage.layers.start > 0).then_some(InputType::F32)
}

/// The type of the rows that a stage reads.
pub(super) fn input_of(plan: &Plan, stage: &Stage) -> InputType {
    input(stage).unwrap_or(plan.input())
}

/// The type of a stage's weights: the plan's, but f32 where no kernel multiplies the rows by those.
pub(super) fn weights_of(plan: &Plan, stage: &Stage) -> Precision {
    plan.precision().beside(input_of(plan, stage))
}

/// Values of a row that a stage writes.
pub(super) fn width(plan: &Plan, stage: &Stage) -> usize {
    plan.layers_of(stage).last().map_or(plan.classes(), |layer| layer.outputs)
}

/// Whole chunks of a layer's inputs.
pub(super) fn chunks(layer: &PlannedLayer) -> usize {
    layer.inputs.div_ceil(CHUNK)
}

/// Whole tiles of a layer's outputs; an even number, because panels are two tiles.
pub(super) fn tiles(layer: &PlannedLayer) -> usize {
    layer.outputs_padded / TILE
}

/// Room of a warp of `fused_mlp` for its rows: how many chunks of them it brings on chip at once,
/// and how many such steps it has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) step: usize,
    pub(super) depth: usize,
}

/// Where the parts of a block begin.
#[derive(Debug)]
pub(super) struct Layout {
    /// For each layer, where its biases and its weights begin.
    parts: Vec<(usize, usize)>,
    /// All of them.
    pub(super) bytes: usize,
}

impl Layout {
    /// Lays the block of a stage out.
    pub(super) fn new(plan: &Plan, stage: &Stage) -> Layout {
        let layers = plan.layers_of(stage);
        let mut end = STAGE_BYTES + layers.len() * LAYER_BYTES;
        let mut part = |bytes: usize| {
            let start = end;
            end += bytes.next_multiple_of(ALIGN);
            start
        };
        let biases: Vec<usize> = layers.iter().map(|layer| part(tiles(layer) * TILE * 4)).collect();
        let size = weights_of(plan, stage).bytes();
        let weights =
            layers.iter().map(|layer| part(chunks(layer) * tiles(layer) * LANES * WEIGHTS * size));
        let parts = biases.into_iter().zip(weights).collect();
        Layout { parts, bytes: end }
    }

    /// The words of `Stage`, but for its layers.
    fn header(&self, plan: &Plan, stage: &Stage, room: Option<Room>) -> [u32; STAGE_BYTES / 4] {
        let row_bytes = row_bytes(plan, stage);
        let words = [
            plan.layers_of(stage).len(),
            self.bytes,
            row_bytes,
            width(plan, stage),
            head_code(stage.head),
            room.map_or(0, |room| room.step),
            room.map_or(0, |room| room.depth),
            [16, 8, 4, 2].into_iter().find(|piece| row_bytes.is_multiple_of(*piece)).unwrap_or(1),
        ];
        words.map(|word| word as u32)
    }

    /// The stage as a compiler is told it; `None` where it has a number that C++ has no literal
    /// for, an infinite bound, or no layers.
    pub(super) fn fixed(&self, plan: &Plan, stage: &Stage, room: Option<Room>) -> Option<Fixed> {
        let layers = plan.layers_of(stage);
        let header = self.header(plan, stage, room).map(|word| format!("{word}u")).join(", ");
        let mut listed = Vec::new();
        for (layer, (bias, weights)) in layers.iter().zip(&self.parts) {
            let words = layer_words(layer, *bias, *weights).into_iter().enumerate();
            let words: Option<Vec<_>> = words.map(|(index, word)| literal(index, word)).collect();
            listed.push(format!("{{{}}}", words?.join(", ")));
        }
        let value = format!("{{{header}, {{{}}}}}", listed.join(", "));
        (!layers.is_empty()).then_some(Fixed { layers: layers.len(), value })
    }

    /// The block of a stage, at the start of `block`, which is zero; `room` is what `fused_mlp` has
    /// for its rows, where it runs the stage.
    pub(super) fn write(&self, plan: &Plan, stage: &Stage, room: Option<Room>, block: &mut [u8]) {
        let layers = plan.layers_of(stage);
        write_words(self.header(plan, stage, room), &mut block[..STAGE_BYTES]);
        for (index, (layer, (bias, weights))) in layers.iter().zip(&self.parts).enumerate() {
            let words = layer_words(layer, *bias, *weights);
            write_words(words, &mut block[STAGE_BYTES + index * LAYER_BYTES..][..LAYER_BYTES]);
            let biases = &plan.parameters()[layer.bias.clone()];
            block[*bias..][..biases.len()].copy_from_slice(biases);
            let to = &mut block[*weights..];
            write_fragments(plan, weights_of(plan, stage), layer, index == 0, to);
        }
    }
}

fn layer_words(layer: &PlannedLayer, bias: usize, weights: usize) -> [u32; LAYER_BYTES / 4] {
    let [first, second] = layer.activation.parameters();
    [
        layer.inputs as u32,
        layer.outputs as u32,
        chunks(layer) as u32,
        tiles(layer) as u32,
        weights as u32,
        bias as u32,
        activation_code(layer.activation),
        first.to_bits(),
        second.to_bits(),
        layer.scale.to_bits(),
        0,
        0,
    ]
}

/// A word of a layer in C++; `None` where it is no finite number.
fn literal(index: usize, word: u32) -> Option<String> {
    if !FLOATS.contains(&index) {
        return Some(format!("{word}u"));
    }
    let value = f32::from_bits(word);
    // In double precision, of which it is exactly an f32 that every compiler rounds to.
    value.is_finite().then(|| format!("{:?}f", f64::from(value)))
}

/// An activation's number in `kernels/activation.cuh`: its place in [`Activation::ALL`].
fn activation_code(activation: Activation) -> u32 {
    let name = activation.name();
    // Every activation is among all of them.
    Activation::ALL.iter().position(|known| known.name() == name).unwrap_or(0) as u32
}

fn head_code(head: Head) -> usize {
    match head {
        Head::Logits => 0,
        Head::Softmax => 1,
        Head::LogSoftmax => 2,
    }
}

fn write_words<const N: usize>(words: [u32; N], bytes: &mut [u8]) {
    for (word, bytes) in words.iter().zip(bytes.chunks_exact_mut(4)) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// The input of a chunk whose weight a lane holds at `i`: four neighbours in a stage's first layer;
/// in the others, whose inputs come as sums of two tiles, two of each.
fn input_at(is_first: bool, t: usize, i: usize) -> usize {
    if is_first { 4 * t + i } else { 8 * (i / 2) + 2 * t + i % 2 }
}

/// Moves a layer's weights from the plan's panels to fragments; what is past them stays zero.
fn write_fragments(
    plan: &Plan,
    written: Precision,
    layer: &PlannedLayer,
    is_first: bool,
    to: &mut [u8],
) {
    let (size, panel) = (plan.precision().bytes(), plan.limits().panel);
    let size_written = written.bytes();
    let from = &plan.parameters()[layer.weight.clone()];
    let lanes = to.chunks_exact_mut(WEIGHTS * size_written).enumerate();
    for (index, weights) in lanes.take(chunks(layer) * tiles(layer) * LANES) {
        let (fragment, lane) = (index / LANES, index % LANES);
        let (chunk, tile) = (fragment / tiles(layer), fragment % tiles(layer));
        let output = tile * TILE + lane / 4;
        let panel_start = output / panel * layer.inputs * panel + output % panel;
        for (i, weight) in weights.chunks_exact_mut(size_written).enumerate() {
            let k = chunk * CHUNK + input_at(is_first, lane % 4, i);
            if k < layer.inputs {
                let at = (panel_start + k * panel) * size;
                write_weight(&from[at..at + size], plan.precision(), weight);
            }
        }
    }
}

/// Writes one weight: as it is, or a half as the f32 that it is.
fn write_weight(from: &[u8], precision: Precision, to: &mut [u8]) {
    match (precision, from) {
        (Precision::F16, [a, b]) if to.len() == 4 => {
            to.copy_from_slice(&f16::from_le_bytes([*a, *b]).to_f32().to_le_bytes());
        }
        (Precision::Bf16, [a, b]) if to.len() == 4 => {
            to.copy_from_slice(&bf16::from_le_bytes([*a, *b]).to_f32().to_le_bytes());
        }
        _ => to.copy_from_slice(from),
    }
}
