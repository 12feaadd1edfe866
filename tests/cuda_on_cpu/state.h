// What the driver without a card is made of: devices, memory, faults, and the queue that a thread
// works off. `driver.cpp` puts the driver's functions in front of it.

#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "launch.h"

namespace {

enum Code : unsigned {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
};

struct Device {
    std::string name;
    int major, minor;
    unsigned retained;
};

struct Fault {
    std::string function;
    unsigned calls; // How many more calls go well.
    unsigned code;
};

struct Event {
    bool recorded = false;
    unsigned pending = 0;
    std::chrono::steady_clock::time_point at;
};

struct Function {
    std::string name;
    int dynamic_max = 48 << 10;
};

struct Allocation {
    size_t bytes;
    bool pinned;
};

// Work of a stream, which comes after all before it.
struct Operation {
    void* stream;
    std::function<void()> run;
};

// A kernel that stays on the device, and the stream that waits for its end.
struct Resident {
    void* stream;
    void* rests;
};

struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Device> devices;
    std::vector<Fault> faults;
    std::map<std::string, unsigned> calls;
    std::map<uintptr_t, Allocation> memory;
    std::set<void*> objects; // Streams, events and modules.
    std::map<std::pair<void*, std::string>, Function> functions; // By module and name.
    std::deque<Operation> queue;
    std::vector<Resident> residents;
    bool running = false;
    bool hangs = false;
    bool initialised = false;
    bool has_worker = false;
    unsigned fatal = 0; // What every call answers from now on.
    bool told = false;  // Whether it was answered to a call.
    unsigned calls_after_fatal = 0;
};

// Never destroyed: its thread outlives `main`.
State& state() {
    static State* one = new State;
    return *one;
}

thread_local void* current = nullptr;

[[noreturn]] void die(const char* format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(stderr, "CUDA on the CPU: ");
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n");
    abort();
}

// Codes after which a context is as good as before.
bool harmless(unsigned code) {
    const unsigned codes[] = {1, 2, 100, 200, 209, 218, 221, 222, 223, 300, 400, 500, 600, 701, 801};
    for (unsigned known : codes) {
        if (known == code) return true;
    }
    return false;
}

// The answer that a call is ordered to give; the lock is held.
unsigned ordered(const char* name) {
    State& s = state();
    s.calls[name]++;
    if (s.fatal != 0) {
        if (s.told) s.calls_after_fatal++;
        s.told = true;
        return s.fatal;
    }
    for (size_t i = 0; i < s.faults.size(); i++) {
        if (s.faults[i].function != name || s.faults[i].calls-- > 0) continue;
        unsigned code = s.faults[i].code;
        s.faults.erase(s.faults.begin() + i);
        if (!harmless(code)) {
            s.fatal = code;
            s.told = true;
        }
        return code;
    }
    return OK;
}

// The same for a call that needs a context, current on its thread.
unsigned entered(const char* name) {
    unsigned code = ordered(name);
    if (code != OK) return code;
    return current == nullptr ? INVALID_CONTEXT : OK;
}

const Allocation* find(const void* at, size_t bytes) {
    auto& memory = state().memory;
    auto after = memory.upper_bound(reinterpret_cast<uintptr_t>(at));
    if (after == memory.begin()) return nullptr;
    auto block = std::prev(after);
    uintptr_t end = reinterpret_cast<uintptr_t>(at) + bytes;
    return end <= block->first + block->second.bytes ? &block->second : nullptr;
}

void require(const void* at, size_t bytes, bool pinned, const char* what) {
    const Allocation* block = find(at, bytes);
    if (block == nullptr) die("%s: %zu bytes at %p are in no allocation", what, bytes, at);
    if (pinned && !block->pinned) die("%s: %p is not pinned", what, at);
}

// The first operation that no kernel keeps from its turn.
std::deque<Operation>::iterator next_operation() {
    State& s = state();
    return std::find_if(s.queue.begin(), s.queue.end(), [&](const Operation& one) {
        return std::none_of(s.residents.begin(), s.residents.end(), [&](const Resident& it) {
            return it.stream == one.stream;
        });
    });
}

