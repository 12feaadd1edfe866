// A run-time compiler that plants one bug in the sources it is given, and has the real one compile
// them: so that a bug runs in a kernel as any other does, and tools that look for bugs are seen to
// find it.
//
//     PLANT_NVRTC     the real compiler
//     PLANT_SOURCE    the source to change, with what it includes; others stay as they are
//     PLANT_FROM      what stands there, in one place at least
//     PLANT_TO        what is to stand there instead
//
// A source without it ends the process: a bug that was not planted is not one that was not found.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <dlfcn.h>

namespace {

[[noreturn]] void die(const std::string& why) {
    fprintf(stderr, "planting: %s\n", why.c_str());
    abort();
}

std::string told(const char* name) {
    const char* value = getenv(name);
    if (value == nullptr) die(std::string(name) + " is not set");
    return value;
}

template <class Function>
Function real(const char* name) {
    static void* library = dlopen(told("PLANT_NVRTC").c_str(), RTLD_NOW);
    if (library == nullptr) die(dlerror());
    void* symbol = dlsym(library, name);
    if (symbol == nullptr) die(std::string("no function ") + name);
    return reinterpret_cast<Function>(symbol);
}

// The text with the bug wherever there is a place for it; counts the places.
std::string planted(const char* text, unsigned& places) {
    const std::string from = told("PLANT_FROM"), to = told("PLANT_TO");
    std::string changed = text;
    for (size_t at = 0; (at = changed.find(from, at)) != std::string::npos; at += to.size()) {
        changed.replace(at, from.size(), to);
        places++;
    }
    return changed;
}

}  // namespace

extern "C" {

unsigned nvrtcCreateProgram(
    void** program, const char* source, const char* name, int count, const char* const* texts,
    const char* const* names
) {
    const auto create = real<unsigned (*)(
        void**, const char*, const char*, int, const char* const*, const char* const*
    )>("nvrtcCreateProgram");
    if (told("PLANT_SOURCE") != name) return create(program, source, name, count, texts, names);
    unsigned places = 0;
    std::vector<std::string> changed = {planted(source, places)};
    for (int i = 0; i < count; i++) changed.push_back(planted(texts[i], places));
    if (places == 0) die(std::string("no place for the bug in ") + name);
    fprintf(stderr, "planting: a bug in %s\n", name);
    std::vector<const char*> pointers;
    for (const std::string& text : changed) pointers.push_back(text.c_str());
    return create(program, pointers[0], name, count, pointers.data() + 1, names);
}

#define FORWARD(name, parameters, arguments)                                                       \
    unsigned name parameters { return real<unsigned(*) parameters>(#name) arguments; }

FORWARD(nvrtcVersion, (int* major, int* minor), (major, minor))
FORWARD(
    nvrtcCompileProgram, (void* program, int count, const char* const* options),
    (program, count, options)
)
FORWARD(nvrtcGetProgramLogSize, (void* program, size_t* size), (program, size))
FORWARD(nvrtcGetProgramLog, (void* program, char* log), (program, log))
FORWARD(nvrtcGetCUBINSize, (void* program, size_t* size), (program, size))
FORWARD(nvrtcGetCUBIN, (void* program, char* module), (program, module))
FORWARD(nvrtcDestroyProgram, (void** program), (program))

const char* nvrtcGetErrorString(unsigned code) {
    return real<const char* (*)(unsigned)>("nvrtcGetErrorString")(code);
}

}
