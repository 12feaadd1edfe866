// Running one block after the other, each thread of it a fiber.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "launch.h"
#include "on_cpu.h"
#include "stage.cuh"

Index threadIdx, blockIdx, blockDim, gridDim;

const size_t SHARED_MAX = 232448;
// Bytes past the scores that are looked at.
const size_t PAST_MAX = 64 << 10;
alignas(128) static unsigned char shared_of_most[SHARED_MAX];
unsigned char* shared_memory = shared_of_most;

namespace {

const size_t STACK_BYTES = 64 << 10;
const unsigned LANES = 32;

// --- fibers ---

extern "C" void cuda_on_cpu_switch(void** from, void* to);

#if defined(__x86_64__)
asm(R"(
.text
cuda_on_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
const size_t SAVED = 6;
#elif defined(__aarch64__)
asm(R"(
.text
cuda_on_cpu_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
const size_t SAVED = 11;
#endif

struct Copy {
    void* to;
    const void* from;
    unsigned bytes;

    void arrive() const {
        memcpy(to, from, bytes);
    }
};

struct Fiber {
    std::vector<unsigned char> stack = std::vector<unsigned char>(STACK_BYTES);
    void* place = nullptr;
    bool is_done = false;
    // It waits until this number is no longer that.
    const unsigned* watched = nullptr;
    unsigned seen = 0;
    // Copies that were begun: in groups, and not in one yet.
    std::vector<std::vector<Copy>> groups;
    std::vector<Copy> begun;
};

// Threads that wait for each other.
struct Gate {
    unsigned expected = 0;
    unsigned arrived = 0;
    unsigned generation = 0;
    const char* what = nullptr;
};

// What the lanes of a warp hand each other: in turns of two, so that nobody hands over while others
// still read.
struct Exchange {
    unsigned x[LANES][4];
    unsigned w[LANES][2];
    float value[LANES];
};

struct Warp {
    Gate gate;
    Exchange exchange[2];
};

struct Phases {
    unsigned phase = 0;
    bool has_arrived = false;
    long missing = 0;
    std::vector<Copy> begun;
};

struct Block {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    Gate gate;
    std::map<Barrier*, Phases> barriers;
    unsigned current = 0;
    unsigned living = 0;
    void* scheduler = nullptr;
    std::string failure;
    // Its kernel waits for the host.
    bool rests = false;
    bool copies_are_late = true;
    uint64_t random = 1;

    uint64_t next_random() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return random;
    }
};

Block block;
Kernel kernel;
std::string kernel_name;
struct Arguments {
    const unsigned char* rows;
    const unsigned char* stage;
    float* scores;
    unsigned count;
    unsigned* done;
    unsigned number;
} arguments;

Fiber& current() {
    return block.fibers[block.current];
}

Warp& warp() {
    return block.warps[block.current / LANES];
}

bool is_runnable(const Fiber& fiber) {
    return !fiber.is_done && (fiber.watched == nullptr || *fiber.watched != fiber.seen);
}

// Ends the block: its fibers are left where they are.
[[noreturn]] void fail(const std::string& why) {
    block.failure = why;
    void* nowhere;
    cuda_on_cpu_switch(&nowhere, block.scheduler);
    abort();
}

// Lets another fiber run: the next that can, or any now and then.
void give_way() {
    const unsigned count = (unsigned)block.fibers.size();
    unsigned from = block.current + 1;
    if (block.next_random() % 64 == 0) {
        from = (unsigned)(block.next_random() % count);
    }
    for (unsigned i = 0; i < count; i++) {
        const unsigned next = (from + i) % count;
        if (is_runnable(block.fibers[next])) {
            if (next == block.current) {
                return;
            }
            Fiber& before = current();
            block.current = next;
            threadIdx.x = next;
            cuda_on_cpu_switch(&before.place, block.fibers[next].place);
            return;
        }
    }
    if (block.living == 0) {
        void* nowhere;
        cuda_on_cpu_switch(&nowhere, block.scheduler);
    }
    fail("threads wait for each other for ever");
}

void wait_while(const unsigned* watched, unsigned seen) {
    Fiber& mine = current();
    mine.watched = watched;
    mine.seen = seen;
    while (*watched == seen) {
        give_way();
    }
    mine.watched = nullptr;
}

void open_if_all_are_there(Gate& gate) {
    if (gate.expected > 0 && gate.arrived == gate.expected) {
        gate.arrived = 0;
        gate.what = nullptr;
        gate.generation++;
    }
}

void pass(Gate& gate, const char* what) {
    if (gate.what != nullptr && strcmp(gate.what, what) != 0) {
        fail(std::string("threads meet at ") + what + " and at " + gate.what);
    }
    gate.what = what;
    const unsigned generation = gate.generation;
    gate.arrived++;
    open_if_all_are_there(gate);
    if (gate.generation == generation) {
        wait_while(&gate.generation, generation);
    }
}

// Where lanes hand each other something; `put` writes this lane's.
template <class Put>
const Exchange& exchange(const char* what, Put put) {
    Warp& mine = warp();
    Exchange& place = mine.exchange[mine.gate.generation % 2];
    put(place, block.current % LANES);
    pass(mine.gate, what);
    return place;
}

void run_thread() {
    kernel(
        arguments.rows, arguments.stage, arguments.scores, arguments.count, arguments.done,
        arguments.number
    );
    Fiber& mine = current();
    mine.is_done = true;
    block.living--;
    block.gate.expected--;
    warp().gate.expected--;
    open_if_all_are_there(block.gate);
    open_if_all_are_there(warp().gate);
    give_way();
    abort();
}

// A stack on which a fiber begins.
void prepare(Fiber& fiber) {
    const uintptr_t end = (uintptr_t)(fiber.stack.data() + fiber.stack.size()) & ~(uintptr_t)63;
#if defined(__x86_64__)
    void** top = (void**)(end - 64);
    top[0] = (void*)run_thread;
    top[1] = nullptr;
    fiber.place = top - SAVED;
#else
    void** top = (void**)(end - 160);
    top[SAVED] = (void*)run_thread;
    fiber.place = top;
#endif
    fiber.is_done = false;
    fiber.watched = nullptr;
    fiber.groups.clear();
    fiber.begun.clear();
}

void run_block(unsigned threads) {
    memset(shared_memory, 0xff, SHARED_MAX);
    block.fibers.resize(threads);
    block.warps.assign((threads + LANES - 1) / LANES, Warp());
    block.barriers.clear();
    block.gate = Gate();
    block.gate.expected = block.living = threads;
    for (unsigned thread = 0; thread < threads; thread++) {
        prepare(block.fibers[thread]);
        block.warps[thread / LANES].gate.expected++;
    }
    block.current = threadIdx.x = 0;
    cuda_on_cpu_switch(&block.scheduler, block.fibers[0].place);
}

float tf32(unsigned bits) {
    return __uint_as_float(bits & 0xffffe000u);
}

float f16_of(unsigned pair, unsigned half) {
    return f16_to_float((unsigned short)(pair >> 16 * half));
}

float bf16_of(unsigned pair, unsigned half) {
    return __uint_as_float((pair >> 16 * half) << 16);
}

// Sums of 16 rows by 8 outputs over inputs that `x` and `w` find: as the manual of the instruction
// set has it, lane 4 * g + t holds rows g and g + 8 of outputs 2 * t and 2 * t + 1.
template <class X, class W>
void add_products(float (&sums)[4], unsigned inputs, X x, W w) {
    const unsigned lane = block.current % LANES;
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = lane / 4 + 8 * (i / 2), output = 2 * (lane % 4) + i % 2;
        float sum = 0.0f;
        for (unsigned k = 0; k < inputs; k++) {
            sum += x(row, k) * w(k, output);
        }
        sums[i] += sum;
    }
}

template <class Widen>
void multiply_pairs(
    const char* what, Widen widen, float (&sums)[4], const unsigned (&x)[4], unsigned w0,
    unsigned w1
) {
    const Exchange& all = exchange(what, [&](Exchange& place, unsigned lane) {
        memcpy(place.x[lane], x, sizeof(x));
        place.w[lane][0] = w0;
        place.w[lane][1] = w1;
    });
    add_products(
        sums, 16,
        [&](unsigned row, unsigned k) {
            const unsigned lane = 4 * (row % 8) + k % 8 / 2;
            return widen(all.x[lane][row / 8 + 2 * (k / 8)], k % 2);
        },
        [&](unsigned k, unsigned output) {
            return widen(all.w[4 * output + k % 8 / 2][k / 8], k % 2);
        }
    );
}

Phases& phases(Barrier* barrier) {
    const auto found = block.barriers.find(barrier);
    if (found == block.barriers.end()) {
        fail("a barrier that was not made");
    }
    return found->second;
}

void end_phase_if_all_is_there(Phases& phases) {
    if (phases.has_arrived && phases.missing == 0 && phases.begun.empty()) {
        phases.has_arrived = false;
        phases.phase++;
    }
}

void arrive_all(Phases& phases) {
    for (const Copy& copy : phases.begun) {
        copy.arrive();
        phases.missing -= copy.bytes;
    }
    phases.begun.clear();
    end_phase_if_all_is_there(phases);
}

void check_aligned(const void* to, const void* from, unsigned bytes) {
    if ((uintptr_t)to % bytes != 0 || (uintptr_t)from % bytes != 0) {
        fail("a copy off its boundary");
    }
}

bool lies_in(const void* from, unsigned bytes, const void* block, size_t block_bytes) {
    const uintptr_t begin = (uintptr_t)block, at = (uintptr_t)from;
    return at >= begin && at + bytes <= begin + block_bytes;
}

// Copies are of a row that there is, or of the stage's block.
void check_source(const void* from, unsigned bytes) {
    const Stage& stage = *(const Stage*)arguments.stage;
    const size_t rows_bytes = (size_t)arguments.count * stage.row_bytes;
    const bool is_row = lies_in(from, bytes, arguments.rows, rows_bytes);
    if (!is_row && !lies_in(from, bytes, arguments.stage, stage.bytes)) {
        fail("a copy of what is no row");
    }
}

std::map<std::string, Kernel>& names() {
    static std::map<std::string, Kernel> names;
    return names;
}

}  // namespace

