//! Activations over vectors: [`Activation::apply`] to within a few units in the last place of f32.
//!
//! Every function keeps NaN, and takes infinities as the f64 formula does. Clamps put the bound
//! first: [`Simd::max`] and [`Simd::min`] give back their second operand where it is NaN.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use super::simd::Simd;
use crate::model::Activation;

/// Adding it to a small number rounds that to an integer and leaves the integer, biased like the
/// exponent of an f32, in the low bits: 1.5 * 2^23 + 127.
const ROUND_BIASED: f32 = 12_582_912.0 + 127.0;

/// `activation` of every lane.
#[inline(always)]
pub(super) fn activate<S: Simd>(s: S, activation: Activation, x: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    match activation {
        Activation::Identity => x,
        Activation::Relu => s.max(zero, x),
        Activation::LeakyRelu { alpha } => s.if_less(x, zero, s.mul(s.splat(alpha), x), x),
        Activation::Elu { alpha } => {
            s.if_less(x, zero, s.mul(s.splat(alpha), exp_m1_below_0(s, x)), x)
        }
        Activation::Selu { alpha, gamma } => {
            let below = s.mul(s.splat(alpha), exp_m1_below_0(s, x));
            s.mul(s.splat(gamma), s.if_less(zero, x, x, below))
        }
        Activation::Celu { alpha } => {
            let alpha = s.splat(alpha);
            let below = s.mul(alpha, exp_m1_below_0(s, s.div(x, alpha)));
            s.if_less(zero, x, x, below)
        }
        Activation::Gelu => gelu(s, x),
        Activation::GeluTanh => gelu_tanh(s, x),
        Activation::Sigmoid => s.div(one, s.add(one, exp(s, s.sub(zero, x)))),
        Activation::HardSigmoid { alpha, beta } => {
            clip(s, s.fma(s.splat(alpha), x, s.splat(beta)), 0.0, 1.0)
        }
        Activation::Tanh => tanh(s, x),
        Activation::Softplus => softplus(s, x),
        Activation::Softsign => s.div(x, s.add(one, s.abs(x))),
        Activation::Silu => s.div(x, s.add(one, exp(s, s.sub(zero, x)))),
        Activation::HardSwish => {
            let gate = s.fma(x, s.splat(1.0 / 6.0), s.splat(0.5));
            s.mul(x, clip(s, gate, 0.0, 1.0))
        }
        Activation::Mish => mish(s, x),
        Activation::Clip { min, max } => clip(s, x, min, max),
    }
}

/// `min(max(x, low), high)`
#[inline(always)]
fn clip<S: Simd>(s: S, x: S::V, low: f32, high: f32) -> S::V {
    s.min(s.splat(high), s.max(s.splat(low), x))
}

/// `x = n * ln(2) + r` with `n` an integer and `|r| <= ln(2) / 2`; the first is `n` biased for
/// [`power_of_2`].
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    // ln(2) in two parts, the first of few enough bits that its product with `n` is exact.
    const HIGH: f32 = 355.0 / 512.0;
    const LOW: f32 = -2.121_944_4e-4;
    let magic = s.splat(ROUND_BIASED);
    let biased = s.fma(x, s.splat(LOG2_E), magic);
    let n = s.sub(biased, magic);
    let r = s.fma(n, s.splat(-HIGH), x);
    (biased, s.fma(n, s.splat(-LOW), r))
}

/// `2^n` of the `n` that [`reduce`] made, for `n` from -126 to 127.
#[inline(always)]
fn power_of_2<S: Simd>(s: S, biased: S::V) -> S::V {
    s.bits_to_exponent(biased)
}

/// `exp(r) - 1` for `|r| <= ln(2) / 2`: the Taylor series to the 8th power, which is off by less
/// than 3e-10 there.
#[inline(always)]
fn exp_m1_reduced<S: Simd>(s: S, r: S::V) -> S::V {
    const TERMS: [f32; 7] =
        [1.0 / 40_320.0, 1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 1.0 / 2.0];
    let mut series = s.splat(TERMS[0]);
    for term in &TERMS[1..] {
        series = s.fma(series, r, s.splat(*term));
    }
    s.fma(s.mul(series, r), r, r)
}

