// How the host and a kernel that stays on the device hand batches to each other: one block of the
// host's memory, which both see. `src/backend/cuda/resident.rs` has the other end; the two files
// are read together.

#pragma once

#include "device.cuh"

// What a launch is told: the device's stop word as it was then; how long the kernel waits for a
// letter, and stays at all; and whether the stage fits on chip.
struct Terms {
    unsigned stop;
    unsigned idle_ns;
    unsigned stay_ns;
    unsigned is_on_chip;
};

struct Mail {
    // From the host: a letter of two words, each of which is read as a whole. The number of a
    // letter is in both, so that words of two letters are not taken for one.
    //
    // The number's lower 16 bits, above the address of the batch's rows.
    unsigned long long where;
    // The letter's number, above the number of rows; no rows ask the kernel to leave.
    unsigned long long request;
    unsigned long long unused[6];
    // From the host, before the kernel is launched.
    Terms terms;
    unsigned more[12];
    // From the kernel: the number of the last letter that was answered, and of the launch that
    // left.
    unsigned answered;
    unsigned left;
};

// A batch to be run. It has no rows where the kernel is to leave.
struct Letter {
    const unsigned char* rows;
    unsigned count;
    unsigned number;
};

// From when on a kernel that waits rests between two looks, and for how long.
const unsigned long long AWAKE_NS = 2000000;
const unsigned REST_NS = 1000;

// Waits for a letter after that of number `served`, as one thread of a kernel that began at
// `begun_ns`. What the host wrote before it is seen by whoever this thread meets afterwards.
DEVICE Letter wait_for_letter(
    const Mail* mail, const Terms& terms, const unsigned* stop, unsigned served,
    unsigned long long begun_ns
) {
    const unsigned long long since_ns = now_ns();
    for (;;) {
        const unsigned stop_now = read_word(stop);
        unsigned long long words[2];
        read_pair(words, &mail->where);
        const unsigned long long now = now_ns();
        const unsigned number = (unsigned)(words[1] >> 32);
        // Who wants all kernels gone does not wait for a host that never ends to write.
        if (stop_now != terms.stop) {
            return {nullptr, 0, served};
        }
        if (number != served && words[0] >> 48 == (number & 0xffff)) {
            see_host();
            return {(const unsigned char*)(words[0] << 16 >> 16), (unsigned)words[1], number};
        }
        if (now - since_ns > terms.idle_ns || now - begun_ns > terms.stay_ns) {
            return {nullptr, 0, served};
        }
        rest(now - since_ns > AWAKE_NS ? REST_NS : 0);
    }
}
