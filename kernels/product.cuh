// Products of rows by fragments of weights on tensor cores, in f32 sums.
//
// What is multiplied is chosen by the types alone. Bytes and weights of 16 bits meet as f16 or
// bf16, both exact, and rows of 16 bits meet weights of their own type as they are. All else meets
// as tf32, which has 11 significant bits of an f32's 24: a weight of 16 bits is exact in that, and
// so are a byte and a row's value of 16 bits; an f32 of the rows or of a layer before is rounded.
// An f32 weight is split into two tf32 whose sum it is but for its last three bits, and so is what
// it is multiplied by where that is not exact: the sums keep the precision of f32.

#pragma once

#include "device.cuh"

// The types of weights, and of rows' values of 16 bits.
struct F32 {
    typedef float Bits;
};
struct F16 {
    typedef unsigned short Bits;
    Bits bits;
};
struct Bf16 {
    typedef unsigned short Bits;
    Bits bits;
};

template <class A, class B>
struct Same {
    static const bool value = false;
};
template <class A>
struct Same<A, A> {
    static const bool value = true;
};

// The upper 19 bits: a tf32 that is never further from 0.
DEVICE unsigned upper_tf32(float x) {
    return __float_as_uint(x) & 0xffffe000u;
}

DEVICE float widen(F16 x) {
    return f16_to_float(x.bits);
}

DEVICE float widen(Bf16 x) {
    return __uint_as_float((unsigned)x.bits << 16);
}

// The four weights of a lane in one fragment.
template <class Weights>
struct alignas(4 * sizeof(typename Weights::Bits)) Four {
    typename Weights::Bits bits[4];
};

DEVICE float widen(const Four<F32>& four, int i) {
    return four.bits[i];
}

DEVICE float widen(const Four<F16>& four, int i) {
    return widen(F16{four.bits[i]});
}

DEVICE float widen(const Four<Bf16>& four, int i) {
    return widen(Bf16{four.bits[i]});
}

// The four weights of `lane` in fragment `index`.
template <class Weights>
DEVICE Four<Weights> fragment(const unsigned char* weights, unsigned index, unsigned lane) {
    return ((const Four<Weights>*)weights)[index * 32 + lane];
}

// Two of the 16-bit weights, as a register.
template <class Weights>
DEVICE unsigned two_of(const Four<Weights>& four, int i) {
    return (unsigned)four.bits[2 * i] | (unsigned)four.bits[2 * i + 1] << 16;
}

// Four values of 16 bits, two to a word.
template <class Row>
DEVICE void widen_four(float (&x)[4], uint2 four) {
    x[0] = widen(Row{(unsigned short)four.x});
    x[1] = widen(Row{(unsigned short)(four.x >> 16)});
    x[2] = widen(Row{(unsigned short)four.y});
    x[3] = widen(Row{(unsigned short)(four.y >> 16)});
}

#if defined(FUSEWIRE_ON_CPU) || __CUDA_ARCH__ >= 800

// What is known of numbers that are multiplied as tf32: nothing, that they are such without being
// rounded, or that they are and none is infinite.
enum Known { ANY, EXACT, EXACT_AND_FINITE };

// What a lane multiplies: its four inputs of a chunk, of two rows 8 apart.
template <class Weights, Known KNOWN>
struct Operand {
    static const bool IS_SPLIT = Same<Weights, F32>::value;
    static const bool IS_EXACT = KNOWN != ANY;

    // Of each half of the chunk: rows g and g + 8 of its first input, then of its second.
    unsigned upper[2][4];
    // What is left of them, where they are split.
    unsigned rest[2][4];
    // The upper parts that are numbers, where weights are split: infinity must not meet what is
    // left of a weight, which may be 0.
    unsigned finite[2][4];

    DEVICE void set(const float (&low)[4], const float (&high)[4]) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int even = 2 * half, odd = even + 1;
            const float x[4] = {low[even], high[even], low[odd], high[odd]};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (!IS_EXACT && !IS_SPLIT) {
                    upper[half][i] = round_tf32(x[i]);
                    continue;
                }
                upper[half][i] = IS_EXACT ? __float_as_uint(x[i]) : upper_tf32(x[i]);
                if (IS_SPLIT && KNOWN != EXACT_AND_FINITE) {
                    const bool is_infinite = fabsf(x[i]) == infinity();
                    finite[half][i] = is_infinite ? 0 : upper[half][i];
                    const float left = x[i] - __uint_as_float(finite[half][i]);
                    rest[half][i] = is_infinite ? 0 : __float_as_uint(left);
                }
            }
        }
    }

    // Adds the products by a fragment.
    DEVICE void multiply(float (&sums)[4], const Four<Weights>& four) const {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float w0 = widen(four, 2 * half), w1 = widen(four, 2 * half + 1);
            if (!IS_SPLIT) {
                multiply_tf32(sums, upper[half], __float_as_uint(w0), __float_as_uint(w1));
                continue;
            }
            const unsigned upper0 = upper_tf32(w0), upper1 = upper_tf32(w1);
            const float rest0 = w0 - __uint_as_float(upper0), rest1 = w1 - __uint_as_float(upper1);
            const unsigned left0 = __float_as_uint(rest0), left1 = __float_as_uint(rest1);
            const bool all_finite = KNOWN == EXACT_AND_FINITE;
            multiply_tf32(sums, all_finite ? upper[half] : finite[half], left0, left1);
            if (!IS_EXACT) {
                multiply_tf32(sums, rest[half], upper0, upper1);
            }
            multiply_tf32(sums, upper[half], upper0, upper1);
        }
    }
};

