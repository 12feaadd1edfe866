// A stage for so few rows that a device would idle, and for devices without the tensor cores of the
// other kernels: a block takes `BLOCK_ROWS` of them through every layer, in f32.
//
// The warps share the inputs of a layer, chunk by chunk, and read each fragment straight from
// global memory, 32 bytes and more of it by four lanes side by side; what they have summed up is
// added on chip. Of a stage of one wide layer, blocks side by side take some of the outputs each.

#include "epilogue.cuh"
#include "product.cuh"
#include "stage.cuh"

const unsigned THREADS = 256;
// Tiles of 8 outputs at a time.
const unsigned TILES_AT_ONCE = 4;

// Four neighbours in a row, on a boundary of four: in one access, for rows may lie across the bus.
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

template <class Row, class Weights, unsigned BLOCK_ROWS>
struct Block {
    const Stage& stage;
    // The stage's block.
    const unsigned char* block;
    const unsigned char* rows;
    float* scores;
    unsigned count;
    // Values of the layer before and of this one, `widest` for each row.
    float* before;
    float* after;
    unsigned widest;
    // What each warp summed up: [warp][row][output].
    float* partial;

    typedef float Sums[BLOCK_ROWS][TILES_AT_ONCE];

    DEVICE unsigned row(unsigned of) const {
        return min(blockIdx.x * BLOCK_ROWS + of, count - 1);
    }

    // The four inputs of this lane in a chunk, in the order of the layer's fragments.
    DEVICE void read(
        float (&x)[4], bool is_first, unsigned inputs, unsigned of, unsigned chunk
    ) const {
        const unsigned t = threadIdx.x % 4;
        if (is_first) {
            const unsigned char* begin = rows + (unsigned long long)row(of) * stage.row_bytes;
            const unsigned at = 16 * chunk + 4 * t;
            if (stage.piece >= 4 * sizeof(Row) && at + 4 <= inputs) {
                read_four(x, (const Row*)begin + at);
            } else {
                read_some(x, (const Row*)begin, at, inputs);
            }
            return;
        }
        const float* own = before + of * widest + 16 * chunk + 2 * t;
        x[0] = own[0];
        x[1] = own[1];
        x[2] = own[8];
        x[3] = own[9];
    }

    // This lane's share of the sums of four tiles from `tile` on.
    DEVICE void multiply(Sums& sums, bool is_first, const Layer& layer, unsigned tile) const {
        const unsigned char* weights = block + layer.weights;
        for (unsigned chunk = threadIdx.x / 32; chunk < layer.chunks; chunk += THREADS / 32) {
            float x[BLOCK_ROWS][4];
#pragma unroll
            for (unsigned of = 0; of < BLOCK_ROWS; of++) {
                read(x[of], is_first, layer.inputs, of, chunk);
            }
#pragma unroll
            for (unsigned i = 0; i < TILES_AT_ONCE; i++) {
                if (tile + i < layer.tiles) {
                    const unsigned index = chunk * layer.tiles + tile + i;
                    const Four<Weights> four = fragment<Weights>(weights, index, threadIdx.x % 32);
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
    }

    // Adds the shares of a quad's lanes, and leaves them for the other warps.
    DEVICE void leave(const Sums& sums) const {
        const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
        for (unsigned of = 0; of < BLOCK_ROWS; of++) {
#pragma unroll
            for (unsigned i = 0; i < TILES_AT_ONCE; i++) {
                const float sum = sum_of_quad(sums[of][i]);
                if (lane % 4 == 0) {
                    partial[(warp * BLOCK_ROWS + of) * 8 * TILES_AT_ONCE + 8 * i + lane / 4] = sum;
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
            for (unsigned warp = 0; warp < THREADS / 32; warp++) {
                sum += partial[warp * BLOCK_ROWS * 8 * TILES_AT_ONCE + i];
            }
            sum = fmaf(sum, layer.scale, bias[output]);
            const float raw = activate(layer.activation, sum, layer.first, layer.second);
            // As in the epilogue of tensor cores: 0 past the layer's outputs, whatever the sum.
            const float value = output < layer.outputs ? raw : 0.0f;
            const unsigned to = blockIdx.x * BLOCK_ROWS + of;
            if (!is_last) {
                after[of * widest + output] = value;
            } else if (to < count && output < stage.width) {
                scores[(unsigned long long)to * stage.width + output] = value;
            }
        }
    }

    // Applies the head to the scores, one warp a row.
    DEVICE void apply_head_to_rows() const {
        const unsigned lane = threadIdx.x % 32;
        for (unsigned of = threadIdx.x / 32; of < BLOCK_ROWS; of += THREADS / 32) {
            const unsigned to = blockIdx.x * BLOCK_ROWS + of;
            if (to < count) {
                float* own = scores + (unsigned long long)to * stage.width;
                head_of_row(own, own, stage, lane);
            }
        }
    }

    DEVICE void run() {
        FOR_EACH_LAYER (unsigned index = 0; index < stage.layers; index++) {
            const Layer& layer = stage.layer[index];
            const bool is_last = index + 1 == stage.layers;
            const unsigned first = TILES_AT_ONCE * blockIdx.y, by = TILES_AT_ONCE * gridDim.y;
            for (unsigned tile = first; tile < layer.tiles; tile += by) {
                Sums sums = {};
                multiply(sums, index == 0, layer, tile);
                leave(sums);
                __syncthreads();
                gather(layer, tile, is_last);
                __syncthreads();
            }
            float* read = before;
            before = after;
            after = read;
        }
        if (stage.head != HEAD_LOGITS && gridDim.y == 1) {
            apply_head_to_rows();
        }
    }
};

template <class Row, class Weights, unsigned BLOCK_ROWS>
DEVICE void few_rows(
    const unsigned char* rows, const unsigned char* block, float* scores, unsigned count,
    unsigned* done, unsigned number
) {
    SHARED_MEMORY(shared);
    const Stage& stage = STAGE_IN(block);
    unsigned widest = 0;
    FOR_EACH_LAYER (unsigned index = 0; index + 1 < stage.layers; index++) {
        widest = max(widest, 8 * stage.layer[index].tiles);
    }
    float* on_chip = (float*)shared;
    float* after = on_chip + BLOCK_ROWS * widest;
    float* partial = after + BLOCK_ROWS * widest;
    Block<Row, Weights, BLOCK_ROWS> here = {stage,   block, rows,   scores, count,
                                            on_chip, after, widest, partial};
    here.run();
    if (done != nullptr) {
        __syncthreads();
        if (threadIdx.x == 0) {
            tell_host(done + blockIdx.y * gridDim.x + blockIdx.x, number);
        }
    }
}

#ifdef NAME
extern "C" __global__ void __launch_bounds__(256, 1) NAME(
    const unsigned char* rows, const unsigned char* stage, float* scores, unsigned count,
    unsigned* done, unsigned number
) {
    few_rows<ROW, WEIGHTS, ROWS>(rows, stage, scores, count, done, number);
}
#endif