// A kernel ended so; the lock is held.
void ended(unsigned code) {
    State& s = state();
    if (code == OK) return;
    s.fatal = code;
    s.told = false; // By no call yet.
}

// Whether kernels that stay go on: none does on a device that is lost.
bool residents_live() {
    State& s = state();
    return !s.residents.empty() && !s.hangs && s.fatal == 0;
}

// Lets every kernel that stays go on for a moment.
void run_residents(std::unique_lock<std::mutex>& lock) {
    State& s = state();
    for (size_t i = 0; residents_live() && i < s.residents.size();) {
        void* rests = s.residents[i].rests;
        lock.unlock();
        const int code = cuda_on_cpu_go_on(rests);
        lock.lock();
        if (code == RESTS) {
            i++;
            continue;
        }
        s.residents.erase(s.residents.begin() + long(i));
        ended(unsigned(code));
    }
}

void work() {
    State& s = state();
    std::unique_lock<std::mutex> lock(s.mutex);
    for (;;) {
        const auto can_go_on = [&] {
            return residents_live() || (!s.hangs && next_operation() != s.queue.end());
        };
        s.changed.wait(lock, can_go_on);
        s.running = true;
        const auto next = next_operation();
        if (next != s.queue.end()) {
            const auto run = std::move(next->run);
            s.queue.erase(next);
            lock.unlock();
            run();
            lock.lock();
        }
        run_residents(lock);
        s.running = false;
        s.changed.notify_all();
        // Kernels that wait for the host leave it the processor.
        const bool is_idle = next_operation() == s.queue.end() && residents_live();
        if (is_idle) s.changed.wait_for(lock, std::chrono::microseconds(5));
    }
}

void enqueue(void* stream, std::function<void()> run) {
    State& s = state();
    s.queue.push_back({stream, std::move(run)});
    s.changed.notify_all();
}

// Waits for all that the device has to do; on one that hangs, for ever. A kernel that stays counts.
void drain(std::unique_lock<std::mutex>& lock, const char* what) {
    State& s = state();
    if (s.hangs && (s.running || !s.queue.empty())) die("%s waits for a device that hangs", what);
    const auto is_done = [&] { return !s.running && s.queue.empty() && s.residents.empty(); };
    if (!s.changed.wait_for(lock, std::chrono::seconds(20), is_done)) {
        die("%s waits for a kernel that stays", what);
    }
}

// Waits until no operation is under way, but for what waits behind a kernel that stays.
void pause(std::unique_lock<std::mutex>& lock) {
    State& s = state();
    s.changed.wait(lock, [&] { return !s.running && next_operation() == s.queue.end(); });
}

// Waits for kernels that stay to leave, as calls that take memory may.
void await_residents(const char* what) {
    State& s = state();
    std::unique_lock<std::mutex> lock(s.mutex);
    if (s.residents.empty() || s.hangs || s.fatal != 0) return;
    const auto is_done = [&] { return s.residents.empty() || s.hangs || s.fatal != 0; };
    if (!s.changed.wait_for(lock, std::chrono::seconds(20), is_done)) {
        die("%s waits for a kernel that stays", what);
    }
}

unsigned allocate(void** to, size_t bytes, bool pinned) {
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > size_t{1} << 33) return OUT_OF_MEMORY;
    size_t whole = (bytes + 4095) / 4096 * 4096;
    void* memory = aligned_alloc(4096, whole);
    if (memory == nullptr) return OUT_OF_MEMORY;
    memset(memory, 0xff, whole); // Every number in it is a NaN.
    state().memory[reinterpret_cast<uintptr_t>(memory)] = {bytes, pinned};
    *to = memory;
    return OK;
}

unsigned release(void* memory, bool pinned, const char* what) {
    State& s = state();
    std::unique_lock<std::mutex> lock(s.mutex);
    unsigned code = entered(what);
    if (code != OK) return code;
    drain(lock, what);
    auto block = s.memory.find(reinterpret_cast<uintptr_t>(memory));
    if (block == s.memory.end() || block->second.pinned != pinned) {
        die("%s: %p is no such allocation", what, memory);
    }
    memset(memory, 0xfe, block->second.bytes);
    s.memory.erase(block);
    free(memory);
    return OK;
}

