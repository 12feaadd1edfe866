// Blocks of four rows by four outputs. A block is a matrix whose column j holds output j of four
// rows, so that its sum grows by an outer product of four inputs (one of each row) and four weights
// (one of each output).

fn add_outer(sum: mat4x4f, rows: vec4f, outputs: vec4f) -> mat4x4f {
    return mat4x4f(
        fma(rows, outputs.xxxx, sum[0]),
        fma(rows, outputs.yyyy, sum[1]),
        fma(rows, outputs.zzzz, sum[2]),
        fma(rows, outputs.wwww, sum[3]),
    );
}

// From the sums of one output of four rows to its values; 0 past the layer's last output.
fn finish_output(layer: Layer, output: u32, sum: vec4f, bias: f32) -> vec4f {
    let x = fma(sum, vec4f(layer.scale), vec4f(bias));
    let y = select(activate(layer.activation, x, layer.parameters), x, is_nan(x));
    return select(vec4f(), y, output < layer.outputs);
}