/// `exp(x)`, down to the smallest normal f32, below which it is 0, and up to infinity.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // Past these bounds the result is 0 or infinity. The power of 2 is applied in two halves,
    // because 2^128 and 2^-150 are no normal numbers.
    let (biased, r) = reduce(s, clip(s, x, -104.0, 89.0));
    let magic = s.splat(ROUND_BIASED);
    let n = s.sub(biased, magic);
    let first = s.fma(n, s.splat(0.5), magic);
    let second = s.add(s.sub(n, s.sub(first, magic)), magic);
    let root = s.add(exp_m1_reduced(s, r), s.splat(1.0));
    s.mul(s.mul(root, power_of_2(s, first)), power_of_2(s, second))
}

/// `exp(x) - 1` for `x <= 0`; what it gives above is of no use, but NaN stays.
#[inline(always)]
fn exp_m1_below_0<S: Simd>(s: S, x: S::V) -> S::V {
    let (biased, r) = reduce(s, clip(s, x, -30.0, 0.0));
    let power = power_of_2(s, biased);
    s.fma(exp_m1_reduced(s, r), power, s.sub(power, s.splat(1.0)))
}

/// `tanh(|x|) = -e / (e + 2)` where `e = exp(-2 |x|) - 1`
#[inline(always)]
fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let e = exp_m1_below_0(s, s.mul(s.splat(-2.0), s.abs(x)));
    s.copy_sign(s.div(e, s.add(e, s.splat(2.0))), x)
}

/// `ln(1 + exp(x)) = max(x, 0) + ln(1 + z)` where `z = exp(-|x|)`
#[inline(always)]
fn softplus<S: Simd>(s: S, x: S::V) -> S::V {
    let zero = s.splat(0.0);
    let z = exp(s, s.sub(zero, s.abs(x)));
    s.add(s.max(zero, x), ln_1p_of_unit(s, z))
}

/// `ln(1 + z) = 2 artanh(z / (2 + z))` for `0 <= z <= 1`: the series of artanh to the 17th power,
/// which is off by less than 1e-10 there.
#[inline(always)]
fn ln_1p_of_unit<S: Simd>(s: S, z: S::V) -> S::V {
    let t = s.div(z, s.add(s.splat(2.0), z));
    let square = s.mul(t, t);
    let mut series = s.splat(1.0 / 17.0);
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = s.fma(series, square, s.splat(1.0 / odd));
    }
    let t = s.add(t, t);
    s.fma(s.mul(series, square), t, t)
}

/// `x * tanh(ln(1 + exp(x))) = x * n / (n + 2)` where `n = exp(x) * (exp(x) + 2)`
#[inline(always)]
fn mish<S: Simd>(s: S, x: S::V) -> S::V {
    // Past 20 the quotient is 1 in f32; the clamp keeps the square finite.
    let e = exp(s, s.min(s.splat(20.0), x));
    let two = s.splat(2.0);
    let n = s.mul(e, s.add(e, two));
    s.mul(x, s.div(n, s.add(n, two)))
}

/// `x * Phi(x)`, where the normal distribution `Phi(x)` is `erfc(|x| / sqrt(2)) / 2` below 0, so
/// that nothing cancels there, and 1 minus that above.
#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    let (zero, half, one) = (s.splat(0.0), s.splat(0.5), s.splat(1.0));
    let tail = s.mul(half, erfc_above_0(s, s.mul(s.splat(FRAC_1_SQRT_2), s.abs(x))));
    s.mul(x, s.if_less(zero, x, s.sub(one, tail), tail))
}

/// `erfc(x)` for `x >= 0`, off by at most 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical
/// Functions, 7.1.26).
#[inline(always)]
fn erfc_above_0<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let t = s.div(one, s.fma(s.splat(0.327_591_1), x, one));
    let mut series = s.splat(1.061_405_4);
    for term in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        series = s.fma(series, t, s.splat(term));
    }
    let bell = exp(s, s.mul(s.sub(s.splat(0.0), x), x));
    s.mul(s.mul(series, t), bell)
}

/// `x / 2 * (1 + tanh(u)) = x / (1 + exp(-2 u))` where `u = sqrt(2 / pi) * (x + 0.044715 * x^3)`
#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    const MINUS_2_ROOT: f32 = -1.595_769_2;
    let one = s.splat(1.0);
    let cubic = s.fma(s.mul(s.splat(0.044_715), x), s.mul(x, x), x);
    s.div(x, s.add(one, exp(s, s.mul(s.splat(MINUS_2_ROOT), cubic))))
}
