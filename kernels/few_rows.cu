// A stage for 1 to 16 rows, and on devices without the tensor cores of the other kernels for any
// number: each block takes `BLOCK_ROWS` of them through every layer. Of a stage of one wide layer,
// blocks side by side take some of the outputs each.

#include "block.cuh"

template <class Row, class Weights, unsigned BLOCK_ROWS>
DEVICE void few_rows(
    const unsigned char* rows, const unsigned char* block, float* scores, unsigned count,
    unsigned* done, unsigned number
) {
    SHARED_MEMORY(shared);
    const Stage& stage = STAGE_IN(block);
    const bool has_head = stage.head != HEAD_LOGITS && gridDim.y == 1;
    const OnChip on_chip = lay_out(shared, stage, BLOCK_ROWS, has_head);
    const unsigned long long first = (unsigned long long)blockIdx.x * BLOCK_ROWS;
    const unsigned own = min(BLOCK_ROWS, count - (unsigned)first);
    const unsigned char* from = rows + first * stage.row_bytes;
    if (fits_on_chip(stage, BLOCK_ROWS)) {
        bring(on_chip.rows, from, own * stage.row_bytes, stage.piece);
        from = on_chip.rows;
        __syncthreads();
    }
    const Four<Weights> none[1] = {};
    Block<Row, Weights, BLOCK_ROWS> here = {
        stage, block, from, scores + first * stage.width, own, on_chip, has_head, none
    };
    here.run(TILES_AT_ONCE * blockIdx.y, TILES_AT_ONCE * gridDim.y);
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
