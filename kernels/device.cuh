// What kernels use of the device beyond plain C++: matrix products of tensor cores, and copies into
// shared memory that run beside the threads. No header of the toolkit is needed.
//
// The tests run the same kernels on a processor: there, `on_cpu.h` has these functions, and what
// else a CUDA compiler brings.

#pragma once

#ifdef FUSEWIRE_ON_CPU
#include "on_cpu.h"
#else

#define DEVICE __device__ __forceinline__
#define CALLED __device__ __noinline__
// A block's shared memory, as large as the launch says.
#define SHARED_MEMORY(name) extern __shared__ __align__(128) unsigned char name[]

// All three multiply 16 rows by 8 outputs into f32 sums, and share the places of the sums: lane
// 4 * g + t holds rows g (0, 1) and g + 8 (2, 3) of outputs 2 * t and 2 * t + 1.

#if __CUDA_ARCH__ >= 800
// 8 inputs as tf32, the upper 19 bits of an f32.
DEVICE void multiply_tf32(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w0), "r"(w1));
}

// 16 inputs as f16, two to a register.
DEVICE void multiply_f16(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w0), "r"(w1));
}

// 16 inputs as bf16, two to a register.
DEVICE void multiply_bf16(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w0), "r"(w1));
}

// The nearest tf32.
DEVICE unsigned round_tf32(float x) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
}

DEVICE unsigned shared_address(const void* pointer) {
    return (unsigned)__cvta_generic_to_shared(pointer);
}

// Copies 16, 8 or 4 bytes to shared memory, both ends on such a boundary. What was begun until
// `commit_copies` is one group of this thread; `wait_for_copies<N>` waits for all groups but the
// last N.
DEVICE void begin_copy16(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from)
                 : "memory");
}

DEVICE void begin_copy8(void* to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(shared_address(to)), "l"(from)
                 : "memory");
}

DEVICE void begin_copy4(void* to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from)
                 : "memory");
}

DEVICE void commit_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N>
DEVICE void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#endif

#if __CUDA_ARCH__ >= 900
#define HAS_BULK_COPIES 1

typedef unsigned long long Barrier;

// A barrier whose phases end with one arrival and all bytes that were announced for them. To be
// called by one thread, before a barrier of the block.
DEVICE void make_barrier(Barrier* barrier) {
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Arrives, and announces so many bytes.
DEVICE void announce_bytes(Barrier* barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

// Copies a multiple of 16 bytes, both ends on such a boundary, as part of the barrier's phase.
DEVICE void begin_bulk_copy(void* to, const void* from, unsigned bytes, Barrier* barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(shared_address(to)),
        "l"(from), "r"(bytes), "r"(shared_address(barrier))
        : "memory");
}

// Waits for the end of a phase, by its last bit.
DEVICE void wait_for_phase(Barrier* barrier, unsigned phase) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}" ::"r"(shared_address(barrier)),
        "r"(phase & 1)
        : "memory");
}
#endif

// Two bytes of `pair`, each 0x64, make 1024 + byte in f16; taking 1024 off is exact.
DEVICE unsigned bytes_to_f16(unsigned pair) {
    unsigned values;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(values) : "r"(pair), "r"(0x64006400u));
    return values;
}

DEVICE float f16_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

// Makes what this thread wrote, or saw written, visible to the host before a word that says so.
DEVICE void tell_host(unsigned* word, unsigned number) {
    __threadfence_system();
    *(volatile unsigned*)word = number;
}

// A word of the host's memory, as it is now.
DEVICE unsigned read_word(const unsigned* word) {
    return *(const volatile unsigned*)word;
}

// Two neighbours on a boundary of 16 bytes, each as it is now; not both as they were at once.
DEVICE void read_pair(unsigned long long (&pair)[2], const unsigned long long* from) {
    asm volatile("ld.volatile.global.v2.u64 {%0, %1}, [%2];"
                 : "=l"(pair[0]), "=l"(pair[1])
                 : "l"(from)
                 : "memory");
}

// What the host wrote before a word that this thread read is seen from here on.
DEVICE void see_host() {
    __threadfence_system();
}

// A clock's nanoseconds, the same on all of the device.
DEVICE unsigned long long now_ns() {
    unsigned long long now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    return now;
}

// Rests for about so long.
DEVICE void rest(unsigned ns) {
    if (ns > 0) {
        __nanosleep(ns);
    }
}

#endif

DEVICE float infinity() {
    return __uint_as_float(0x7f800000u);
}
