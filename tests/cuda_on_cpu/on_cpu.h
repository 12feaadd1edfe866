// What kernels need of a device and of a CUDA compiler, on a processor.
//
// Every thread of a block is a fiber, and one of them runs at a time. Where threads wait for each
// other, fibers give way to each other; which comes next depends on a seed. What a device may do
// late is done late, or early, as a launch chooses: copies into shared memory arrive when they are
// waited for, or at once. Shared memory is full of NaN before a block begins.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

using std::fabs;

#define DEVICE inline
#define CALLED inline
#define __global__
#define __device__
#define SHARED_MEMORY(name) unsigned char* const name = shared_memory
#define __launch_bounds__(...)

struct Index {
    unsigned x, y, z;
};
// Of the thread that runs now.
extern Index threadIdx, blockIdx, blockDim, gridDim;
// Its block's shared memory.
extern unsigned char* shared_memory;

struct alignas(16) float4 {
    float x, y, z, w;
};

struct alignas(8) uint2 {
    unsigned x, y;
};

inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}

inline unsigned min(unsigned a, unsigned b) {
    return a < b ? a : b;
}

inline unsigned max(unsigned a, unsigned b) {
    return a > b ? a : b;
}

inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const uint64_t bytes = (uint64_t)b << 32 | a;
    unsigned chosen = 0;
    for (int i = 0; i < 4; i++) {
        chosen |= (unsigned)(bytes >> (8 * (selector >> 4 * i & 7)) & 0xff) << 8 * i;
    }
    return chosen;
}

inline float f16_to_float(unsigned short bits) {
    _Float16 value;
    memcpy(&value, &bits, 2);
    return value;
}

inline unsigned short float_to_f16(float x) {
    const _Float16 value = x;
    unsigned short bits;
    memcpy(&bits, &value, 2);
    return bits;
}

inline unsigned bytes_to_f16(unsigned pair) {
    const unsigned short low = float_to_f16(f16_to_float(pair & 0xffff) - 1024.0f);
    const unsigned short high = float_to_f16(f16_to_float(pair >> 16) - 1024.0f);
    return (unsigned)high << 16 | low;
}

// The nearest tf32, ties away from 0.
inline unsigned round_tf32(float x) {
    const unsigned bits = __float_as_uint(x);
    return std::isfinite(x) ? (bits + 0x1000u) & 0xffffe000u : bits;
}

void __syncthreads();
void __syncwarp();
float __shfl_xor_sync(unsigned mask, float x, int lanes);
void multiply_tf32(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1);
void multiply_f16(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1);
void multiply_bf16(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1);

void begin_copy(void* to, const void* from, unsigned bytes);
void commit_copies();
void wait_for_copies_but(unsigned groups);

inline void begin_copy16(void* to, const void* from) {
    begin_copy(to, from, 16);
}

inline void begin_copy8(void* to, const void* from) {
    begin_copy(to, from, 8);
}

inline void begin_copy4(void* to, const void* from) {
    begin_copy(to, from, 4);
}

template <int N>
void wait_for_copies() {
    wait_for_copies_but(N);
}

typedef unsigned long long Barrier;

void make_barrier(Barrier* barrier);
void announce_bytes(Barrier* barrier, unsigned bytes);
void begin_bulk_copy(void* to, const void* from, unsigned bytes, Barrier* barrier);
void wait_for_phase(Barrier* barrier, unsigned phase);

inline void tell_host(unsigned* word, unsigned number) {
    __atomic_store_n(word, number, __ATOMIC_RELEASE);
}

inline unsigned read_word(const unsigned* word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

// Lets some time go by, or none.
void dawdle();

inline void read_pair(unsigned long long (&pair)[2], const unsigned long long* from) {
    pair[0] = __atomic_load_n(&from[0], __ATOMIC_RELAXED);
    dawdle();
    pair[1] = __atomic_load_n(&from[1], __ATOMIC_RELAXED);
}

inline void see_host() {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

unsigned long long now_ns();
// Lets the device do something else.
void rest(unsigned ns);

// A kernel, known by its name from when the program begins.
typedef void (*Kernel)(
    const unsigned char* rows, const unsigned char* stage, float* scores, unsigned count,
    unsigned* done, unsigned number
);

struct Named {
    Named(const char* name, Kernel kernel);
};
