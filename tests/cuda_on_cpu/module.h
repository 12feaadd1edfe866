// Modules as the driver without a card loads them: text, which it takes for PTX; machine code of a
// device, for which it has kernels of its own; or code for the processor, which it runs.

#pragma once

#include <dlfcn.h>
#include <elf.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

struct Module {
    // What stands before its kernels' names.
    std::string prefix;
    // Where its kernels are, if not in this library.
    void* library = nullptr;
};

// Loads code for the processor.
Module host_module(const void* image) {
    const Elf64_Ehdr* header = static_cast<const Elf64_Ehdr*>(image);
    // The table of sections comes last.
    const size_t bytes = header->e_shoff + size_t(header->e_shnum) * header->e_shentsize;
    char path[] = "/tmp/fusewire-module-XXXXXX";
    const int file = mkstemp(path);
    const bool written = file >= 0 && write(file, image, bytes) == ssize_t(bytes);
    void* library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (library == nullptr) {
        fprintf(stderr, "CUDA on the CPU: a module: %s\n", dlerror());
        abort();
    }
    close(file);
    unlink(path);
    static unsigned count = 0;
    return {"module " + std::to_string(++count) + "/", library};
}

Module module_of(const void* image) {
    if (memcmp(image, ELFMAG, SELFMAG) != 0) return {};
    const Elf64_Ehdr* header = static_cast<const Elf64_Ehdr*>(image);
    const unsigned DEVICE = 190;
    if (header->e_machine == DEVICE) return {"sm_90/", nullptr};
    return host_module(image);
}

}  // namespace
