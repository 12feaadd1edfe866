// One layer of any width as a tiled matrix product, bias and activation in its epilogue.
//
// A block takes 128 rows by 64 outputs; each of its eight warps 32 rows by 32 outputs of that. Rows
// come on chip three chunks at a time, one step ahead of the products. Fragments are read straight
// from global memory, where the blocks of a column of outputs find them in the second-level cache.

#include "epilogue.cuh"
#include "product.cuh"
#include "rows.cuh"
#include "stage.cuh"

#if defined(FUSEWIRE_ON_CPU) || __CUDA_ARCH__ >= 800

const unsigned THREADS = 256;
const unsigned BLOCK_ROWS = 128;
const unsigned BLOCK_TILES = 8;
// Of a warp: groups of 16 rows, and tiles of 8 outputs.
const int GROUPS = 2;
const unsigned WARP_TILES = 4;
// Chunks of a step: an odd number, so that neighbouring rows lie in different banks.
const unsigned STEP = 3;

template <class Row, class Weights>
struct Block {
    static const unsigned PITCH = 16 * STEP * sizeof(Row);

    typedef float Sums[GROUPS][WARP_TILES][4];

    const Stage& stage;
    // The stage's block.
    const unsigned char* block;
    const Layer& layer;
    const unsigned char* rows;
    unsigned count;
    // Two steps on chip.
    unsigned char* steps;

    // Begins to bring a step on chip, if there is one.
    DEVICE void begin(unsigned step) const {
        const unsigned from = step * PITCH, row_bytes = layer.inputs * (unsigned)sizeof(Row);
        if (from < row_bytes) {
            const Span span = {blockIdx.x * BLOCK_ROWS, count, from, min(PITCH, row_bytes - from)};
            unsigned char* to = steps + step % 2 * BLOCK_ROWS * PITCH;
            begin_rows<BLOCK_ROWS>(to, PITCH, rows, stage, span, threadIdx.x, THREADS);
        }
        commit_copies();
    }

    // Adds the products of a step.
    DEVICE void multiply(Sums& sums, unsigned step, unsigned warp_row, unsigned tile) const {
        const unsigned lane = threadIdx.x % 32;
        const unsigned char* weights = block + layer.weights;
        const unsigned char* mine = steps + (step % 2 * BLOCK_ROWS + warp_row + lane / 4) * PITCH;
        const unsigned end = min(STEP * (step + 1), layer.chunks);
        for (unsigned chunk = STEP * step; chunk < end; chunk++) {
            const unsigned at = 16 * (chunk - STEP * step) + 4 * (lane % 4);
            Rows<Row, Weights> x[GROUPS];
#pragma unroll
            for (int group = 0; group < GROUPS; group++) {
                const unsigned char* low = mine + 16 * group * PITCH;
                x[group].read(low, low + 8 * PITCH, at, layer.inputs - 16 * STEP * step);
            }
#pragma unroll
            for (unsigned i = 0; i < WARP_TILES; i++) {
                if (tile + i < layer.tiles) {
                    const unsigned index = chunk * layer.tiles + tile + i;
                    const Four<Weights> four = fragment<Weights>(weights, index, lane);
#pragma unroll
                    for (int group = 0; group < GROUPS; group++) {
                        x[group].multiply(sums[group][i], four);
                    }
                }
            }
        }
    }

    DEVICE void run(float* scores) const {
        const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const unsigned warp_row = 32 * (warp % 4);
        const unsigned tile = BLOCK_TILES * blockIdx.y + WARP_TILES * (warp / 4);
        const unsigned steps_a_row = (layer.chunks + STEP - 1) / STEP;
        Sums sums = {};
        begin(0);
        for (unsigned step = 0; step < steps_a_row; step++) {
            begin(step + 1);
            wait_for_copies<1>();
            __syncthreads();
            multiply(sums, step, warp_row, tile);
            // All warps have read the step before it is written again.
            __syncthreads();
        }
        const float* bias = (const float*)(block + layer.bias);
#pragma unroll
        for (unsigned i = 0; i < WARP_TILES; i++) {
            if (tile + i < layer.tiles) {
                const unsigned output = 8 * (tile + i) + 2 * (lane % 4);
#pragma unroll
                for (int group = 0; group < GROUPS; group++) {
                    const unsigned row = blockIdx.x * BLOCK_ROWS + warp_row + 16 * group + lane / 4;
                    finish(sums[group][i], layer, bias, output);
                    store(sums[group][i], scores, row, count, output, stage.width);
                }
            }
        }
    }
};

template <class Row, class Weights>
DEVICE void dense(
    const unsigned char* rows, const unsigned char* block, float* scores, unsigned count
) {
    SHARED_MEMORY(shared);
    const Stage& stage = STAGE_IN(block);
    const Block<Row, Weights> here = {stage, block, stage.layer[0], rows, count, shared};
    here.run(scores);
}

#ifdef NAME
extern "C" __global__ void __launch_bounds__(256, 1) NAME(
    const unsigned char* rows, const unsigned char* stage, float* scores, unsigned count, unsigned*,
    unsigned
) {
    dense<ROW, WEIGHTS>(rows, stage, scores, count);
}
#endif

#endif
