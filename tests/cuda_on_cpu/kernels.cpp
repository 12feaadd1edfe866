// The kernels of a file, under the names they have on a device; where PREFIX is one, those that
// a device of that architecture has.

#include "on_cpu.h"

#ifndef PREFIX
#define PREFIX ""
#endif

// Nothing here is the same as in another build of the same file.
namespace {

#define WITHOUT_DONE(kernel)                                                                     \
    [](const unsigned char* rows, const unsigned char* stage, float* scores, unsigned count,     \
       unsigned*, unsigned) { kernel(rows, stage, scores, count); }

#define OF_ALL_TYPES(OF)              \
    OF(f32, f32, float, F32)          \
    OF(f32, f16, float, F16)          \
    OF(f32, bf16, float, Bf16)        \
    OF(u8, f32, unsigned char, F32)   \
    OF(u8, f16, unsigned char, F16)   \
    OF(u8, bf16, unsigned char, Bf16) \
    OF(f16, f32, F16, F32)            \
    OF(f16, f16, F16, F16)            \
    OF(bf16, f32, Bf16, F32)          \
    OF(bf16, bf16, Bf16, Bf16)

#define NAME_OF(kernel, rows, weights) PREFIX #kernel "_" #rows "_" #weights

#if defined(FUSED_MLP)
#include "fused_mlp.cu"

#define TILES(rows, weights, Row, Weights, tiles)                                       \
    static Named named_##rows##_##weights##_##tiles(                                    \
        NAME_OF(fused_mlp, rows, weights) "_" #tiles,                                   \
        WITHOUT_DONE((fused_mlp<Row, Weights, tiles>))                                  \
    );
#define OF(rows, weights, Row, Weights)  \
    TILES(rows, weights, Row, Weights, 2) \
    TILES(rows, weights, Row, Weights, 4) \
    TILES(rows, weights, Row, Weights, 8) \
    TILES(rows, weights, Row, Weights, 16)
OF_ALL_TYPES(OF)

#elif defined(FEW_ROWS)
#include "few_rows.cu"

#define OF(rows, weights, Row, Weights)                                                            \
    static Named one_##rows##_##weights(                                                           \
        NAME_OF(few_rows, rows, weights) "_1", few_rows<Row, Weights, 1>                           \
    );                                                                                             \
    static Named eight_##rows##_##weights(                                                         \
        NAME_OF(few_rows, rows, weights) "_8", few_rows<Row, Weights, 8>                           \
    );
OF_ALL_TYPES(OF)

#elif defined(PERSISTENT)
#include "persistent.cu"

#define OF(rows, weights, Row, Weights)                                            \
    static Named named_##rows##_##weights(                                         \
        NAME_OF(persistent, rows, weights), persistent<Row, Weights>               \
    );
OF_ALL_TYPES(OF)

#else
#include "dense.cu"
#include "head.cu"

#define OF(rows, weights, Row, Weights)                                             \
    static Named named_##rows##_##weights(                                          \
        NAME_OF(dense, rows, weights), WITHOUT_DONE((dense<Row, Weights>))          \
    );
OF_ALL_TYPES(OF)
static Named named_head("head", WITHOUT_DONE(head));
#endif

}  // namespace