// What meets weights of 16 bits in their own type: the values of two rows 8 apart, two to a
// register.
template <class Weights>
struct Pairs {
    unsigned pairs[4];

    DEVICE void multiply(float (&sums)[4], const Four<Weights>& four) const {
        if (Same<Weights, F16>::value) {
            multiply_f16(sums, pairs, two_of(four, 0), two_of(four, 1));
        } else {
            multiply_bf16(sums, pairs, two_of(four, 0), two_of(four, 1));
        }
    }
};

// Bytes that meet weights of 16 bits.
template <class Weights>
struct Bytes : Pairs<Weights> {
    DEVICE void set(unsigned low, unsigned high) {
        this->pairs[0] = pair(low, 0);
        this->pairs[1] = pair(high, 0);
        this->pairs[2] = pair(low, 1);
        this->pairs[3] = pair(high, 1);
    }

    // Bytes 2 * i and 2 * i + 1 as two values.
    DEVICE static unsigned pair(unsigned bytes, int i) {
        if (Same<Weights, F16>::value) {
            return bytes_to_f16(__byte_perm(bytes, 0x64, i == 0 ? 0x4140 : 0x4342));
        }
        const unsigned first = __float_as_uint((float)(bytes >> (16 * i) & 0xff));
        const unsigned second = __float_as_uint((float)(bytes >> (16 * i + 8) & 0xff));
        return first >> 16 | (second & 0xffff0000u);
    }
};

// What a lane multiplies of rows of a type, and how it reads that.
template <class Row, class Weights>
struct Rows;

template <class Weights>
struct Rows<float, Weights> : Operand<Weights, ANY> {
    // Reads four values of each of two rows. Those past `end` are 0: what lies there may be NaN.
    DEVICE void read(
        const unsigned char* low, const unsigned char* high, unsigned at, unsigned end
    ) {
        const float4 a = *(const float4*)(low + 4 * at);
        const float4 b = *(const float4*)(high + 4 * at);
        float of_low[4] = {a.x, a.y, a.z, a.w};
        float of_high[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            of_low[i] = at + i < end ? of_low[i] : 0.0f;
            of_high[i] = at + i < end ? of_high[i] : 0.0f;
        }
        this->set(of_low, of_high);
    }
};

// Four bytes of a row. What lies past its end is a number all the same, and meets weights of 0.
DEVICE unsigned four_bytes(const unsigned char* row, unsigned at) {
    return *(const unsigned*)(row + at);
}

template <class Weights>
struct Rows<unsigned char, Weights> : Bytes<Weights> {
    DEVICE void read(
        const unsigned char* low, const unsigned char* high, unsigned at, unsigned
    ) {
        this->set(four_bytes(low, at), four_bytes(high, at));
    }
};

template <>
struct Rows<unsigned char, F32> : Operand<F32, EXACT_AND_FINITE> {
    DEVICE void read(
        const unsigned char* low, const unsigned char* high, unsigned at, unsigned
    ) {
        const unsigned a = four_bytes(low, at), b = four_bytes(high, at);
        float of_low[4], of_high[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            of_low[i] = (float)(a >> (8 * i) & 0xff);
            of_high[i] = (float)(b >> (8 * i) & 0xff);
        }
        this->set(of_low, of_high);
    }
};

// Four values of 16 bits of a row, two to a word. Those past `end` are 0: what lies there may be
// NaN.
DEVICE uint2 four_halves(const unsigned char* row, unsigned at, unsigned end) {
    uint2 four = *(const uint2*)(row + 2 * at);
    four.x = at + 1 < end ? four.x : at < end ? four.x & 0xffff : 0;
    four.y = at + 3 < end ? four.y : at + 2 < end ? four.y & 0xffff : 0;
    return four;
}

// Values of 16 bits that meet weights of their own type.
template <class Weights>
struct Rows<Weights, Weights> : Pairs<Weights> {
    DEVICE void read(
        const unsigned char* low, const unsigned char* high, unsigned at, unsigned end
    ) {
        const uint2 a = four_halves(low, at, end), b = four_halves(high, at, end);
        this->pairs[0] = a.x;
        this->pairs[1] = b.x;
        this->pairs[2] = a.y;
        this->pairs[3] = b.y;
    }
};

// Values of 16 bits that meet weights of f32.
template <class Row>
struct Halves : Operand<F32, EXACT> {
    DEVICE void read(
        const unsigned char* low, const unsigned char* high, unsigned at, unsigned end
    ) {
        float of_low[4], of_high[4];
        widen_four<Row>(of_low, four_halves(low, at, end));
        widen_four<Row>(of_high, four_halves(high, at, end));
        this->set(of_low, of_high);
    }
};

template <>
struct Rows<F16, F32> : Halves<F16> {};

template <>
struct Rows<Bf16, F32> : Halves<Bf16> {};

#endif
