// What follows the sums: scale, bias and activation, and the head. A lane holds the sums of tensor
// cores: rows g (0, 1) and g + 8 (2, 3) of outputs 2 * t and 2 * t + 1 of each tile.

#pragma once

#include "activation.cuh"
#include "device.cuh"
#include "stage.cuh"

// Turns a tile's sums into a layer's values. Those past its outputs are 0: their sums are not where
// an input is infinite or no number, and the next layer's weights of 0 would not undo that.
DEVICE void finish(float (&sums)[4], const Layer& layer, const float* bias, unsigned output) {
    const float first = bias[output], second = bias[output + 1];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sums[i] = fmaf(sums[i], layer.scale, i % 2 ? second : first);
    }
    activate_four(sums, layer.activation, layer.first, layer.second);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sums[i] = output + i % 2 < layer.outputs ? sums[i] : 0.0f;
    }
}

// The largest, or the sum, over the four lanes that hold a row.
DEVICE float largest_of_quad(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

DEVICE float sum_of_quad(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

DEVICE float score(unsigned head, float x, float largest, float sum) {
    return head == HEAD_SOFTMAX ? expf(x - largest) / sum : x - largest - logf(sum);
}

// Applies the head to rows whose outputs all lie in one quad of lanes.
template <unsigned MOST_TILES>
DEVICE void apply_head(
    float (&values)[MOST_TILES][4], unsigned head, unsigned width, unsigned lane
) {
    if (head == HEAD_LOGITS) {
        return;
    }
#pragma unroll
    for (unsigned row = 0; row < 2; row++) {
        float largest = -infinity();
        float sum = 0.0f;
#pragma unroll
        for (unsigned at = 0; at < 2 * MOST_TILES; at++) {
            const bool is_class = 8 * (at / 2) + 2 * (lane % 4) + at % 2 < width;
            largest = is_class ? fmaxf(largest, values[at / 2][2 * row + at % 2]) : largest;
        }
        largest = largest_of_quad(largest);
#pragma unroll
        for (unsigned at = 0; at < 2 * MOST_TILES; at++) {
            const bool is_class = 8 * (at / 2) + 2 * (lane % 4) + at % 2 < width;
            sum += is_class ? expf(values[at / 2][2 * row + at % 2] - largest) : 0.0f;
        }
        sum = sum_of_quad(sum);
#pragma unroll
        for (unsigned at = 0; at < 2 * MOST_TILES; at++) {
            float& value = values[at / 2][2 * row + at % 2];
            value = score(head, value, largest, sum);
        }
    }
}

// Applies the head to one row, which may be its own place of scores, by one warp.
DEVICE void head_of_row(const float* from, float* to, const Stage& stage, unsigned lane) {
    float largest = -infinity();
    for (unsigned at = lane; at < stage.width; at += 32) {
        largest = fmaxf(largest, from[at]);
    }
    for (int step = 16; step > 0; step /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, step));
    }
    float sum = 0.0f;
    for (unsigned at = lane; at < stage.width; at += 32) {
        sum += expf(from[at] - largest);
    }
    for (int step = 16; step > 0; step /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
    }
    for (unsigned at = lane; at < stage.width; at += 32) {
        to[at] = score(stage.head, from[at], largest, sum);
    }
}

// Writes a tile of rows from `row` on, those there are.
DEVICE void store(
    const float (&values)[4], float* scores, unsigned row, unsigned count, unsigned output,
    unsigned width
) {
#pragma unroll
    for (unsigned i = 0; i < 4; i++) {
        const unsigned to = row + 8 * (i / 2), at = output + i % 2;
        if (to < count && at < width) {
            scores[(unsigned long long)to * width + at] = values[i];
        }
    }
}
