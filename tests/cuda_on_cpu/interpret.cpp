// Runs any launch value by value, in double precision, from what `kernels/stage.cuh` says of a
// stage. It is what a launch means; whoever links another `cuda_on_cpu_launch` replaces it.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../kernels/stage.cuh"
#include "launch.h"

namespace {

using Rows = std::vector<double>;

[[noreturn]] void die(const char* kernel, const char* what) {
    fprintf(stderr, "CUDA on the CPU: %s: %s\n", kernel, what);
    abort();
}

double half(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 0 ? std::ldexp(fraction, -24)
                                 : std::ldexp(fraction + 1024, exponent - 25);
    return bits >> 15 ? -value : value;
}

enum Type { U8, F32, F16, BF16 };

Type type_of(const std::string& name) {
    if (name == "u8") return U8;
    if (name == "f32") return F32;
    return name == "f16" ? F16 : BF16;
}

double number(Type type, const unsigned char* at, size_t index) {
    if (type == U8) return at[index];
    if (type == F32) {
        float value;
        memcpy(&value, at + index * 4, 4);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, at + index * 2, 2);
    if (type == F16) return half(bits);
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

double activate(unsigned code, double x, double p, double q) {
    if (std::isnan(x)) return x;
    double sigmoid = 1 / (1 + std::exp(-x));
    double softplus = x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    auto clip = [](double v, double low, double high) { return std::fmin(std::fmax(v, low), high); };
    switch (code) {
        case 0: return x;
        case 1: return std::fmax(x, 0);
        case 2: return x < 0 ? p * x : x;
        case 3: return x < 0 ? p * std::expm1(x) : x;
        case 4: return q * (x > 0 ? x : p * std::expm1(x));
        case 5: return std::fmax(x, 0) + std::fmin(0, p * std::expm1(x / p));
        case 6: return x / 2 * std::erfc(-x / std::sqrt(2.0));
        case 7: return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        case 8: return sigmoid;
        case 9: return clip(p * x + q, 0, 1);
        case 10: return std::tanh(x);
        case 11: return softplus;
        case 12: return x / (1 + std::fabs(x));
        case 13: return x * sigmoid;
        case 14: return x * clip(x / 6 + 0.5, 0, 1);
        case 15: return x * std::tanh(softplus);
        case 16: return clip(x, p, q);
        default: die("activation", "unknown");
    }
}

void apply(unsigned head, double* row, size_t width) {
    if (head == HEAD_LOGITS) return;
    double largest = row[0], sum = 0;
    for (size_t i = 0; i < width; i++) largest = std::fmax(largest, row[i]);
    for (size_t i = 0; i < width; i++) sum += std::exp(row[i] - largest);
    for (size_t i = 0; i < width; i++) {
        double log = row[i] - largest;
        row[i] = head == HEAD_SOFTMAX ? std::exp(log) / sum : log - std::log(sum);
    }
}

// The outputs of a layer for one row; weights are found as fragments hold them.
Rows run(const unsigned char* block, const Layer& layer, bool first, Type type, const Rows& x) {
    std::vector<double> sums(layer.tiles * 8);
    const unsigned char* weights = block + layer.weights;
    for (size_t chunk = 0; chunk < layer.chunks; chunk++) {
        for (size_t tile = 0; tile < layer.tiles; tile++) {
            for (size_t lane = 0; lane < 32; lane++) {
                size_t g = lane / 4, t = lane % 4;
                for (size_t i = 0; i < 4; i++) {
                    size_t k = 16 * chunk + (first ? 4 * t + i : 8 * (i / 2) + 2 * t + i % 2);
                    size_t at = ((chunk * layer.tiles + tile) * 32 + lane) * 4 + i;
                    double weight = number(type, weights, at);
                    if (k >= layer.inputs) {
                        if (weight != 0) die("weights", "padding that is not zero");
                        continue;
                    }
                    sums[8 * tile + g] += weight * x[k];
                }
            }
        }
    }
    Rows out(layer.outputs);
    for (size_t o = 0; o < out.size(); o++) {
        double sum = sums[o] * layer.scale + number(F32, block + layer.bias, o);
        out[o] = activate(layer.activation, sum, layer.first, layer.second);
    }
    return out;
}

// The types in a kernel's name: those of rows and weights, and what stands behind them.
struct Name {
    Type rows = F32, weights = F32;
    unsigned last = 0;

    explicit Name(std::string name) {
        for (const char* kind : {"fused_mlp_", "few_rows_", "dense_"}) {
            if (name.rfind(kind, 0) != 0) continue;
            name = name.substr(strlen(kind));
            size_t bar = name.find('_'), next = name.find('_', bar + 1);
            rows = type_of(name.substr(0, bar));
            weights = type_of(name.substr(bar + 1, next - bar - 1));
            if (next != std::string::npos) last = unsigned(std::stoul(name.substr(next + 1)));
        }
    }
};

// What `fused_mlp` says of itself has to fit what it was given.
void check_fused(const char* kernel, const Stage& stage, const Name& name, unsigned shared) {
    size_t rows = name.last == 16 ? 16 : 32, bytes = name.rows == U8 ? 1 : 4;
    size_t step = rows * stage.step * 16 * bytes + 8;
    if (stage.step % 2 == 0 || stage.depth < 2) die(kernel, "no room for rows");
    if (shared != stage.bytes + 8 * stage.depth * step) die(kernel, "shared memory");
    for (unsigned i = 0; i < stage.layers; i++) {
        const Layer& layer = (&stage.layer[0])[i];
        if (layer.tiles > name.last || layer.tiles % 2 != 0) die(kernel, "too narrow");
    }
}

} // namespace

extern "C" __attribute__((weak)) int cuda_on_cpu_launch(
    const char* kernel, unsigned grid[3], unsigned block[3], unsigned shared, void** arguments
) {
    const unsigned char* rows = *static_cast<const unsigned char**>(arguments[0]);
    const unsigned char* at = *static_cast<const unsigned char**>(arguments[1]);
    float* scores = *static_cast<float**>(arguments[2]);
    size_t count = *static_cast<unsigned*>(arguments[3]);
    unsigned* done = *static_cast<unsigned**>(arguments[4]);
    const Stage& stage = *reinterpret_cast<const Stage*>(at);
    const Name name(kernel);
    const std::string text = kernel;
    cuda_on_cpu_require(at, 32, kernel);
    cuda_on_cpu_require(at, stage.bytes, kernel);
    cuda_on_cpu_require(rows, count * stage.row_bytes, kernel);
    cuda_on_cpu_require(scores, count * stage.width * 4, kernel);
    if (reinterpret_cast<uintptr_t>(rows) % 16 != 0) die(kernel, "rows that begin anywhere");
    bool few = text.rfind("few_rows_", 0) == 0;
    if (few && size_t(grid[0]) * name.last < count) die(kernel, "rows without a block");
    bool head = text == "head";
    if (head && size_t(grid[0]) * block[0] / 32 < count) die(kernel, "rows without a warp");
    if (text.rfind("fused_mlp_", 0) == 0) check_fused(kernel, stage, name, shared);
    size_t bytes = name.rows == U8 ? 1 : 4;
    for (size_t row = 0; row < count; row++) {
        Rows x(stage.row_bytes / bytes);
        const unsigned char* own = rows + row * stage.row_bytes;
        for (size_t k = 0; k < x.size(); k++) x[k] = number(name.rows, own, k);
        for (unsigned i = 0; i < stage.layers; i++) {
            x = run(at, (&stage.layer[0])[i], i == 0, name.weights, x);
        }
        if (x.size() != stage.width) die(kernel, "a row of another width");
        apply(stage.head, x.data(), x.size());
        for (size_t i = 0; i < x.size(); i++) scores[row * stage.width + i] = float(x[i]);
    }
    for (size_t i = 0; done != nullptr && i < size_t(grid[0]) * grid[1]; i++) {
        __atomic_store_n(done + i, *static_cast<unsigned*>(arguments[5]), __ATOMIC_RELEASE);
    }
    return 0;
}
