// Activations of one sum. The formulas are those of `src/model/activation.rs`, in its order; a
// function's two parameters are those of the activation.

#pragma once

#include "device.cuh"

enum Activation {
    IDENTITY,
    RELU,
    LEAKY_RELU,
    ELU,
    SELU,
    CELU,
    GELU,
    GELU_TANH,
    SIGMOID,
    HARD_SIGMOID,
    TANH,
    SOFTPLUS,
    SOFTSIGN,
    SILU,
    HARD_SWISH,
    MISH,
    CLIP
};

// The larger, or smaller, of two; the NaN where the first is one.
DEVICE float at_least(float x, float least) {
    return x < least ? least : x;
}

DEVICE float at_most(float x, float most) {
    return x > most ? most : x;
}

DEVICE float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

DEVICE float softplus(float x) {
    return at_least(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

DEVICE float activate(unsigned activation, float x, float first, float second) {
    switch (activation) {
        case RELU:
            return at_least(x, 0.0f);
        case LEAKY_RELU:
            return x < 0.0f ? first * x : x;
        case ELU:
            return x < 0.0f ? first * expm1f(x) : x;
        case SELU:
            return second * (x < 0.0f ? first * expm1f(x) : x);
        case CELU:
            return x < 0.0f ? first * expm1f(x / first) : x;
        case GELU:
            return 0.5f * x * (1.0f + erff(0.70710678f * x));
        case GELU_TANH:
            return 0.5f * x * (1.0f + tanhf(0.79788456f * fmaf(0.044715f * x * x, x, x)));
        case SIGMOID:
            return sigmoid(x);
        case HARD_SIGMOID:
            return at_most(at_least(fmaf(first, x, second), 0.0f), 1.0f);
        case TANH:
            return tanhf(x);
        case SOFTPLUS:
            return softplus(x);
        case SOFTSIGN:
            return x / (1.0f + fabsf(x));
        case SILU:
            return x * sigmoid(x);
        case HARD_SWISH:
            return x * at_most(at_least(x / 6.0f + 0.5f, 0.0f), 1.0f);
        case MISH:
            return x * tanhf(softplus(x));
        case CLIP:
            return at_most(at_least(x, first), second);
        default:
            return x;
    }
}

// Any activation but the two below, of four sums: a call, so that its code is there once and not
// for every register that holds a sum.
CALLED float4 activate_called(unsigned activation, float4 x, float first, float second) {
    x.x = activate(activation, x.x, first, second);
    x.y = activate(activation, x.y, first, second);
    x.z = activate(activation, x.z, first, second);
    x.w = activate(activation, x.w, first, second);
    return x;
}

// Any activation, of four sums; the commonest in place.
DEVICE void activate_four(float (&x)[4], unsigned activation, float first, float second) {
    if (activation == RELU) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            x[i] = at_least(x[i], 0.0f);
        }
    } else if (activation != IDENTITY) {
        const float4 y = activate_called(
            activation, make_float4(x[0], x[1], x[2], x[3]), first, second
        );
        x[0] = y.x;
        x[1] = y.y;
        x[2] = y.z;
        x[3] = y.w;
    }
}