Named::Named(const char* name, Kernel kernel) {
    names()[name] = kernel;
}

void __syncthreads() {
    pass(block.gate, "__syncthreads");
}

void rest(unsigned) {
    block.rests = true;
    cuda_on_cpu_switch(&current().place, block.scheduler);
}

void dawdle() {
    if (block.next_random() % 4 == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
}

unsigned long long now_ns() {
    static const bool stands = getenv("CUDA_ON_CPU_CLOCK_STANDS") != nullptr;
    if (stands) {
        return 0;
    }
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return (unsigned long long)std::chrono::nanoseconds(now).count();
}

void __syncwarp() {
    pass(warp().gate, "__syncwarp");
}

float __shfl_xor_sync(unsigned, float x, int lanes) {
    const Exchange& all = exchange("__shfl_xor_sync", [&](Exchange& place, unsigned lane) {
        place.value[lane] = x;
    });
    return all.value[(block.current % LANES) ^ (unsigned)lanes];
}

void multiply_tf32(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1) {
    const Exchange& all = exchange("a product of tf32", [&](Exchange& place, unsigned lane) {
        memcpy(place.x[lane], x, sizeof(x));
        place.w[lane][0] = w0;
        place.w[lane][1] = w1;
    });
    add_products(
        sums, 8,
        [&](unsigned row, unsigned k) {
            return tf32(all.x[4 * (row % 8) + k % 4][row / 8 + 2 * (k / 4)]);
        },
        [&](unsigned k, unsigned output) { return tf32(all.w[4 * output + k % 4][k / 4]); }
    );
}

void multiply_f16(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1) {
    multiply_pairs("a product of f16", f16_of, sums, x, w0, w1);
}

void multiply_bf16(float (&sums)[4], const unsigned (&x)[4], unsigned w0, unsigned w1) {
    multiply_pairs("a product of bf16", bf16_of, sums, x, w0, w1);
}

void begin_copy(void* to, const void* from, unsigned bytes) {
    check_aligned(to, from, bytes);
    check_source(from, bytes);
    const Copy copy = {to, from, bytes};
    if (block.copies_are_late) {
        current().begun.push_back(copy);
    } else {
        copy.arrive();
    }
}

void commit_copies() {
    Fiber& mine = current();
    mine.groups.push_back(std::move(mine.begun));
    mine.begun.clear();
}

void wait_for_copies_but(unsigned kept) {
    auto& groups = current().groups;
    const size_t over = groups.size() > kept ? groups.size() - kept : 0;
    for (size_t group = 0; group < over; group++) {
        for (const Copy& copy : groups[group]) {
            copy.arrive();
        }
    }
    groups.erase(groups.begin(), groups.begin() + (std::ptrdiff_t)over);
}

void make_barrier(Barrier* barrier) {
    block.barriers[barrier] = Phases();
}

void announce_bytes(Barrier* barrier, unsigned bytes) {
    Phases& own = phases(barrier);
    if (own.has_arrived) {
        fail("a barrier's phase is announced twice");
    }
    own.has_arrived = true;
    own.missing += bytes;
    end_phase_if_all_is_there(own);
}

void begin_bulk_copy(void* to, const void* from, unsigned bytes, Barrier* barrier) {
    check_aligned(to, from, 16);
    check_source(from, bytes);
    if (bytes % 16 != 0) {
        fail("a bulk copy of no whole number of 16 bytes");
    }
    Phases& own = phases(barrier);
    own.begun.push_back({to, from, bytes});
    if (!block.copies_are_late) {
        arrive_all(own);
    }
}

void wait_for_phase(Barrier* barrier, unsigned phase) {
    const unsigned LOOKS = 1 << 20;
    Phases& own = phases(barrier);
    for (unsigned look = 0; (own.phase & 1) == (phase & 1); look++) {
        if (look == LOOKS) {
            fail("a phase never ends");
        }
        // All that was announced is there before anything of it arrives.
        if (own.has_arrived) {
            long begun = 0;
            for (const Copy& copy : own.begun) {
                begun += copy.bytes;
            }
            if (begun == own.missing) {
                arrive_all(own);
                continue;
            }
        }
        give_way();
    }
}

namespace {

// A kernel by its name; `sm_90/name` may be another than `name`.
Kernel find(const std::string& name) {
    const size_t slash = name.find('/');
    const std::string plain = slash == std::string::npos ? name : name.substr(slash + 1);
    for (const std::string& known : {name, plain}) {
        const auto found = names().find(known);
        if (found != names().end()) {
            return found->second;
        }
    }
    return nullptr;
}

// Has chance decide anew, for every launch in another way.
void shuffle() {
    static unsigned launches = 0;
    const char* seed = getenv("CUDA_ON_CPU_SEED");
    launches++;
    block.random = 0x9e3779b97f4a7c15ull * (launches + (seed ? strtoull(seed, nullptr, 10) : 0));
    block.copies_are_late = block.next_random() % 2 == 0;
}

// Why the block that has just run did so in vain; nothing where it went well.
std::string judge_block(unsigned shared_bytes) {
    for (size_t at = shared_bytes; block.failure.empty() && at < SHARED_MAX; at++) {
        if (shared_memory[at] != 0xff) {
            return "shared memory past its end was written";
        }
    }
    return block.failure;
}

// Runs the blocks. Returns nothing where it went well, else why it did not.
std::string run_blocks(unsigned shared_bytes) {
    for (unsigned i = 0; i < gridDim.x * gridDim.y; i++) {
        blockIdx = {i % gridDim.x, i / gridDim.x, 0};
        run_block(blockDim.x);
        const std::string failure = judge_block(shared_bytes);
        if (!failure.empty()) {
            return failure;
        }
    }
    return "";
}

// What is of one kernel's running, where another runs meanwhile.
struct Running {
    Block block;
    Kernel kernel;
    std::string kernel_name;
    Arguments arguments;
    Index indices[4];
    unsigned shared_bytes;
    std::vector<unsigned char> shared;

    void exchange() {
        std::swap(block, ::block);
        std::swap(kernel, ::kernel);
        std::swap(kernel_name, ::kernel_name);
        std::swap(arguments, ::arguments);
        Index* const all[4] = {&threadIdx, &blockIdx, &blockDim, &gridDim};
        for (unsigned i = 0; i < 4; i++) {
            std::swap(indices[i], *all[i]);
        }
    }
};

std::mutex one_at_a_time;
const int LAUNCH_FAILED = 719;

int answer(const std::string& failure) {
    if (!failure.empty()) {
        fprintf(stderr, "%s: %s\n", kernel_name.c_str(), failure.c_str());
    }
    return failure.empty() ? 0 : LAUNCH_FAILED;
}

// Lets the kernel run until it rests or ends.
int go_on(Running* running) {
    running->exchange();
    shared_memory = (unsigned char*)(((uintptr_t)running->shared.data() + 127) & ~(uintptr_t)127);
    if (block.fibers.empty()) {
        run_block(blockDim.x);
    } else {
        block.rests = false;
        cuda_on_cpu_switch(&block.scheduler, current().place);
    }
    const bool rests = block.rests && block.failure.empty();
    const int code = rests ? RESTS : answer(judge_block(running->shared_bytes));
    shared_memory = shared_of_most;
    running->exchange();
    if (!rests) {
        delete running;
    }
    return code;
}

// Begins a kernel that stays: one block, with shared memory of its own.
int stay(unsigned threads, unsigned shared_bytes, void** rests) {
    Running* const own = new Running{{}, kernel, kernel_name, arguments, {}, shared_bytes, {}};
    own->shared.resize(SHARED_MAX + 128);
    own->indices[2] = {threads, 1, 1};
    own->indices[3] = {1, 1, 1};
    own->block.random = block.random;
    *rests = own;
    return go_on(own);
}

}  // namespace

extern "C" void cuda_on_cpu_add(const char* name, void* kernel) {
    names()[name] = (Kernel)kernel;
}

extern "C" int cuda_on_cpu_go_on(void* rests) {
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    return go_on((Running*)rests);
}

extern "C" int cuda_on_cpu_launch(
    const char* name, unsigned grid[3], unsigned threads[3], unsigned shared_bytes, void** values,
    void** rests
) {
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    kernel = find(name);
    kernel_name = name;
    if (kernel == nullptr || shared_bytes > SHARED_MAX) {
        return answer("no such kernel, or more shared memory than there is");
    }
    arguments.rows = *(const unsigned char**)values[0];
    arguments.stage = *(const unsigned char**)values[1];
    arguments.scores = *(float**)values[2];
    arguments.count = *(unsigned*)values[3];
    arguments.done = *(unsigned**)values[4];
    arguments.number = *(unsigned*)values[5];
    const Stage& stage = *(const Stage*)arguments.stage;
    cuda_on_cpu_require(arguments.stage, stage.bytes, "a stage");
    shuffle();
    if (kernel_name.find("persistent") != std::string::npos) {
        return stay(threads[0], shared_bytes, rests);
    }
    const size_t count = arguments.count;
    const size_t scores_bytes = count * stage.width * sizeof(float);
    cuda_on_cpu_require(arguments.rows, count * stage.row_bytes, "rows");
    cuda_on_cpu_require(arguments.scores, scores_bytes, "scores");
    const unsigned char* past = (const unsigned char*)arguments.scores + scores_bytes;
    const size_t looked_at = std::min(cuda_on_cpu_room(past), PAST_MAX);
    const std::vector<unsigned char> before(past, past + looked_at);
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    block.failure.clear();
    const std::string failure = run_blocks(shared_bytes);
    if (memcmp(past, before.data(), before.size()) != 0) {
        return answer("scores past the last row were written");
    }
    return answer(failure);
}
