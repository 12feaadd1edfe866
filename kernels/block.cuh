// Rows through every layer by one block, in f32, for so few of them that a device would idle and
// for devices without the tensor cores of other kernels.
//
// Rows are brought on chip all at once, for they may lie across the bus. The warps share the inputs
// of a layer, chunk by chunk, and read each fragment of weights from where the stage lies, 32 bytes
// and more of it by four lanes side by side; what they have summed up is added on chip.

#pragma once

#include "epilogue.cuh"
#include "product.cuh"
#include "stage.cuh"

const unsigned THREADS = 256;
const unsigned WARPS = THREADS / 32;
// Tiles of 8 outputs at a time.
const unsigned TILES_AT_ONCE = 4;
// The most bytes of rows that a block brings on chip; others it reads where they lie. The host has
// the same number in `src/backend/cuda/shape.rs`.
const unsigned ROWS_ON_CHIP = 32 << 10;

// Four neighbours in a row, on a boundary of four: in one access.
DEVICE void read_four(float (&x)[4], const float* row) {
    const float4 four = *(const float4*)row;
    x[0] = four.x;
    x[1] = four.y;
    x[2] = four.z;
    x[3] = four.w;
}

DEVICE void read_four(float (&x)[4], const unsigned char* row) {
    const unsigned four = *(const unsigned*)row;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[i] = (float)(four >> (8 * i) & 0xff);
    }
}

template <class Half>
DEVICE void read_four(float (&x)[4], const Half* row) {
    widen_four<Half>(x, *(const uint2*)row);
}

DEVICE float value_of(float x) {
    return x;
}

DEVICE float value_of(unsigned char x) {
    return (float)x;
}

template <class Half>
DEVICE float value_of(Half x) {
    return widen(x);
}

// Four neighbours anywhere; those past the row's end are 0.
template <class Row>
DEVICE void read_some(float (&x)[4], const Row* row, unsigned at, unsigned inputs) {
#pragma unroll
    for (unsigned i = 0; i < 4; i++) {
        x[i] = at + i < inputs ? value_of(row[at + i]) : 0.0f;
    }
}

// What a block has on chip, and how it is laid out there.
struct OnChip {
    unsigned char* rows;
    // Values of the layer before and of this one, `widest` for each row.
    float* before;
    float* after;
    unsigned widest;
    // What each warp summed up: [warp][row][output].
    float* partial;
};

// Whether rows of a stage are brought on chip, so many at once.
DEVICE bool fits_on_chip(const Stage& stage, unsigned rows) {
    return rows * stage.row_bytes <= ROWS_ON_CHIP;
}

// The room of `rows` rows at once. The last layer's values are there too where the head, which the
// block then `has`, reads them.
DEVICE OnChip lay_out(unsigned char* shared, const Stage& stage, unsigned rows, bool has_head) {
    unsigned widest = 0;
    FOR_EACH_LAYER (unsigned index = 0; index < stage.layers; index++) {
        const bool is_kept = index + 1 < stage.layers || has_head;
        widest = max(widest, is_kept ? 8 * stage.layer[index].tiles : 0);
    }
    const unsigned bytes = fits_on_chip(stage, rows) ? (rows * stage.row_bytes + 15) / 16 * 16 : 0;
    float* before = (float*)(shared + bytes);
    float* after = before + rows * widest;
    return {shared, before, after, widest, after + rows * widest};
}

// Copies whole pieces of a type, by all threads.
template <class Piece>
DEVICE void bring_as(unsigned char* to, const unsigned char* from, unsigned bytes) {
    for (unsigned at = threadIdx.x; at < bytes / sizeof(Piece); at += THREADS) {
        ((Piece*)to)[at] = ((const Piece*)from)[at];
    }
}

// Copies rows, which lie one behind the other in pieces of the stage's, by all threads.
DEVICE void bring(unsigned char* to, const unsigned char* from, unsigned bytes, unsigned piece) {
    switch (piece) {
        case 16:
            return bring_as<float4>(to, from, bytes);
        case 8:
            return bring_as<uint2>(to, from, bytes);
        case 4:
            return bring_as<unsigned>(to, from, bytes);
        case 2:
            return bring_as<unsigned short>(to, from, bytes);
        default:
            return bring_as<unsigned char>(to, from, bytes);
    }
}

// `HELD` fragments of the first layer's weights are held by the warp; none where it is 0.
template <class Row, class Weights, unsigned BLOCK_ROWS, unsigned HELD = 0>
struct Block {
    // The stage's block.
    const unsigned char* block;
    // The first of the block's rows, of which there are `count`, and where its scores go.
    const unsigned char* rows;
    float* scores;
    unsigned count;
    OnChip on_chip;
    // Whether the block has all outputs of the stage, and there is a head to be applied to them.
    bool has_head;
    const Four<Weights> (&held)[HELD > 0 ? HELD : 1];

    typedef float Sums[BLOCK_ROWS][TILES_AT_ONCE];

    // No member, so that a compiler that is told the stage knows its numbers from the first.
    DEVICE const Stage& stage() const {
        return STAGE_IN(block);
    }

    // The four inputs of this lane in a chunk, in the order of the layer's fragments. Of rows that
    // there are not, the last is read again.
    DEVICE void read(
        float (&x)[4], bool is_first, unsigned inputs, unsigned of, unsigned chunk
    ) const {
        const unsigned t = threadIdx.x % 4;
        if (is_first) {
            const unsigned char* begin = rows + min(of, count - 1) * stage().row_bytes;
            const unsigned at = 16 * chunk + 4 * t;
            if (stage().piece >= 4 * sizeof(Row) && at + 4 <= inputs) {
                read_four(x, (const Row*)begin + at);
            } else {
                read_some(x, (const Row*)begin, at, inputs);
            }
            return;
        }
        const float* own = on_chip.before + of * on_chip.widest + 16 * chunk + 2 * t;
        x[0] = own[0];
        x[1] = own[1];
        x[2] = own[8];
        x[3] = own[9];
    }

