// A CUDA driver without a card: the functions that the crate calls, on memory of the host. Streams
// are one queue that a thread works off in order, so that work is in flight while the host goes on.
// Kernels are run by `cuda_on_cpu_launch`, which is linked in.
//
// It is strict where a real driver is lenient: whatever would go past an allocation, copy
// asynchronously from memory that is not pinned, or wait for a device that hangs, ends the process
// with a message.
//
//     CUDA_ON_CPU_DEVICES    compute capabilities of the devices, such as "9.0,7.5"; "9.0" if unset
//     CUDA_VISIBLE_DEVICES   which of them are shown, by their numbers
//     CUDA_ON_CPU_CLOCK_STANDS    if set, no time goes by on a device
//     CUDA_ON_CPU_OWN_SHARED      bytes of shared memory that each kernel has of its own; 1024 if
//                                 unset
//
// Faults are ordered through `cuda_on_cpu_fail`; see there.

#include "module.h"
#include "state.h"

using Address = unsigned long long;

#define LOCKED(call)                                                                               \
    std::lock_guard<std::mutex> lock(state().mutex);                                               \
    unsigned code = call;                                                                          \
    if (code != OK) return code

static void* pointer(Address address) { return reinterpret_cast<void*>(address); }

extern "C" {

unsigned cuInit(unsigned) {
    LOCKED(ordered("cuInit"));
    if (!state().initialised) find_devices();
    if (state().devices.empty()) return NO_DEVICE;
    state().initialised = true;
    return OK;
}

unsigned cuDriverGetVersion(int* version) {
    LOCKED(ordered("cuDriverGetVersion"));
    *version = 12040;
    return OK;
}

unsigned cuDeviceGetCount(int* count) {
    LOCKED(ordered("cuDeviceGetCount"));
    if (!state().initialised) return NOT_INITIALIZED;
    *count = int(state().devices.size());
    return OK;
}

unsigned cuDeviceGet(int* device, int ordinal) {
    LOCKED(ordered("cuDeviceGet"));
    if (size_t(ordinal) >= state().devices.size()) return INVALID_DEVICE;
    *device = ordinal;
    return OK;
}

unsigned cuDeviceGetName(char* name, int room, int device) {
    LOCKED(ordered("cuDeviceGetName"));
    snprintf(name, size_t(room), "%s", device_of(device).name.c_str());
    return OK;
}

unsigned cuDeviceTotalMem_v2(size_t* bytes, int device) {
    LOCKED(ordered("cuDeviceTotalMem"));
    device_of(device);
    *bytes = size_t{8} << 30;
    return OK;
}

unsigned cuDeviceGetAttribute(int* value, unsigned attribute, int device) {
    LOCKED(ordered("cuDeviceGetAttribute"));
    const Device& it = device_of(device);
    switch (attribute) {
        case 16: *value = 4; return OK;
        case 33: *value = 0x1a + device; return OK;
        case 34: *value = 0; return OK;
        case 50: *value = 0x10; return OK;
        case 75: *value = it.major; return OK;
        case 76: *value = it.minor; return OK;
        case 97: *value = shared_max(it); return OK;
        default: return INVALID_VALUE;
    }
}

unsigned cuDevicePrimaryCtxRetain(void** context, int device) {
    LOCKED(ordered("cuDevicePrimaryCtxRetain"));
    device_of(device).retained++;
    *context = &device_of(device);
    return OK;
}

unsigned cuDevicePrimaryCtxRelease_v2(int device) {
    LOCKED(ordered("cuDevicePrimaryCtxRelease"));
    if (device_of(device).retained-- == 0) die("released more often than retained");
    return OK;
}

unsigned cuCtxSetCurrent(void* context) {
    LOCKED(ordered("cuCtxSetCurrent"));
    if (context != nullptr && static_cast<Device*>(context)->retained == 0) {
        die("a context that was released");
    }
    current = context;
    return OK;
}

unsigned cuModuleLoadDataEx(
    void** module, const void* image, unsigned count, const unsigned* options, void** values
) {
    await_residents("cuModuleLoadDataEx");
    std::lock_guard<std::mutex> lock(state().mutex);
    unsigned code = entered("cuModuleLoadDataEx");
    if (image == nullptr || strlen(static_cast<const char*>(image)) == 0) return INVALID_VALUE;
    if (code == OK) {
        *module = new Module(module_of(image));
        state().objects.insert(*module);
        return OK;
    }
    if (count == 2 && options[0] == 5 && options[1] == 6) {
        const char* words = "ptxas fatal :\n  an ordered failure";
        snprintf(static_cast<char*>(values[0]), reinterpret_cast<size_t>(values[1]), "%s", words);
    }
    return code;
}

unsigned cuModuleUnload(void* module) {
    await_residents("cuModuleUnload");
    return destroy<Module>(module, "cuModuleUnload");
}

unsigned cuModuleGetFunction(void** function, void* module, const char* name) {
    LOCKED(entered("cuModuleGetFunction"));
    if (state().objects.count(module) == 0) return INVALID_HANDLE;
    if (!is_kernel(name)) return NOT_FOUND;
    Function& it = state().functions[{module, name}];
    const Module& own = *static_cast<Module*>(module);
    it.name = own.prefix + name;
    if (own.library != nullptr) {
        void* kernel = dlsym(own.library, name);
        if (kernel == nullptr) return NOT_FOUND;
        cuda_on_cpu_add(it.name.c_str(), kernel);
    }
    *function = &it;
    return OK;
}

unsigned cuFuncGetAttribute(int* value, unsigned attribute, void*) {
    LOCKED(entered("cuFuncGetAttribute"));
    if (attribute != 1) return INVALID_VALUE;
    *value = own_shared();
    return OK;
}

unsigned cuFuncSetAttribute(void* function, unsigned attribute, int value) {
    LOCKED(entered("cuFuncSetAttribute"));
    int most = shared_max(*static_cast<Device*>(current)) - own_shared();
    if (attribute != 8 || value > most) return INVALID_VALUE;
    static_cast<Function*>(function)->dynamic_max = value;
    return OK;
}

unsigned cuOccupancyMaxActiveBlocksPerMultiprocessor(
    int* blocks, void* function, int threads, size_t shared
) {
    LOCKED(entered("cuOccupancyMaxActiveBlocksPerMultiprocessor"));
    bool fits = int(shared) <= static_cast<Function*>(function)->dynamic_max;
    int most = int(shared_max(*static_cast<Device*>(current)) / (shared + 2048));
    *blocks = fits ? (most < 2048 / threads ? most : 2048 / threads) : 0;
    if (fits && *blocks == 0) *blocks = 1;
    return OK;
}

unsigned cuMemAlloc_v2(Address* address, size_t bytes) {
    await_residents("cuMemAlloc");
    LOCKED(entered("cuMemAlloc"));
    void* memory = nullptr;
    code = allocate(&memory, bytes, false);
    *address = reinterpret_cast<Address>(memory);
    return code;
}

unsigned cuMemFree_v2(Address address) { return release(pointer(address), false, "cuMemFree"); }

unsigned cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
    await_residents("cuMemHostAlloc");
    LOCKED(entered("cuMemHostAlloc"));
    if (flags != 3) die("cuMemHostAlloc: not portable and mapped, or write-combined");
    return allocate(memory, bytes, true);
}

