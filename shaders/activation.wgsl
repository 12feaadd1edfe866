// Activations of four sums at once, accurate to about 1e-6 and finite wherever the formula is.
// The formulas are those of `src/model/activation.rs`; a function is named after its activation and
// `p` holds the activation's two parameters. NaN is put back by `finish` in tile.wgsl, because a
// compiler may assume that there is none.

// exp(x) - 1: the series where the subtraction would cancel.
fn exp_m1(x: vec4f) -> vec4f {
    let tail = fma(x, fma(x, vec4f(1.0 / 5040.0), vec4f(1.0 / 720.0)), vec4f(1.0 / 120.0));
    let middle = fma(x, fma(x, tail, vec4f(1.0 / 24.0)), vec4f(1.0 / 6.0));
    let series = fma(x * x, fma(x, middle, vec4f(0.5)), x);
    return select(exp(x) - 1.0, series, abs(x) < vec4f(0.5));
}

fn apply_identity(x: vec4f, p: vec2f) -> vec4f {
    return x;
}

fn apply_relu(x: vec4f, p: vec2f) -> vec4f {
    return max(x, vec4f());
}

fn apply_leaky_relu(x: vec4f, p: vec2f) -> vec4f {
    return select(x, p.x * x, x < vec4f());
}

fn apply_elu(x: vec4f, p: vec2f) -> vec4f {
    return select(x, p.x * exp_m1(min(x, vec4f())), x < vec4f());
}

fn apply_selu(x: vec4f, p: vec2f) -> vec4f {
    return p.y * apply_elu(x, p);
}

fn apply_celu(x: vec4f, p: vec2f) -> vec4f {
    return select(x, p.x * exp_m1(min(x, vec4f()) / p.x), x < vec4f());
}

// M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 7.1.26: |error| < 1.5e-7.
fn erf(x: vec4f) -> vec4f {
    let size = min(abs(x), vec4f(6.0));
    let t = 1.0 / fma(size, vec4f(0.3275911), vec4f(1.0));
    let high = fma(t, fma(t, vec4f(1.061405429), vec4f(-1.453152027)), vec4f(1.421413741));
    let series = t * fma(t, fma(t, high, vec4f(-0.284496736)), vec4f(0.254829592));
    return sign(x) * fma(-series, exp(-size * size), vec4f(1.0));
}

fn apply_gelu(x: vec4f, p: vec2f) -> vec4f {
    return 0.5 * x * (1.0 + erf(0.70710678 * x));
}

fn apply_gelu_tanh(x: vec4f, p: vec2f) -> vec4f {
    return 0.5 * x * (1.0 + apply_tanh(0.79788456 * fma(0.044715 * x * x, x, x), p));
}

fn apply_sigmoid(x: vec4f, p: vec2f) -> vec4f {
    let small = exp(-abs(x));
    return select(small, vec4f(1.0), x >= vec4f()) / (1.0 + small);
}

fn apply_hard_sigmoid(x: vec4f, p: vec2f) -> vec4f {
    return min(max(fma(vec4f(p.x), x, vec4f(p.y)), vec4f()), vec4f(1.0));
}

// Not the built-in, which may be wrong by 1e-5 and on some drivers overflows past 40.
fn apply_tanh(x: vec4f, p: vec2f) -> vec4f {
    let grown = exp_m1(2.0 * min(abs(x), vec4f(10.0)));
    return sign(x) * grown / (grown + 2.0);
}

fn apply_softplus(x: vec4f, p: vec2f) -> vec4f {
    return max(x, vec4f()) + log(1.0 + exp(-abs(x)));
}

fn apply_softsign(x: vec4f, p: vec2f) -> vec4f {
    return x / (1.0 + abs(x));
}

fn apply_silu(x: vec4f, p: vec2f) -> vec4f {
    return x * apply_sigmoid(x, p);
}

fn apply_hard_swish(x: vec4f, p: vec2f) -> vec4f {
    return x * min(max(x / 6.0 + 0.5, vec4f()), vec4f(1.0));
}

fn apply_mish(x: vec4f, p: vec2f) -> vec4f {
    return x * apply_tanh(apply_softplus(x, p), p);
}

fn apply_clip(x: vec4f, p: vec2f) -> vec4f {
    return min(max(x, vec4f(p.x)), vec4f(p.y));
}
