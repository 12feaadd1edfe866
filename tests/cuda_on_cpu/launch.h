// What the driver hands over to whatever runs kernels.

#pragma once

#include <cstddef>

extern "C" {

// Runs a kernel of this name, `sm_90/name` where it is machine code for that architecture;
// `arguments` are the addresses of its six arguments. Returns 0, or
// the code of the driver's error that it ends in. One that stays on the device and rests returns
// RESTS, and is `rests` then.
const int RESTS = -1;
int cuda_on_cpu_launch(
    const char* kernel, unsigned grid[3], unsigned block[3], unsigned shared, void** arguments,
    void** rests
) __attribute__((weak));

// Lets a kernel that rests go on; returns as for a launch, and after all but RESTS it is gone.
int cuda_on_cpu_go_on(void* rests) __attribute__((weak));

// Makes a kernel known by another name.
void cuda_on_cpu_add(const char* name, void* kernel) __attribute__((weak));

// Ends the process where the bytes are not all in one allocation.
void cuda_on_cpu_require(const void* at, size_t bytes, const char* what);

// Bytes from here to the end of the allocation; 0 past it.
size_t cuda_on_cpu_room(const void* at);

}
