// Bringing rows on chip beside the products: steps of a few chunks of 16 values, of as many rows as
// a warp, or a block, has threads for.

#pragma once

#include "device.cuh"
#include "stage.cuh"

#if defined(FUSEWIRE_ON_CPU) || __CUDA_ARCH__ >= 800

// Copies bytes in pieces of 16, 8, 4, 2 or 1, which both ends are a multiple of. One or two bytes
// are there at once, the others once they are waited for.
DEVICE void begin_piece(unsigned char* to, const unsigned char* from, unsigned piece) {
    if (piece == 16) {
        begin_copy16(to, from);
    } else if (piece == 8) {
        begin_copy8(to, from);
    } else if (piece == 4) {
        begin_copy4(to, from);
    } else if (piece == 2) {
        *(unsigned short*)to = *(const unsigned short*)from;
    } else {
        *to = *from;
    }
}

// Which rows a step is of.
struct Span {
    // The first, and how many there are in all: of those past the end, the last is copied again.
    unsigned row;
    unsigned count;
    // Bytes into each row, and how many of them.
    unsigned from;
    unsigned bytes;
};

// Where a row of a span begins to be copied.
DEVICE const unsigned char* row_at(
    const unsigned char* rows, const Stage& stage, Span span, unsigned row
) {
    const unsigned which = min(span.row + row, span.count - 1);
    return rows + (unsigned long long)which * stage.row_bytes + span.from;
}

// Begins to copy `ROWS` rows into places `pitch` bytes apart, as thread `thread` of `threads`.
template <unsigned ROWS>
DEVICE void begin_rows(
    unsigned char* to, unsigned pitch, const unsigned char* rows, const Stage& stage, Span span,
    unsigned thread, unsigned threads
) {
    const unsigned pieces = span.bytes / stage.piece;
    for (unsigned i = thread; i < ROWS * pieces; i += threads) {
        const unsigned row = i / pieces, at = i % pieces * stage.piece;
        const unsigned char* from = row_at(rows, stage, span, row);
        begin_piece(to + row * pitch + at, from + at, stage.piece);
    }
}

// Waits for all copies but those of the last `depth - 1` groups.
DEVICE void wait_for_step(unsigned depth) {
    switch (depth) {
        case 2:
            wait_for_copies<1>();
            break;
        case 3:
            wait_for_copies<2>();
            break;
        case 4:
            wait_for_copies<3>();
            break;
        default:
            wait_for_copies<0>();
            break;
    }
}

#endif
