//! From a stage of a plan to the text of its shader: the files under `shaders/`, which hold the
//! algorithms, behind a prelude, which holds the stage's sizes, types and activations.

use std::fmt::Write;

use super::kernel::{Kernel, Shape};
use crate::model::Head;
use crate::plan::{InputType, Plan, PlannedLayer, Precision, Stage};

/// The text of a stage's shader. `input` is the type of the rows it reads; `output_stride` is the
/// number of values from a row it writes to the next.
pub(super) fn source(
    plan: &Plan,
    stage: &Stage,
    shape: &Shape,
    input: InputType,
    output_stride: usize,
) -> String {
    let layers = plan.layers_of(stage);
    let mut text = prelude(stage.head, layers.len().max(1), shape, output_stride);
    text.push_str(unpack_input(input));
    text.push_str(unpack_weights(plan.precision()));
    text.push_str(&activate(layers));
    for part in parts(shape.kernel) {
        text.push_str(part);
    }
    text
}

/// The sizes a shader is compiled for.
fn prelude(head: Head, layers: usize, shape: &Shape, output_stride: usize) -> String {
    let mut text = String::new();
    let common = [("THREADS", shape.threads), ("LAYERS", layers), ("OUTPUT_STRIDE", output_stride)];
    for (name, value) in shape.sizes.iter().chain(&common) {
        line(&mut text, &format!("const {name} = {value}u;"));
    }
    line(&mut text, &format!("const HEAD = {};", head != Head::Logits));
    line(&mut text, &format!("const SOFTMAX = {};", head == Head::Softmax));
    text
}

/// The files that together make a kernel.
fn parts(kernel: Kernel) -> Vec<&'static str> {
    let batch = include_str!("../../../shaders/batch.wgsl");
    let activation = include_str!("../../../shaders/activation.wgsl");
    let block = include_str!("../../../shaders/block.wgsl");
    let tile = include_str!("../../../shaders/tile.wgsl");
    match kernel {
        Kernel::FusedMlp => {
            let fused_mlp = include_str!("../../../shaders/fused_mlp.wgsl");
            vec![batch, activation, block, tile, fused_mlp]
        }
        Kernel::Dense => {
            vec![batch, activation, block, tile, include_str!("../../../shaders/dense.wgsl")]
        }
        Kernel::FewRows => {
            vec![batch, activation, block, include_str!("../../../shaders/few_rows.wgsl")]
        }
        Kernel::Head => vec![batch, include_str!("../../../shaders/head.wgsl")],
    }
}

/// The bytes of the shader's `layers`: eight words each, at least one.
pub(super) fn layer_table(plan: &Plan, stage: &Stage) -> Vec<u8> {
    let layers = plan.layers_of(stage);
    let names = activation_names(layers);
    let weight_quad_bytes = 4 * plan.precision().bytes();
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
    if layers.is_empty() {
        return text;
    }
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
        InputType::F16 => {
            "alias Input = vec2u;\n\
             fn unpack_input(x: Input) -> vec4f { return unpack_f16(x); }\n"
        }
        InputType::Bf16 => {
            "alias Input = vec2u;\n\
             fn unpack_input(x: Input) -> vec4f { return unpack_bf16(x); }\n"
        }
    }
}

fn unpack_weights(precision: Precision) -> &'static str {
    match precision {
        Precision::Int8 => unreachable!("a plan of int8 is refused when it is loaded"),
        Precision::F32 => {
            "alias Weights = vec4f;\n\
             fn unpack_weights(w: Weights) -> vec4f { return w; }\n"
        }
        Precision::F16 => {
            "alias Weights = vec2u;\n\
             fn unpack_weights(w: Weights) -> vec4f { return unpack_f16(w); }\n"
        }
        Precision::Bf16 => {
            "alias Weights = vec2u;\n\
             fn unpack_weights(w: Weights) -> vec4f { return unpack_bf16(w); }\n"
        }
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
