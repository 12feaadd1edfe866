// One wide layer as a tiled matrix product: a workgroup computes 4 * GROUPS rows by 4 * PANELS
// outputs, a thread two by two blocks of them.

const HALF_GROUPS = GROUPS / 2u;
const HALF_PANELS = PANELS / 2u;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let layer = layers[0];
    let panels = fours(layer.outputs);
    let across = (panels + PANELS - 1u) / PANELS;
    let tile = tile_of(workgroup, grid);
    let first_panel = PANELS * (tile % across);
    let first_row = 4u * GROUPS * (tile / across);
    if first_row >= batch.rows {
        return;
    }
    let panel = thread % HALF_PANELS;
    let group = thread / HALF_PANELS;
    let quads = fours(layer.inputs);
    // Named by group and panel: near (0) or in the far half (1) of the tile.
    var sum_00 = mat4x4f();
    var sum_01 = mat4x4f();
    var sum_10 = mat4x4f();
    var sum_11 = mat4x4f();
    for (var quad = 0u; quad < quads; quad += CHUNK) {
        workgroupBarrier();
        stage_rows(0u, first_row, quad, quads, thread);
        stage_weights(layer, first_panel, quad, thread);
        workgroupBarrier();
        for (var k = 0u; k < 4u * CHUNK; k++) {
            let x = k / 4u * QUAD + k % 4u * GROUPS + group;
            let w = panel * PANEL + k;
            let x_0 = on_chip[x];
            let x_1 = on_chip[x + HALF_GROUPS];
            let w_0 = staged_weights[w];
            let w_1 = staged_weights[w + HALF_PANELS * PANEL];
            sum_00 = add_outer(sum_00, x_0, w_0);
            sum_01 = add_outer(sum_01, x_0, w_1);
            sum_10 = add_outer(sum_10, x_1, w_0);
            sum_11 = add_outer(sum_11, x_1, w_1);
        }
    }
    finish_and_write(layer, sum_00, first_row + 4u * group, first_panel + panel);
    finish_and_write(layer, sum_01, first_row + 4u * group, first_panel + panel + HALF_PANELS);
    let far_row = first_row + 4u * (group + HALF_GROUPS);
    finish_and_write(layer, sum_10, far_row, first_panel + panel);
    finish_and_write(layer, sum_11, far_row, first_panel + panel + HALF_PANELS);
}

fn finish_and_write(layer: Layer, sum: mat4x4f, first_row: u32, panel: u32) {
    if panel < fours(layer.outputs) {
        write(finish(layer, panel, sum), first_row, panel);
    }
}