unsigned cuMemHostGetDevicePointer_v2(Address* address, void* memory, unsigned) {
    LOCKED(entered("cuMemHostGetDevicePointer"));
    require(memory, 1, true, "cuMemHostGetDevicePointer");
    *address = reinterpret_cast<Address>(memory);
    return OK;
}

unsigned cuMemFreeHost(void* memory) { return release(memory, true, "cuMemFreeHost"); }

unsigned cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) {
    LOCKED(entered("cuMemcpyHtoD"));
    require(pointer(to), bytes, false, "cuMemcpyHtoD");
    memcpy(pointer(to), from, bytes);
    return OK;
}

enum Side { DEVICE_SIDE, HOST_SIDE };

static unsigned copy(
    void* stream, void* to, Side to_side, const void* from, Side from_side, size_t bytes,
    const char* what
) {
    LOCKED(entered(what));
    require(to, bytes, to_side == HOST_SIDE, what);
    require(from, bytes, from_side == HOST_SIDE, what);
    enqueue(stream, [=] {
        {
            std::lock_guard<std::mutex> lock(state().mutex);
            require(to, bytes, to_side == HOST_SIDE, what);
            require(from, bytes, from_side == HOST_SIDE, what);
            if (state().fatal != 0) return;
        }
        memcpy(to, from, bytes);
    });
    return OK;
}

unsigned cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
    const char* what = "cuMemcpyHtoDAsync";
    return copy(stream, pointer(to), DEVICE_SIDE, from, HOST_SIDE, bytes, what);
}

unsigned cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
    const char* what = "cuMemcpyDtoHAsync";
    return copy(stream, to, HOST_SIDE, pointer(from), DEVICE_SIDE, bytes, what);
}

unsigned cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
    const char* what = "cuMemcpyDtoDAsync";
    return copy(stream, pointer(to), DEVICE_SIDE, pointer(from), DEVICE_SIDE, bytes, what);
}

unsigned cuStreamCreate(void** stream, unsigned) {
    unsigned code = create<int>(stream, "cuStreamCreate");
    std::lock_guard<std::mutex> lock(state().mutex);
    if (code == OK && !state().has_worker) {
        state().has_worker = true;
        std::thread(work).detach();
    }
    return code;
}

unsigned cuStreamDestroy_v2(void* stream) { return destroy<int>(stream, "cuStreamDestroy"); }

unsigned cuEventCreate(void** event, unsigned) { return create<Event>(event, "cuEventCreate"); }

unsigned cuEventDestroy_v2(void* event) { return destroy<Event>(event, "cuEventDestroy"); }

