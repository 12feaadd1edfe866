// A fused or dense stage for a few rows: a workgroup takes four rows and PANELS panels of outputs,
// and SPLITS threads share the inputs of a panel. Every weight is read once, straight from memory,
// by many threads at once, so that one row takes as long as reading the weights and little more.

// Activation k of the four rows.
var<workgroup> on_chip: array<vec4f, 4u * PANELS>;
// Output j of the panel of thread t, summed over that thread's inputs, is partial[j * THREADS + t].
var<workgroup> partial: array<vec4f, 4u * THREADS>;

// What a thread's share of the inputs adds to a block.
fn share_of_block(index: u32, first_row: u32, panel: u32, split: u32) -> mat4x4f {
    let layer = layers[index];
    let quads = fours(layer.inputs);
    var sum = mat4x4f();
    for (var quad = split; quad < quads; quad += SPLITS) {
        var x: mat4x4f;
        if index == 0u {
            x = rows_by_input(first_row, quad, quads);
        } else {
            let k = 4u * quad;
            x = mat4x4f(on_chip[k], on_chip[k + 1u], on_chip[k + 2u], on_chip[k + 3u]);
        }
        sum = add_outer(sum, x[0], panel_weights(layer, panel, 4u * quad));
        sum = add_outer(sum, x[1], panel_weights(layer, panel, 4u * quad + 1u));
        sum = add_outer(sum, x[2], panel_weights(layer, panel, 4u * quad + 2u));
        sum = add_outer(sum, x[3], panel_weights(layer, panel, 4u * quad + 3u));
    }
    return sum;
}

// One output of the workgroup's panels, from the shares of all its threads.
fn sum_of_shares(output: u32) -> vec4f {
    var sum = vec4f();
    let first = output % 4u * THREADS + output / 4u * SPLITS;
    for (var split = 0u; split < SPLITS; split++) {
        sum += partial[first + split];
    }
    return sum;
}

// The score of an output, where the workgroup holds all outputs of its rows.
fn score_of(x: vec4f, outputs: u32) -> vec4f {
    var largest = x;
    for (var output = 0u; output < outputs; output++) {
        largest = max(largest, on_chip[output]);
    }
    var sum = vec4f();
    for (var output = 0u; output < outputs; output++) {
        sum += exp(on_chip[output] - largest);
    }
    return score(x, largest, sum);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let last = layers[LAYERS - 1u];
    let across = (fours(last.outputs) + PANELS - 1u) / PANELS;
    let tile = tile_of(workgroup, grid);
    let first_panel = PANELS * (tile % across);
    let first_row = 4u * (tile / across);
    if first_row >= batch.rows {
        return;
    }
    for (var index = 0u; index < LAYERS; index++) {
        let layer = layers[index];
        let panel = first_panel + thread / SPLITS;
        let share = share_of_block(index, first_row, panel, thread % SPLITS);
        partial[thread] = share[0];
        partial[thread + THREADS] = share[1];
        partial[thread + 2u * THREADS] = share[2];
        partial[thread + 3u * THREADS] = share[3];
        workgroupBarrier();
        for (var output = thread; output < 4u * PANELS; output += THREADS) {
            let bias_quad = min(first_panel + output / 4u, fours(layer.outputs) - 1u);
            let bias = biases[layer.bias + bias_quad][output % 4u];
            let sum = sum_of_shares(output);
            on_chip[output] = finish_output(layer, 4u * first_panel + output, sum, bias);
        }
        workgroupBarrier();
    }
    for (var output = thread; output < 4u * PANELS; output += THREADS) {
        var x = on_chip[output];
        if HEAD {
            x = score_of(x, last.outputs);
        }
        write_output(x, first_row, 4u * first_panel + output);
    }
}

fn write_output(x: vec4f, first_row: u32, to: u32) {
    if to < OUTPUT_STRIDE {
        for (var row = first_row; row < min(first_row + 4u, batch.rows); row++) {
            output[row * OUTPUT_STRIDE + to] = x[row - first_row];
        }
    }
}
