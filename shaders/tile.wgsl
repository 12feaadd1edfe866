// The product of a tile of rows and a tile of outputs, block by block, through workgroup storage.

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
        let by_input = rows_by_input(first_row + 4u * group, first_quad + quad, quads);
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
        let weight = panel_weights(layer, first_panel + panel, 4u * first_quad + k);
        staged_weights[panel * PANEL + k] = weight;
    }
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