    // This lane's share of the sums of four tiles from `tile` on.
    DEVICE void multiply(Sums& sums, bool is_first, const Layer& layer, unsigned tile) const {
        const unsigned turns = (layer.chunks + WARPS - 1) / WARPS;
        if (HELD > 0 && is_first) {
            // Weights that are held are known by their number.
#pragma unroll
            for (unsigned turn = 0; turn < turns; turn++) {
                add_products(sums, is_first, layer, tile, turn);
            }
            return;
        }
        // Those of some turns are under way at once.
#pragma unroll(BLOCK_ROWS == 1 ? 4 : 1)
        for (unsigned turn = 0; turn < turns; turn++) {
            add_products(sums, is_first, layer, tile, turn);
        }
    }

    // The products of this warp's chunk of a turn.
    DEVICE void add_products(
        Sums& sums, bool is_first, const Layer& layer, unsigned tile, unsigned turn
    ) const {
        const unsigned chunk = turn * WARPS + threadIdx.x / 32;
        if (chunk >= layer.chunks) {
            return;
        }
        float x[BLOCK_ROWS][4];
#pragma unroll
        for (unsigned of = 0; of < BLOCK_ROWS; of++) {
            read(x[of], is_first, layer.inputs, of, chunk);
        }
#pragma unroll
        for (unsigned i = 0; i < TILES_AT_ONCE; i++) {
            if (tile + i < layer.tiles) {
                const Four<Weights> four = weights(is_first, layer, turn, tile + i);
#pragma unroll
                for (unsigned of = 0; of < BLOCK_ROWS; of++) {
#pragma unroll
                    for (int k = 0; k < 4; k++) {
                        sums[of][i] = fmaf(x[of][k], widen(four, k), sums[of][i]);
                    }
                }
            }
        }
    }

    // The weights of this warp's chunk of a turn.
    DEVICE Four<Weights> weights(
        bool is_first, const Layer& layer, unsigned turn, unsigned tile
    ) const {
        if (HELD > 0 && is_first) {
            return held[turn * layer.tiles + tile];
        }
        const unsigned chunk = turn * WARPS + threadIdx.x / 32;
        const unsigned index = chunk * layer.tiles + tile;
        return fragment<Weights>(block + layer.weights, index, threadIdx.x % 32);
    }

    // Adds the shares of a quad's lanes, and leaves them for the other warps.
    DEVICE void leave(const Sums& sums) const {
        const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
        for (unsigned of = 0; of < BLOCK_ROWS; of++) {
#pragma unroll
            for (unsigned i = 0; i < TILES_AT_ONCE; i++) {
                const float sum = sum_of_quad(sums[of][i]);
                const unsigned to = (warp * BLOCK_ROWS + of) * 8 * TILES_AT_ONCE + 8 * i;
                if (lane % 4 == 0) {
                    on_chip.partial[to + lane / 4] = sum;
                }
            }
        }
    }

    // Adds the warps' sums of four tiles, and makes them values or scores.
    DEVICE void gather(const Layer& layer, unsigned tile, bool is_last) const {
        const float* bias = (const float*)(block + layer.bias);
        for (unsigned i = threadIdx.x; i < BLOCK_ROWS * 8 * TILES_AT_ONCE; i += THREADS) {
            const unsigned of = i / (8 * TILES_AT_ONCE);
            const unsigned output = 8 * tile + i % (8 * TILES_AT_ONCE);
            if (output >= 8 * layer.tiles) {
                continue;
            }
            float sum = 0.0f;
            for (unsigned warp = 0; warp < WARPS; warp++) {
                sum += on_chip.partial[warp * BLOCK_ROWS * 8 * TILES_AT_ONCE + i];
            }
            sum = fmaf(sum, layer.scale, bias[output]);
            const float raw = activate(layer.activation, sum, layer.first, layer.second);
            // As in the epilogue of tensor cores: 0 past the layer's outputs, whatever the sum.
            const float value = output < layer.outputs ? raw : 0.0f;
            if (!is_last || has_head) {
                on_chip.after[of * on_chip.widest + output] = value;
            } else if (of < count && output < stage().width) {
                scores[of * stage().width + output] = value;
            }
        }
    }

    // Makes scores of the last layer's values, one warp a row.
    DEVICE void apply_head_to_rows() const {
        for (unsigned of = threadIdx.x / 32; of < min(BLOCK_ROWS, count); of += WARPS) {
            const float* values = on_chip.before + of * on_chip.widest;
            head_of_row(values, scores + of * stage().width, stage(), threadIdx.x % 32);
        }
    }

    // All layers, of whose tiles the block takes four from `first` on in every `by`.
    DEVICE void run(unsigned first, unsigned by) {
        FOR_EACH_LAYER (unsigned index = 0; index < stage().layers; index++) {
            const Layer& layer = stage().layer[index];
            const bool is_last = index + 1 == stage().layers;
#pragma unroll(HELD > 0 ? 16 : 1)
            for (unsigned tile = first; tile < layer.tiles; tile += by) {
                Sums sums = {};
                multiply(sums, index == 0, layer, tile);
                leave(sums);
                __syncthreads();
                gather(layer, tile, is_last);
                __syncthreads();
            }
            float* read = on_chip.before;
            on_chip.before = on_chip.after;
            on_chip.after = read;
        }
        if (has_head) {
            apply_head_to_rows();
        }
    }
};
