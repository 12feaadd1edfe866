// The head alone, one row a warp: softmax or log-softmax over outputs in global memory.

#include "epilogue.cuh"
#include "stage.cuh"

DEVICE void head(
    const unsigned char* rows, const unsigned char* block, float* scores, unsigned count
) {
    const Stage& stage = STAGE_IN(block);
    const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row < count) {
        const float* from = (const float*)(rows + (unsigned long long)row * stage.row_bytes);
        float* to = scores + (unsigned long long)row * stage.width;
        head_of_row(from, to, stage, threadIdx.x % 32);
    }
}

#ifdef NAME
extern "C" __global__ void __launch_bounds__(128) NAME(
    const unsigned char* rows, const unsigned char* stage, float* scores, unsigned count, unsigned*,
    unsigned
) {
    head(rows, stage, scores, count);
}
#endif