unsigned cuEventRecord(void* event, void* stream) {
    LOCKED(entered("cuEventRecord"));
    Event* it = static_cast<Event*>(event);
    it->recorded = true;
    it->pending++;
    enqueue(stream, [=] {
        std::lock_guard<std::mutex> lock(state().mutex);
        it->pending--;
        it->at = std::chrono::steady_clock::now();
    });
    return OK;
}

unsigned cuEventQuery(void* event) {
    LOCKED(entered("cuEventQuery"));
    return static_cast<Event*>(event)->pending == 0 ? OK : NOT_READY;
}

unsigned cuEventElapsedTime(float* milliseconds, void* start, void* end) {
    LOCKED(entered("cuEventElapsedTime"));
    Event *from = static_cast<Event*>(start), *to = static_cast<Event*>(end);
    if (!from->recorded || !to->recorded) return INVALID_HANDLE;
    if (from->pending + to->pending > 0) return NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return OK;
}

unsigned cuLaunchKernel(
    void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
    unsigned threads_z, unsigned shared, void* stream, void** arguments, void**
) {
    LOCKED(entered("cuLaunchKernel"));
    Function* it = static_cast<Function*>(function);
    bool sound = x > 0 && y > 0 && y <= 65535 && z == 1 && threads_y == 1 && threads_z == 1;
    if (!sound || int(shared) > it->dynamic_max) return INVALID_VALUE;
    const bool is_head = it->name.substr(it->name.find('/') + 1) == "head";
    if (threads != (is_head ? 128u : 256u)) return INVALID_VALUE;
    Arguments values;
    memcpy(&values.rows, arguments[0], sizeof values.rows);
    memcpy(&values.stage, arguments[1], sizeof values.stage);
    memcpy(&values.scores, arguments[2], sizeof values.scores);
    memcpy(&values.count, arguments[3], sizeof values.count);
    memcpy(&values.done, arguments[4], sizeof values.done);
    memcpy(&values.number, arguments[5], sizeof values.number);
    const std::string name = it->name;
    enqueue(stream, [=] { run(stream, name.c_str(), {x, y, z}, threads, shared, values); });
    return OK;
}

unsigned cuGetErrorName(unsigned code, const char** name) {
    switch (code) {
        case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return OK;
        case NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; return OK;
        case 222: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; return OK;
        case 700: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; return OK;
        case 701: *name = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"; return OK;
        case 719: *name = "CUDA_ERROR_LAUNCH_FAILED"; return OK;
        default: *name = nullptr; return INVALID_VALUE;
    }
}

unsigned cuGetErrorString(unsigned code, const char** text) {
    *text = code == OUT_OF_MEMORY ? "out of memory" : nullptr;
    return code == OUT_OF_MEMORY ? OK : unsigned{INVALID_VALUE};
}

// --- what tests ask for ---

// Lets `calls` calls of a function go well from now on, and the next one answer `code`; most codes
// are then answered to every later call of any function. A function named "kernel" is a kernel as
// it runs.
void cuda_on_cpu_fail(const char* function, unsigned calls, unsigned code) {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().faults.push_back({function, calls, code});
}

// Takes back every fault that was ordered and has not come.
void cuda_on_cpu_forget_faults() {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().faults.clear();
}

// Has the device do nothing any more, once what it does is done, or go on.
void cuda_on_cpu_hang(unsigned hangs) {
    std::unique_lock<std::mutex> lock(state().mutex);
    state().hangs = hangs != 0;
    state().changed.notify_all();
    state().changed.wait(lock, [&] { return !state().hangs || !state().running; });
}

// Calls of a function so far, its version left out.
unsigned cuda_on_cpu_calls(const char* function) {
    std::lock_guard<std::mutex> lock(state().mutex);
    return state().calls[function];
}

// Kernels that stay on the device now.
unsigned cuda_on_cpu_residents() {
    std::lock_guard<std::mutex> lock(state().mutex);
    return unsigned(state().residents.size());
}

// Calls after one was told that the device is lost.
unsigned cuda_on_cpu_calls_after_fatal() {
    std::lock_guard<std::mutex> lock(state().mutex);
    return state().calls_after_fatal;
}

// Allocations, streams, events, modules and contexts that were not given back.
unsigned cuda_on_cpu_live() {
    std::lock_guard<std::mutex> lock(state().mutex);
    size_t live = state().memory.size() + state().objects.size();
    for (const Device& device : state().devices) live += device.retained;
    return unsigned(live);
}

void cuda_on_cpu_require(const void* at, size_t bytes, const char* what) {
    std::lock_guard<std::mutex> lock(state().mutex);
    require(at, bytes, false, what);
}

size_t cuda_on_cpu_room(const void* at) {
    std::lock_guard<std::mutex> lock(state().mutex);
    auto& memory = state().memory;
    auto after = memory.upper_bound(reinterpret_cast<uintptr_t>(at));
    if (after == memory.begin()) return 0;
    auto block = std::prev(after);
    uintptr_t end = block->first + block->second.bytes, begin = reinterpret_cast<uintptr_t>(at);
    return begin < end ? end - begin : 0;
}

} // extern "C"