template <typename T> unsigned create(void** to, const char* what) {
    State& s = state();
    std::lock_guard<std::mutex> lock(s.mutex);
    unsigned code = entered(what);
    if (code != OK) return code;
    *to = new T;
    s.objects.insert(*to);
    return OK;
}

template <typename T> unsigned destroy(void* object, const char* what) {
    State& s = state();
    std::unique_lock<std::mutex> lock(s.mutex);
    unsigned code = entered(what);
    if (code != OK) return code;
    if (s.objects.erase(object) == 0) die("%s: %p is no such object", what, object);
    if (!s.hangs) pause(lock);
    delete static_cast<T*>(object);
    return OK;
}

bool is_kernel(const std::string& name) {
    if (name == "head") return true;
    const char* rows[] = {"f32_", "f16_", "bf16_", "u8_"};
    const char* weights[] = {"f32", "f16", "bf16"};
    for (const char* row : rows) {
        for (const char* weight : weights) {
            std::string types = std::string(row) + weight;
            if (types == "f16_bf16" || types == "bf16_f16") continue;
            if (name == "dense_" + types || name == "persistent_" + types) return true;
            for (const char* tiles : {"_2", "_4", "_8", "_16"}) {
                if (name == "fused_mlp_" + types + tiles) return true;
            }
            for (const char* count : {"_1", "_8"}) {
                if (name == "few_rows_" + types + count) return true;
            }
        }
    }
    return false;
}

int shared_max(const Device& device) {
    if (device.major == 9) return 232448;
    if (device.major == 8 && device.minor == 0) return 166912;
    return device.major >= 8 ? 101376 : 65536;
}

int own_shared() {
    const char* given = getenv("CUDA_ON_CPU_OWN_SHARED");
    return given != nullptr ? atoi(given) : 1024;
}

std::vector<std::string> split(const char* text) {
    std::vector<std::string> parts;
    std::string part;
    for (const char* at = text; *at != 0; at++) {
        if (*at != ',') {
            part += *at;
        } else {
            parts.push_back(part);
            part.clear();
        }
    }
    if (!part.empty()) parts.push_back(part);
    return parts;
}

void find_devices() {
    State& s = state();
    const char* given = getenv("CUDA_ON_CPU_DEVICES");
    std::vector<Device> all;
    for (const std::string& text : split(given != nullptr ? given : "9.0")) {
        Device device{"CUDA on the CPU " + text, 0, 0, 0};
        sscanf(text.c_str(), "%d.%d", &device.major, &device.minor);
        all.push_back(device);
    }
    const char* visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible == nullptr) {
        s.devices = all;
        return;
    }
    for (const std::string& number : split(visible)) {
        size_t index = strtoul(number.c_str(), nullptr, 10);
        if (index >= all.size()) return;
        s.devices.push_back(all[index]);
    }
}

Device& device_of(int device) {
    State& s = state();
    if (device < 0 || size_t(device) >= s.devices.size()) die("no device %d", device);
    return s.devices[device];
}

// What every kernel takes, as it was when the kernel was launched.
struct Arguments {
    void *rows, *stage, *scores;
    unsigned count;
    void* done;
    unsigned number;
};

// Runs a kernel whose turn it is, on a device that lives.
void run(
    void* stream, const char* kernel, std::array<unsigned, 3> grid, unsigned threads,
    unsigned shared, Arguments values
) {
    State& s = state();
    std::unique_lock<std::mutex> lock(s.mutex);
    if (s.fatal != 0) return;
    unsigned fault = ordered("kernel");
    s.told = false; // By no call yet.
    lock.unlock();
    unsigned block[3] = {threads, 1, 1};
    void* arguments[6] = {&values.rows,  &values.stage, &values.scores,
                          &values.count, &values.done,  &values.number};
    void* rests = nullptr;
    int code = int(fault);
    if (fault == 0) {
        code = cuda_on_cpu_launch(kernel, grid.data(), block, shared, arguments, &rests);
    }
    lock.lock();
    if (code == RESTS) {
        s.residents.push_back({stream, rests});
    } else {
        ended(unsigned(code));
    }
}

} // namespace
