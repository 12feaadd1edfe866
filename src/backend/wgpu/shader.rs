//! From a stage of a plan to the text of its shader: the files under `shaders/`, which hold the
//! algorithms, behind a prelude, which holds the stage's sizes, types and activations.

use std::fmt::Write;

use crate::model::Head;
use crate::plan::{InputType, Plan, PlannedLayer, Precision, Stage, StageKind};

/// Workgroup storage every device has, in bytes: the 16 KiB of WebGPU less what GL and DX11 keep.
const WORKGROUP_STORAGE_BYTES: usize = 16_352;
/// The same in vectors of four f32, the unit of all workgroup storage here.
const STORAGE: usize = WORKGROUP_STORAGE_BYTES / 16;
/// The most quads of inputs brought on chip at once: 128 bytes a row, the line of most caches.
const CHUNK_MAX: usize = 8;
/// The fewest rows a fused tile holds: with fewer, reading the weights costs more than it saves.
pub(super) const TILE_ROWS_MIN: usize = 16;
/// The most rows a tile holds; also the rows, and the outputs, of a dense tile.
pub(super) const TILE_ROWS_MAX: usize = 64;
/// What a fused tile may use for activations: a quarter of the storage stays for staged weights,
/// and of the rest each quad of values takes one vector of padding (see `quad_stride`).
pub(super) const ACTIVATION_BYTES: usize =
    WORKGROUP_STORAGE_BYTES * 3 / 4 * TILE_ROWS_MIN / (TILE_ROWS_MIN + 1);
/// Rows and outputs of a block, and values of a quad.
const BLOCK: usize = 4;

/// The sizes of one launch, from which its shader and its grid follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Groups of four rows in a tile.
    groups: usize,
    /// Panels of four outputs in a tile.
    panels: usize,
    /// Quads of inputs brought on chip at once.
    chunk: usize,
    /// Vectors of workgroup storage for rows and activations.
    on_chip: usize,
    /// Threads of a workgroup.
    threads: usize,
    /// Tiles side by side that together make all outputs.
    tiles_across: usize,
    /// Rows of a tile.
    tile_rows: usize,
}

impl Shape {
    /// The shape of a stage's launch.
    pub(super) fn of(plan: &Plan, stage: &Stage) -> Shape {
        match stage.kind {
            StageKind::Fused => Shape::fused(stage.tile_rows, plan.layers_of(stage)),
            StageKind::Dense => Shape::dense(plan.layers_of(stage)),
            StageKind::Head => Shape {
                groups: 0,
                panels: 0,
                chunk: 0,
                on_chip: 0,
                threads: 64,
                tiles_across: 1,
                tile_rows: 1,
            },
        }
    }

    /// One thread for every block of the widest layer.
    fn fused(tile_rows: usize, layers: &[PlannedLayer]) -> Shape {
        let groups = tile_rows / BLOCK;
        let panels = layers.iter().map(|layer| layer.outputs_padded / BLOCK).max().unwrap_or(1);
        // Two halves, each with room for the widest activations and for a chunk of input.
        let on_chip = |chunk: usize| 2 * panels.max(chunk) * quad_stride(groups);
        let fits = |chunk: &usize| on_chip(*chunk) + panels * quad_stride(*chunk) <= STORAGE;
        let chunk = (1..=CHUNK_MAX).rev().find(fits).unwrap_or(1);
        Shape {
            groups,
            panels,
            chunk,
            on_chip: on_chip(chunk),
            threads: groups * panels,
            tiles_across: 1,
            tile_rows,
        }
    }

    /// One thread for every two by two blocks.
    fn dense(layers: &[PlannedLayer]) -> Shape {
        let (groups, panels, chunk) = (TILE_ROWS_MAX / BLOCK, TILE_ROWS_MAX / BLOCK, 4);
        let outputs = layers.iter().map(|layer| layer.outputs).sum::<usize>();
        Shape {
            groups,
            panels,
            chunk,
            on_chip: chunk * quad_stride(groups),
            threads: groups / 2 * (panels / 2),
            tiles_across: outputs.div_ceil(TILE_ROWS_MAX),
            tile_rows: TILE_ROWS_MAX,
        }
    }

    /// Workgroup storage of the launch.
    #[cfg(test)]
    pub(super) fn storage_bytes(&self) -> usize {
        (self.on_chip + self.panels * quad_stride(self.chunk)) * 16
    }

    #[cfg(test)]
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Workgroups that together cover `rows` rows.
    pub(super) fn workgroups(&self, rows: usize) -> usize {
        rows.div_ceil(self.tile_rows) * self.tiles_across
    }
}

/// Vectors from a quad to the next on chip: four for each of `n`, and one against bank conflicts.
fn quad_stride(n: usize) -> usize {
    BLOCK * n + 1
}

