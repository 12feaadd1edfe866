// The product of a tile of rows and a tile of outputs, in blocks of four rows by four outputs.
//
// A block is a matrix whose column j holds output j of four rows, so that its sum grows by an outer
// product of four inputs (one of each row) and four weights (one of each output).

// From a quad of inputs to the next on chip: four inputs of all groups, and one vector that keeps
// the transposing stores of `stage_rows` off one another's banks.
const QUAD = 4u * GROUPS + 1u;
// From a panel of staged weights to the next, padded for the same reason.
const PANEL = 4u * CHUNK + 1u;

// Input 4 * quad + i of the four rows of a group is on_chip[quad * QUAD + i * GROUPS + group].
var<workgroup> on_chip: array<vec4f, ON_CHIP>;
var<workgroup> staged_weights: array<vec4f, PANELS * PANEL>;

// Brings CHUNK quads of the tile's rows on chip; neighbouring threads read neighbouring quads.
fn stage_rows(at: u32, first_row: u32, first_quad: u32, quads: u32, thread: u32) {
    for (var task = thread; task < CHUNK * GROUPS; task += THREADS) {
        let quad = task % CHUNK;
        let group = task / CHUNK;
        let row = first_row + 4u * group;
        let by_input = transpose(mat4x4f(
            row_quad(row, first_quad + quad, quads),
            row_quad(row + 1u, first_quad + quad, quads),
            row_quad(row + 2u, first_quad + quad, quads),
            row_quad(row + 3u, first_quad + quad, quads),
        ));
        let to = at + quad * QUAD + group;
        on_chip[to] = by_input[0];
        on_chip[to + GROUPS] = by_input[1];
        on_chip[to + 2u * GROUPS] = by_input[2];
        on_chip[to + 3u * GROUPS] = by_input[3];
    }
}

// Brings the weights of CHUNK quads of inputs to PANELS panels on chip, 0 past the layer's edges.
fn stage_weights(layer: Layer, first_panel: u32, first_quad: u32, thread: u32) {
    for (var task = thread; task < PANELS * 4u * CHUNK; task += THREADS) {
        let k = task % (4u * CHUNK);
        let panel = task / (4u * CHUNK);
        let at = (first_panel + panel) * layer.inputs + 4u * first_quad + k;
        var weight = vec4f();
        if 4u * first_quad + k < layer.inputs && first_panel + panel < fours(layer.outputs) {
            weight = unpack_weights(weights[layer.weight + at]);
        }
        staged_weights[panel * PANEL + k] = weight;
    }
}

fn add_outer(sum: mat4x4f, rows: vec4f, outputs: vec4f) -> mat4x4f {
    return mat4x4f(
        fma(rows, outputs.xxxx, sum[0]),
        fma(rows, outputs.yyyy, sum[1]),
        fma(rows, outputs.zzzz, sum[2]),
        fma(rows, outputs.wwww, sum[3]),
    );
}

// From the sums of a block to its outputs; 0 past the layer's last output.
fn finish(layer: Layer, panel: u32, sum: mat4x4f) -> mat4x4f {
    let bias = biases[layer.bias + panel];
    return mat4x4f(
        finish_output(layer, 4u * panel, sum[0], bias.x),
        finish_output(layer, 4u * panel + 1u, sum[1], bias.y),
        finish_output(layer, 4u * panel + 2u, sum[2], bias.z),
        finish_output(layer, 4u * panel + 3u, sum[3], bias.w),
    );
}

fn finish_output(layer: Layer, output: u32, sum: vec4f, bias: f32) -> vec4f {
    let x = fma(sum, vec4f(layer.scale), vec4f(bias));
    let y = select(activate(layer.activation, x, layer.parameters), x, is_nan(x));
    return select(vec4f(), y, output < layer.outputs);
}

// Writes a block whose first row and panel of outputs are given.
fn write(block: mat4x4f, first_row: u32, panel: u32) {
    let by_row = transpose(block);
    let rows = min(batch.rows - min(first_row, batch.rows), 4u);
    let outputs = min(OUTPUT_STRIDE - 4u * panel, 4u);
    for (var row = 0u; row < rows; row++) {
        let to = (first_row + row) * OUTPUT_STRIDE + 4u * panel;
        for (var i = 0u; i < outputs; i++) {
            output[to + i] = by_row[row][i];
        }
    }
}
