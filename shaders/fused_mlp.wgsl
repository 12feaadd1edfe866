// Consecutive narrow layers in one launch: a workgroup takes a tile of 4 * GROUPS rows, streams the
// first layer's input through the chip, and keeps every later activation there.
//
// A thread computes one block, four rows by four outputs, of every layer that is wide enough.

// The activations read and those written take turns in two halves of `on_chip`; while the first
// layer runs, the half it reads from holds the chunk of rows last staged.
const HALF = ON_CHIP / 2u;

fn block_product(sum_so_far: mat4x4f, first: u32, quads: u32, panel: u32) -> mat4x4f {
    var sum = sum_so_far;
    for (var quad = 0u; quad < quads; quad++) {
        let x = first + quad * QUAD;
        let w = panel * PANEL + 4u * quad;
        sum = add_outer(sum, on_chip[x], staged_weights[w]);
        sum = add_outer(sum, on_chip[x + GROUPS], staged_weights[w + 1u]);
        sum = add_outer(sum, on_chip[x + 2u * GROUPS], staged_weights[w + 2u]);
        sum = add_outer(sum, on_chip[x + 3u * GROUPS], staged_weights[w + 3u]);
    }
    return sum;
}

fn keep(block: mat4x4f, half: u32, panel: u32, group: u32) {
    let to = half + panel * QUAD + group;
    on_chip[to] = block[0];
    on_chip[to + GROUPS] = block[1];
    on_chip[to + 2u * GROUPS] = block[2];
    on_chip[to + 3u * GROUPS] = block[3];
}

fn output_of_group(half: u32, output: u32, group: u32) -> vec4f {
    return on_chip[half + output / 4u * QUAD + output % 4u * GROUPS + group];
}

// The scores of a block, from the outputs of its rows on chip.
fn scores(block: mat4x4f, half: u32, outputs: u32, group: u32) -> mat4x4f {
    var largest = output_of_group(half, 0u, group);
    for (var output = 1u; output < outputs; output++) {
        largest = max(largest, output_of_group(half, output, group));
    }
    var sum = vec4f();
    for (var output = 0u; output < outputs; output++) {
        sum += exp(output_of_group(half, output, group) - largest);
    }
    return mat4x4f(
        score(block[0], largest, sum),
        score(block[1], largest, sum),
        score(block[2], largest, sum),
        score(block[3], largest, sum),
    );
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let first_row = 4u * GROUPS * tile_of(workgroup, grid);
    if first_row >= batch.rows {
        return;
    }
    let panel = thread % PANELS;
    let group = thread / PANELS;
    var read = HALF;
    var block: mat4x4f;
    for (var index = 0u; index < LAYERS; index++) {
        let layer = layers[index];
        let quads = fours(layer.inputs);
        var sum = mat4x4f();
        for (var quad = 0u; quad < quads; quad += CHUNK) {
            // All threads have read what lies where the next chunk goes.
            workgroupBarrier();
            stage_weights(layer, 0u, quad, thread);
            var first = read + quad * QUAD;
            if index == 0u {
                first = read;
                stage_rows(first, first_row, quad, quads, thread);
            }
            workgroupBarrier();
            sum = block_product(sum, first + group, min(CHUNK, quads - quad), panel);
        }
        read = HALF - read;
        if panel < fours(layer.outputs) {
            block = finish(layer, panel, sum);
            keep(block, read, panel, group);
        }
    }
    let outputs = layers[LAYERS - 1u].outputs;
    if HEAD {
        workgroupBarrier();
        block = scores(block, read, outputs, group);
    }
    if panel < fours(outputs) {
        write(block, first_row + 4u * group, panel);
    }
}
