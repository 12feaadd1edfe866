// What every launch is bound to, and how it finds its rows.

// Written by the host before each launch.
struct Batch {
    rows: u32,
}

// One layer: activation(sum * scale + bias). Weights lie in panels of four outputs.
struct Layer {
    inputs: u32,
    outputs: u32,
    // The first of the layer's weights, in fours: output quad `p` of input `k` is
    // weight + p * inputs + k.
    weight: u32,
    // The first of the layer's biases, in fours.
    bias: u32,
    activation: u32,
    scale: f32,
    parameters: vec2f,
}

@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<uniform> layers: array<Layer, LAYERS>;
// [rows, inputs] in fours, each row padded to whole fours with numbers that are finite.
@group(0) @binding(2) var<storage, read> input: array<Input>;
// The plan's parameters, once as weights and once as biases.
@group(0) @binding(3) var<storage, read> weights: array<Weights>;
@group(0) @binding(4) var<storage, read> biases: array<vec4f>;
// [rows, OUTPUT_STRIDE]
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

// Four numbers of 16 bits, two to a word, the first in its lower half.
fn unpack_f16(x: vec2u) -> vec4f {
    return vec4f(unpack2x16float(x.x), unpack2x16float(x.y));
}

fn unpack_bf16(x: vec2u) -> vec4f {
    return bitcast<vec4f>(vec4u(x.x << 16u, x.x, x.y << 16u, x.y) & vec4u(0xffff0000u));
}

fn fours(width: u32) -> u32 {
    return (width + 3u) / 4u;
}

// Inputs 4 * quad .. 4 * quad + 4 of a row, 0 where there is no such row or input.
fn row_quad(row: u32, quad: u32, quads: u32) -> vec4f {
    if row < batch.rows && quad < quads {
        return unpack_input(input[row * quads + quad]);
    }
    return vec4f();
}

// The same inputs of four rows; column i holds input 4 * quad + i.
fn rows_by_input(first_row: u32, quad: u32, quads: u32) -> mat4x4f {
    return transpose(mat4x4f(
        row_quad(first_row, quad, quads),
        row_quad(first_row + 1u, quad, quads),
        row_quad(first_row + 2u, quad, quads),
        row_quad(first_row + 3u, quad, quads),
    ));
}

// The weights of input k to the four outputs of a panel, 0 past the layer's edges.
fn panel_weights(layer: Layer, panel: u32, k: u32) -> vec4f {
    if panel < fours(layer.outputs) && k < layer.inputs {
        return unpack_weights(weights[layer.weight + panel * layer.inputs + k]);
    }
    return vec4f();
}

// The index of a workgroup in a grid that is folded where it exceeds one dimension.
fn tile_of(workgroup: vec3u, grid: vec3u) -> u32 {
    return workgroup.y * grid.x + workgroup.x;
}

fn is_nan(x: vec4f) -> vec4<bool> {
    return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

// A score from an output, the largest output of its row, and the row's sum of exp(x - largest).
fn score(x: vec4f, largest: vec4f, sum: vec4f) -> vec4f {
    if SOFTMAX {
        return exp(x - largest) / sum;
    }
    return x - largest - log(sum);
}
