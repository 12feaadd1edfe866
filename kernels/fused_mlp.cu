// A run of narrow layers in one launch: no block talks to another, and no activation leaves the
// registers.
//
// Blocks stay. Each brings the stage's parameters on chip once, and then its warps take 16 or 32
// rows at a time, each on its own: a warp brings its rows on chip a few chunks at a time, ahead of
// the products that read them, across the end of one set of rows and into the next. The sums of one
// layer are the operands of the next as they lie (see stage.cuh).
//
// A compiler is told NAME, the kernel's name, and by ROW, WEIGHTS and TILES of what it is made: the
// types of rows and weights, and the most tiles of 8 outputs that any layer has.

#include "epilogue.cuh"
#include "product.cuh"
#include "rows.cuh"
#include "stage.cuh"

#if defined(FUSEWIRE_ON_CPU) || __CUDA_ARCH__ >= 800

// Threads of a block, at most: as there are registers for, where nothing else is said.
#ifndef MOST_THREADS
#define MOST_THREADS (TILES > 4 ? 256 : 384)
#endif

// One warp's view of the launch.
template <class Row, class Weights, unsigned MOST_TILES>
struct Warp {
    // Groups of 16 rows, which share every fragment: as many as there are registers for.
    static const int GROUPS = MOST_TILES > 8 ? 1 : 2;
    static const unsigned ROWS = 16 * GROUPS;

    typedef float Sums[GROUPS][MOST_TILES][4];

    const Stage& stage;
    // The stage's block on chip.
    const unsigned char* block;
    const unsigned char* rows;
    float* scores;
    unsigned count;
    // The warp's steps on chip, and their barriers.
    unsigned char* steps;
#ifdef HAS_BULK_COPIES
    Barrier* barriers;
#endif
    unsigned lane;
    // The warp's number among all, and how many there are.
    unsigned number;
    unsigned warps;

    // Steps that rows are brought in, and the bytes of one row of a step.
    unsigned steps_a_row;
    unsigned pitch;

    DEVICE const Layer& layer(unsigned index) const {
        return stage.layer[index];
    }

    DEVICE const unsigned char* at(unsigned offset) const {
        return block + offset;
    }

    DEVICE unsigned char* step(unsigned position) const {
        return steps + position % stage.depth * ROWS * pitch;
    }

    // The first row of the warp's step at `position`: it takes its steps row set by row set.
    DEVICE unsigned first_row(unsigned position) const {
        return (number + position / steps_a_row * warps) * ROWS;
    }

    // Begins to bring a step on chip.
    DEVICE void begin(unsigned position) const {
        const unsigned row = first_row(position);
        if (row < count) {
            const unsigned from = position % steps_a_row * pitch;
            const unsigned bytes = min(pitch, layer(0).inputs * (unsigned)sizeof(Row) - from);
            const Span span = {row, count, from, bytes};
#ifdef HAS_BULK_COPIES
            if (stage.piece == 16) {
                begin_bulk(position, span);
                return;
            }
#endif
            begin_rows<ROWS>(step(position), pitch, rows, stage, span, lane, 32);
        }
        commit_copies();
    }

#ifdef HAS_BULK_COPIES
    // The same, each lane one row as a whole.
    DEVICE void begin_bulk(unsigned position, Span span) const {
        Barrier* barrier = barriers + position % stage.depth;
        if (lane == 0) {
            announce_bytes(barrier, ROWS * span.bytes);
        }
        __syncwarp();
        if (lane < ROWS) {
            const unsigned char* from = row_at(rows, stage, span, lane);
            begin_bulk_copy(step(position) + lane * pitch, from, span.bytes, barrier);
        }
    }
#endif

    // Waits until a step is on chip, for all lanes.
    DEVICE void wait([[maybe_unused]] unsigned position) const {
#ifdef HAS_BULK_COPIES
        if (stage.piece == 16) {
            wait_for_phase(barriers + position % stage.depth, position / stage.depth);
            return;
        }
#endif
        wait_for_step(stage.depth);
        __syncwarp();
    }

    // Adds the products of a step to the sums of the first layer.
    DEVICE void multiply_step(Sums& sums, unsigned position) const {
        const Layer& first = layer(0);
        const unsigned begin = position % steps_a_row * stage.step;
        const unsigned end = min(begin + stage.step, first.chunks);
        // Of the step, where some are past the row's end.
        const unsigned values = first.inputs % 16 == 0 ? ~0u : first.inputs - 16 * begin;
        const unsigned char* mine = step(position) + lane / 4 * pitch;
        for (unsigned chunk = begin; chunk < end; chunk++) {
            const unsigned at = 16 * (chunk - begin) + 4 * (lane % 4);
            Rows<Row, Weights> x[GROUPS];
#pragma unroll
            for (int group = 0; group < GROUPS; group++) {
                const unsigned char* low = mine + 16 * group * pitch;
                x[group].read(low, low + 8 * pitch, at, values);
            }
            multiply_chunk(sums, x, first, chunk);
        }
    }

    // Adds the products of one chunk, whatever it was read from.
    template <class X>
    DEVICE void multiply_chunk(
        Sums& sums, const X (&x)[GROUPS], const Layer& to, unsigned chunk
    ) const {
        const unsigned char* weights = at(to.weights);
#pragma unroll
        for (unsigned tile = 0; tile < MOST_TILES; tile++) {
            if (tile < to.tiles) {
                const unsigned index = chunk * to.tiles + tile;
                const Four<Weights> four = fragment<Weights>(weights, index, lane);
#pragma unroll
                for (int group = 0; group < GROUPS; group++) {
                    x[group].multiply(sums[group][tile], four);
                }
            }
        }
    }

