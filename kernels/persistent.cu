// A stage that is a whole network, by one block that stays on the device and waits in the host's
// memory for batches of few rows: no launch stands between a batch and its scores.
//
// The stage lies on chip where it fits. A kernel that is made for its stage holds the first layer's
// weights in registers, where they fit those.

#include "block.cuh"
#include "mail.cuh"

// Rows that go through the layers side by side, where there is more than one.
const unsigned ROWS_AT_ONCE = 4;
// Bytes of shared memory for the letter.
const unsigned LETTER_BYTES = 32;
// The most registers of weights that a thread holds.
const unsigned HELD_WORDS = 128;

// Fragments of the first layer that a warp holds.
template <class Weights>
DEVICE constexpr unsigned held_fragments() {
#ifdef FIXED_STAGE
    constexpr Layer first = FIXED.layer[0];
    constexpr unsigned fragments = (first.chunks + WARPS - 1) / WARPS * first.tiles;
    return fragments * sizeof(Four<Weights>) <= 4 * HELD_WORDS ? fragments : 0;
#else
    return 0;
#endif
}

template <class Row, class Weights>
struct Resident {
    static const unsigned HELD = held_fragments<Weights>();

    typedef Four<Weights> Held[HELD > 0 ? HELD : 1];

    const unsigned char* block;
    float* scores;
    OnChip on_chip;
    bool has_head;
    const Held& held;

    // What this warp holds.
    DEVICE static void hold(Held& held, const unsigned char* block) {
        const Layer& layer = STAGE_IN(block).layer[0];
#pragma unroll
        for (unsigned i = 0; i < HELD; i++) {
            const unsigned chunk = i / layer.tiles * WARPS + threadIdx.x / 32;
            const unsigned index = min(chunk, layer.chunks - 1) * layer.tiles + i % layer.tiles;
            held[i] = fragment<Weights>(block + layer.weights, index, threadIdx.x % 32);
        }
    }

    // The rows of a batch from `first` on, as many as go at once.
    template <unsigned ROWS>
    DEVICE void take(const Letter& letter, unsigned first) const {
        const Stage& stage = STAGE_IN(block);
        const unsigned own = min(ROWS, letter.count - first);
        const unsigned char* from = letter.rows + first * stage.row_bytes;
        if (fits_on_chip(stage, ROWS_AT_ONCE)) {
            bring(on_chip.rows, from, own * stage.row_bytes, stage.piece);
            from = on_chip.rows;
            __syncthreads();
        }
        float* to = scores + first * stage.width;
        Block<Row, Weights, ROWS, HELD> here = {block,   from,     to,  own,
                                                on_chip, has_head, held};
        here.run(0, TILES_AT_ONCE);
    }

    DEVICE void run(const Letter& letter) const {
        if (letter.count == 1) {
            take<1>(letter, 0);
            return;
        }
        for (unsigned first = 0; first < letter.count; first += ROWS_AT_ONCE) {
            take<ROWS_AT_ONCE>(letter, first);
        }
    }
};

template <class Row, class Weights>
DEVICE void persistent(
    const unsigned char* post, const unsigned char* given, float* scores, unsigned served,
    unsigned* stop, unsigned life
) {
    const unsigned long long begun_ns = now_ns();
    SHARED_MEMORY(shared);
    Mail* mail = (Mail*)post;
    const Terms terms = mail->terms;
    Letter& letter = *(Letter*)shared;
    unsigned char* room = shared + LETTER_BYTES;
    const unsigned char* block = given;
    if (terms.is_on_chip) {
        const unsigned bytes = STAGE_IN(given).bytes;
        bring(room, given, bytes, 16);
        __syncthreads();
        block = room;
        room += bytes;
    }
    const Stage& stage = STAGE_IN(block);
    const bool has_head = stage.head != HEAD_LOGITS;
    const OnChip on_chip = lay_out(room, stage, ROWS_AT_ONCE, has_head);
    typename Resident<Row, Weights>::Held held;
    Resident<Row, Weights>::hold(held, block);
    const Resident<Row, Weights> here = {block, scores, on_chip, has_head, held};
    for (;;) {
        if (threadIdx.x == 0) {
            letter = wait_for_letter(mail, terms, stop, served, begun_ns);
        }
        __syncthreads();
        if (letter.count == 0) {
            break;
        }
        served = letter.number;
        here.run(letter);
        __syncthreads();
        if (threadIdx.x == 0) {
            tell_host(&mail->answered, served);
        }
    }
    if (threadIdx.x == 0) {
        tell_host(&mail->left, life);
    }
}

#ifdef NAME
extern "C" __global__ void __launch_bounds__(256, 1) NAME(
    const unsigned char* mail, const unsigned char* stage, float* scores, unsigned served,
    unsigned* stop, unsigned life
) {
    persistent<ROW, WEIGHTS>(mail, stage, scores, served, stop, life);
}
#endif