/// The text of a stage's shader. `input` is the type of the rows it reads; `output_stride` is the
/// number of values from a row it writes to the next.
pub(super) fn source(
    plan: &Plan,
    stage: &Stage,
    shape: &Shape,
    input: InputType,
    output_stride: usize,
) -> String {
    let mut text = String::new();
    let layers = plan.layers_of(stage);
    for (name, value) in [
        ("GROUPS", shape.groups),
        ("PANELS", shape.panels),
        ("CHUNK", shape.chunk),
        ("ON_CHIP", shape.on_chip),
        ("THREADS", shape.threads),
        ("LAYERS", layers.len().max(1)),
        ("OUTPUT_STRIDE", output_stride),
    ] {
        line(&mut text, &format!("const {name} = {value}u;"));
    }
    line(&mut text, &format!("const HEAD = {};", stage.head != Head::Logits));
    line(&mut text, &format!("const SOFTMAX = {};", stage.head == Head::Softmax));
    text.push_str(unpack_input(input));
    text.push_str(unpack_weights(plan.precision()));
    text.push_str(include_str!("../../../shaders/batch.wgsl"));
    if stage.kind != StageKind::Head {
        text.push_str(&activate(layers));
        text.push_str(include_str!("../../../shaders/activation.wgsl"));
        text.push_str(include_str!("../../../shaders/tile.wgsl"));
    }
    text.push_str(match stage.kind {
        StageKind::Fused => include_str!("../../../shaders/fused_mlp.wgsl"),
        StageKind::Dense => include_str!("../../../shaders/dense.wgsl"),
        StageKind::Head => include_str!("../../../shaders/head.wgsl"),
    });
    text
}

/// The bytes of the shader's `layers`: eight words each, at least one.
pub(super) fn layer_table(plan: &Plan, stage: &Stage) -> Vec<u8> {
    let layers = plan.layers_of(stage);
    let names = activation_names(layers);
    let weight_quad_bytes = BLOCK * plan.precision().bytes();
    let mut words: Vec<u32> = Vec::new();
    for layer in layers {
        let name = layer.activation.name();
        let activation = names.iter().position(|known| *known == name).unwrap_or(0);
        let [first, second] = layer.activation.parameters();
        let weight = layer.weight.start / weight_quad_bytes;
        let bias = layer.bias.start / 16;
        words.extend([layer.inputs, layer.outputs, weight, bias, activation].map(|n| n as u32));
        words.extend([layer.scale, first, second].map(f32::to_bits));
    }
    words.resize(words.len().max(8), 0);
    bytemuck::cast_slice(&words).to_vec()
}

/// `activate`: a switch over the activations the layers have, and no others.
fn activate(layers: &[PlannedLayer]) -> String {
    let mut text = String::new();
    line(&mut text, "fn activate(activation: u32, x: vec4f, parameters: vec2f) -> vec4f {");
    line(&mut text, "    switch activation {");
    let names = activation_names(layers);
    for (index, name) in names.iter().enumerate() {
        let label = if index + 1 == names.len() {
            String::from("default")
        } else {
            format!("case {index}u")
        };
        line(&mut text, &format!("        {label}: {{ return apply_{name}(x, parameters); }}"));
    }
    line(&mut text, "    }\n}");
    text
}

/// The names of the layers' activations, each once.
fn activation_names(layers: &[PlannedLayer]) -> Vec<&'static str> {
    let mut names: Vec<&str> = layers.iter().map(|layer| layer.activation.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn unpack_input(input: InputType) -> &'static str {
    match input {
        InputType::F32 => {
            "alias Input = vec4f;\n\
             fn unpack_input(x: Input) -> vec4f { return x; }\n"
        }
        InputType::U8 => {
            "alias Input = u32;\n\
             fn unpack_input(x: Input) -> vec4f { return vec4f(unpack4xU8(x)); }\n"
        }
    }
}

fn unpack_weights(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => {
            "alias Weights = vec4f;\n\
             fn unpack_weights(w: Weights) -> vec4f { return w; }\n"
        }
        Precision::F16 => {
            "alias Weights = vec2u;\n\
             fn unpack_weights(w: Weights) -> vec4f {\n    \
                 return vec4f(unpack2x16float(w.x), unpack2x16float(w.y));\n\
             }\n"
        }
        Precision::Bf16 => {
            "alias Weights = vec2u;\n\
             fn unpack_weights(w: Weights) -> vec4f {\n    \
                 return bitcast<vec4f>(vec4u(w.x << 16u, w.x, w.y << 16u, w.y) \
                                       & vec4u(0xffff0000u));\n\
             }\n"
        }
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