    // Runs a layer on the values of the one before.
    DEVICE void multiply_layer(Sums& sums, const Sums& before, const Layer& to) const {
#pragma unroll
        for (unsigned chunk = 0; chunk < MOST_TILES / 2; chunk++) {
            if (chunk < to.chunks) {
                Operand<Weights, ANY> x[GROUPS];
#pragma unroll
                for (int group = 0; group < GROUPS; group++) {
                    const float(&even)[4] = before[group][2 * chunk];
                    const float(&odd)[4] = before[group][2 * chunk + 1];
                    const float low[4] = {even[0], even[1], odd[0], odd[1]};
                    const float high[4] = {even[2], even[3], odd[2], odd[3]};
                    x[group].set(low, high);
                }
                multiply_chunk(sums, x, to, chunk);
            }
        }
    }

    DEVICE static float& value_of(Sums& sums, unsigned i) {
        return sums[i / (MOST_TILES * 4)][i / 4 % MOST_TILES][i % 4];
    }

    DEVICE static void clear(Sums& sums) {
#pragma unroll
        for (unsigned i = 0; i < GROUPS * MOST_TILES * 4; i++) {
            value_of(sums, i) = 0.0f;
        }
    }

    DEVICE void finish_layer(Sums& sums, const Layer& of) const {
        const float* bias = (const float*)at(of.bias);
#pragma unroll
        for (unsigned tile = 0; tile < MOST_TILES; tile++) {
            if (tile < of.tiles) {
#pragma unroll
                for (int group = 0; group < GROUPS; group++) {
                    finish(sums[group][tile], of, bias, 8 * tile + 2 * (lane % 4));
                }
            }
        }
    }

    // All layers but the products of the first, and the rows' scores.
    DEVICE void run_layers(Sums& sums, unsigned row) const {
        finish_layer(sums, layer(0));
        FOR_EACH_LAYER (unsigned index = 1; index < stage.layers; index++) {
            Sums next;
            clear(next);
            multiply_layer(next, sums, layer(index));
            finish_layer(next, layer(index));
#pragma unroll
            for (unsigned i = 0; i < GROUPS * MOST_TILES * 4; i++) {
                value_of(sums, i) = value_of(next, i);
            }
        }
#pragma unroll
        for (int group = 0; group < GROUPS; group++) {
            apply_head<MOST_TILES>(sums[group], stage.head, stage.width, lane);
#pragma unroll
            for (unsigned tile = 0; tile < MOST_TILES; tile++) {
                const unsigned to = row + 16 * group + lane / 4;
                store(sums[group][tile], scores, to, count, 8 * tile + 2 * (lane % 4), stage.width);
            }
        }
    }

    // Every row of the warp.
    DEVICE void run() const {
        const unsigned ahead = stage.depth - 1;
        for (unsigned position = 0; position < ahead; position++) {
            begin(position);
        }
        Sums sums;
        for (unsigned position = 0; first_row(position) < count; position++) {
            begin(position + ahead);
            if (position % steps_a_row == 0) {
                clear(sums);
            }
            wait(position);
            multiply_step(sums, position);
            // All lanes have read the step before it is written again.
            __syncwarp();
            if ((position + 1) % steps_a_row == 0) {
                run_layers(sums, first_row(position));
            }
        }
    }
};

// Brings the stage's block on chip, and runs the warps.
template <class Row, class Weights, unsigned MOST_TILES>
DEVICE void fused_mlp(
    const unsigned char* rows, const unsigned char* block, float* scores, unsigned count
) {
    SHARED_MEMORY(shared);
    typedef Warp<Row, Weights, MOST_TILES> Here;
    const unsigned bytes = STAGE_IN(block).bytes;
    for (unsigned at = 16 * threadIdx.x; at < bytes; at += 16 * blockDim.x) {
        begin_copy16(shared + at, block + at);
    }
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    const Stage& stage = STAGE_IN(shared);
    const unsigned number = threadIdx.x / 32, warps = blockDim.x / 32;
    const unsigned pitch = 16 * stage.step * (unsigned)sizeof(Row);
    const unsigned room = stage.depth * Here::ROWS * pitch;
#ifdef HAS_BULK_COPIES
    Barrier* barriers = (Barrier*)(shared + bytes + warps * room) + number * stage.depth;
    if (threadIdx.x % 32 == 0) {
        for (unsigned i = 0; i < stage.depth; i++) {
            make_barrier(barriers + i);
        }
    }
    __syncwarp();
#endif
    Here warp = {
        stage, shared, rows, scores, count, shared + bytes + number * room,
#ifdef HAS_BULK_COPIES
        barriers,
#endif
        threadIdx.x % 32, blockIdx.x * warps + number, gridDim.x * warps,
        (stage.layer[0].chunks + stage.step - 1) / stage.step, pitch};
    warp.run();
}

#ifdef NAME
extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1) NAME(
    const unsigned char* rows, const unsigned char* stage, float* scores, unsigned count, unsigned*,
    unsigned
) {
    fused_mlp<ROW, WEIGHTS, TILES>(rows, stage, scores, count);
}
#endif

#endif
