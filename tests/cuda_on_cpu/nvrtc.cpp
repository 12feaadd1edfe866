// A run-time compiler for the driver without a card: what it makes is code for the processor, which
// that driver loads like any other module. COMPILER, SHIM and DRIVER say what it is made with. With
// BUILTINS it loads a library of that name when it compiles, as NVIDIA's does.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <unistd.h>

namespace {

struct Program {
    std::string folder, name, log, module;
};

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
}

void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

std::string quoted(const std::string& text) {
    return "'" + text + "'";
}

unsigned give(const std::string& content, char* to) {
    memcpy(to, content.data(), content.size());
    return 0;
}

}  // namespace

extern "C" {

unsigned nvrtcVersion(int* major, int* minor) {
    *major = 12;
    *minor = 4;
    return 0;
}

unsigned nvrtcCreateProgram(
    Program** program, const char* source, const char* name, int count, const char* const* texts,
    const char* const* names
) {
    char folder[] = "/tmp/fusewire-nvrtc-XXXXXX";
    if (mkdtemp(folder) == nullptr) return 1;
    *program = new Program{folder, name, "", ""};
    write((*program)->folder + "/" + name, source);
    for (int i = 0; i < count; i++) write((*program)->folder + "/" + names[i], texts[i]);
    return 0;
}

unsigned nvrtcCompileProgram(Program* program, int count, const char* const* options) {
#ifdef BUILTINS
    if (dlopen(BUILTINS, RTLD_NOW) == nullptr) {
        program->log = "nvrtc: error: failed to open " BUILTINS ".";
        return 7;
    }
#endif
    const std::string output = program->folder + "/module.so", log = program->folder + "/log";
    std::string command = COMPILER " -std=c++17 -O1 -shared -fPIC -w -DFUSEWIRE_ON_CPU -x c++";
    command += " -I" SHIM " -I" + program->folder + " -include " SHIM "/on_cpu.h";
    for (int i = 0; i < count; i++) {
        const std::string define = "--define-macro=", option = options[i];
        if (option.rfind(define, 0) == 0) command += " " + quoted("-D" + option.substr(define.size()));
        if (option.find("sm_90") != std::string::npos) command += " -DHAS_BULK_COPIES";
    }
    command += " " + program->folder + "/" + program->name + " -x none " DRIVER " -o " + output;
    const int status = system((command + " > " + log + " 2>&1").c_str());
    program->log = read(log);
    program->module = read(output);
    return status == 0 ? 0 : 6;
}

unsigned nvrtcGetProgramLogSize(Program* program, size_t* size) {
    *size = program->log.size();
    return 0;
}

unsigned nvrtcGetProgramLog(Program* program, char* log) { return give(program->log, log); }

unsigned nvrtcGetCUBINSize(Program* program, size_t* size) {
    *size = program->module.size();
    return 0;
}

unsigned nvrtcGetCUBIN(Program* program, char* module) { return give(program->module, module); }

unsigned nvrtcDestroyProgram(Program** program) {
    const int status = system(("rm -r " + quoted((*program)->folder)).c_str());
    delete *program;
    *program = nullptr;
    return status == 0 ? 0 : 1;
}

const char* nvrtcGetErrorString(unsigned code) {
    if (code == 7) return "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE";
    return code == 6 ? "NVRTC_ERROR_COMPILATION" : "an error";
}

}
