// The head alone, one row a workgroup: softmax or log-softmax over outputs in global memory.

var<workgroup> partial: array<vec4f, THREADS>;

// The largest of what all threads hand in.
fn largest_of_all(mine: vec4f, thread: u32) -> vec4f {
    partial[thread] = mine;
    workgroupBarrier();
    var all = mine;
    for (var other = 0u; other < THREADS; other++) {
        all = max(all, partial[other]);
    }
    workgroupBarrier();
    return vec4f(max(max(all.x, all.y), max(all.z, all.w)));
}

// The sum of what all threads hand in.
fn sum_of_all(mine: vec4f, thread: u32) -> vec4f {
    partial[thread] = mine;
    workgroupBarrier();
    var all = vec4f();
    for (var other = 0u; other < THREADS; other++) {
        all += partial[other];
    }
    return vec4f(dot(all, vec4f(1.0)));
}

// Which outputs of a quad are classes of the model, and no padding.
fn are_classes(quad: u32) -> vec4<bool> {
    return 4u * quad + vec4u(0u, 1u, 2u, 3u) < vec4u(OUTPUT_STRIDE);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = tile_of(workgroup, grid);
    if row >= batch.rows {
        return;
    }
    let quads = fours(OUTPUT_STRIDE);
    var mine = row_quad(row, 0u, quads).xxxx;
    for (var quad = thread; quad < quads; quad += THREADS) {
        mine = select(mine, max(mine, row_quad(row, quad, quads)), are_classes(quad));
    }
    let largest = largest_of_all(mine, thread);
    mine = vec4f();
    for (var quad = thread; quad < quads; quad += THREADS) {
        let exponential = exp(row_quad(row, quad, quads) - largest);
        mine += select(vec4f(), exponential, are_classes(quad));
    }
    let sum = sum_of_all(mine, thread);
    for (var quad = thread; quad < quads; quad += THREADS) {
        let scores = score(row_quad(row, quad, quads), largest, sum);
        for (var i = 0u; i < min(OUTPUT_STRIDE - 4u * quad, 4u); i++) {
            output[row * OUTPUT_STRIDE + 4u * quad + i] = scores[i];
        }
    }
}
