// What a launch knows about its stage of a plan: one block of bytes, in global memory, that the
// host lays out once when a plan is loaded. `src/backend/cuda/stage.rs` writes it; the two files
// are read together.
//
//     Stage | Layer of each layer | biases of each layer | weights of each layer
//
// Every part begins on 16 bytes, and offsets count bytes from the block's start, so that the block
// reads the same wherever a kernel copies it to.
//
// Biases are f32, one for each output of whole tiles. Weights lie as the fragments of the tensor
// cores' matrix products, four to a lane: a layer has `chunks` of 16 inputs and `tiles` of 8
// outputs, tile (chunk, tile) is fragment `chunk * tiles + tile`, and lane `4 * g + t` of it holds
// the weights of output `8 * tile + g` for the inputs
//
//     16 * chunk + 4 * t + i             i = 0..3, in a stage's first layer, which reads rows
//     16 * chunk + 8 * (i / 2) + 2 * t + i % 2     in the others, which read the tiles before
//
// The first order lets a lane read four neighbours of a row at once; the second is that in which a
// lane holds the sums of two tiles, so that layers are chained without moving anything. Weights and
// biases past the layer's own inputs and outputs are zero.

#pragma once

// One layer: activation(sum * scale + bias).
struct Layer {
    unsigned inputs;
    unsigned outputs;
    // Whole chunks of 16 inputs.
    unsigned chunks;
    // Whole tiles of 8 outputs; an even number.
    unsigned tiles;
    // Where fragments and biases begin.
    unsigned weights;
    unsigned bias;
    // One of those in activation.cuh, and its two parameters.
    unsigned activation;
    float first;
    float second;
    float scale;
    unsigned unused[2];
};

enum Head { HEAD_LOGITS = 0, HEAD_SOFTMAX = 1, HEAD_LOG_SOFTMAX = 2 };

// As many as the stage has, where that is known.
#ifndef LAYERS
#define LAYERS 1
#endif

struct Stage {
    // Layers of the stage; none for the head alone.
    unsigned layers;
    // Bytes of the whole block, a multiple of 16.
    unsigned bytes;
    // Bytes from a row to the next.
    unsigned row_bytes;
    // Values written for each row, which lie one row behind the other.
    unsigned width;
    unsigned head;
    // How many chunks of its rows a warp brings on chip at once, an odd number, and how many such
    // steps it has room for. Of fused_mlp alone.
    unsigned step;
    unsigned depth;
    // What rows are read in pieces of: 16, 8, 4, 2 or 1 bytes, of which they begin on a multiple.
    unsigned piece;
    Layer layer[LAYERS];
};

// A compiler that is told the stage makes a kernel for that stage alone, in which its numbers are
// constants and loops over its layers are gone.
#ifdef FIXED_STAGE
__device__ constexpr Stage FIXED = FIXED_STAGE;
#define STAGE_IN(block) FIXED
#define FOR_EACH_LAYER _Pragma("unroll") for
#else
#define STAGE_IN(block) (*(const Stage*)(block))
#define FOR_EACH_LAYER for
#endif
