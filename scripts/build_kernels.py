"""Compiles kernels/*.cu with NVRTC, which needs no GPU and no driver, into kernels/generated/.

One archive for each architecture, one module for each kernel in it: PTX, which any driver since
CUDA 12.0 compiles for its device, or a CUBIN for one generation. A table shows what each kernel
takes; one that spills registers or takes more of them than its budget fails.
"""

import argparse
import ctypes
import itertools
import multiprocessing
import pathlib
import re
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ROOT / "kernels"
GENERATED = KERNELS / "generated"
# Of the oldest driver that is served: a newer compiler's PTX would be refused by it.
NVRTC_VERSION = (12, 0)
ROW_TYPES = {"f32": "float", "u8": "unsigned char", "f16": "F16", "bf16": "Bf16"}
WEIGHT_TYPES = {"f32": "F32", "f16": "F16", "bf16": "Bf16"}
# Rows of one type of 16 bits and weights of the other: these weights are laid out as f32.
UNCOMPILED = {("f16", "bf16"), ("bf16", "f16")}
# Tiles of the widest layer of a fused launch, and the registers a thread may take: with more, its
# blocks could not have the threads that they are compiled for (256 of the wide ones, else 384).
FUSED_TILES = {2: 168, 4: 168, 8: 208, 16: 208}
FEW_ROWS = {1: 128, 8: 192}
DENSE_REGISTERS = 128
PERSISTENT_REGISTERS = 192
HEAD_REGISTERS = 64
# An architecture, whether it is compiled to the end, and the kernels that run on it.
ARCHITECTURES = {
    "compute_75": ("ptx", ["few_rows", "persistent", "head"]),
    "compute_80": ("ptx", ["fused_mlp", "dense", "few_rows", "persistent", "head"]),
    "sm_90": ("cubin", ["fused_mlp", "dense", "few_rows", "persistent", "head"]),
}


def kernels():
    """Every kernel: file, name, what the compiler is told, and the most registers."""
    for rows, weights in itertools.product(ROW_TYPES, WEIGHT_TYPES):
        if (rows, weights) in UNCOMPILED:
            continue
        types = {"ROW": ROW_TYPES[rows], "WEIGHTS": WEIGHT_TYPES[weights]}
        for tiles, registers in FUSED_TILES.items():
            name = f"fused_mlp_{rows}_{weights}_{tiles}"
            yield "fused_mlp", name, types | {"TILES": str(tiles)}, registers
        for count, registers in FEW_ROWS.items():
            name = f"few_rows_{rows}_{weights}_{count}"
            yield "few_rows", name, types | {"ROWS": str(count)}, registers
        yield "persistent", f"persistent_{rows}_{weights}", types, PERSISTENT_REGISTERS
        yield "dense", f"dense_{rows}_{weights}", types, DENSE_REGISTERS
    yield "head", "head", {}, HEAD_REGISTERS


class Nvrtc:
    """NVIDIA's run-time compiler, from its Python package."""

    def __init__(self):
        import nvidia.cuda_nvrtc

        folder = pathlib.Path(next(iter(nvidia.cuda_nvrtc.__path__))) / "lib"
        self.library = ctypes.CDLL(str(next(folder.glob("libnvrtc.so.*"))))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        if (major.value, minor.value) != NVRTC_VERSION:
            sys.exit(f"NVRTC {major.value}.{minor.value}: expected {NVRTC_VERSION}")

    def call(self, function, *arguments):
        status = getattr(self.library, function)(*arguments)
        if status != 0:
            raise RuntimeError(f"{function} returned {status}")

    def text(self, program, what):
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, text)
        return text.raw

    def compile(self, file, options, what):
        """The module, and what the compiler says about it."""
        headers = sorted(KERNELS.glob("*.cuh"))
        count = len(headers)
        texts = (ctypes.c_char_p * count)(*[header.read_bytes() for header in headers])
        names = (ctypes.c_char_p * count)(*[header.name.encode() for header in headers])
        program = ctypes.c_void_p()
        source = (KERNELS / f"{file}.cu").read_bytes()
        name = f"{file}.cu".encode()
        at = ctypes.byref(program)
        self.call("nvrtcCreateProgram", at, source, name, count, texts, names)
        encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        status = self.library.nvrtcCompileProgram(program, len(options), encoded)
        log = self.text(program, "ProgramLog").rstrip(b"\0").decode()
        if status != 0:
            raise RuntimeError(f"{file}.cu {' '.join(options)}\n{log}")
        module = self.text(program, what)
        self.call("nvrtcDestroyProgram", at)
        return module.rstrip(b"\0") + b"\n" if what == "PTX" else module, log


def compile_one(job):
    architecture, what, file, name, macros = job
    options = [f"--gpu-architecture={architecture}", "--std=c++17", "-default-device"]
    options += [f"--define-macro={key}={value}" for key, value in macros.items()]
    options.append(f"--define-macro=NAME={name}")
    if what == "cubin":
        options.append("--ptxas-options=-v")
    module, log = Nvrtc().compile(file, options, what.upper())
    return architecture, f"{name}.{what}", module, log


def measure(log):
    """Registers of a thread, and bytes spilled."""
    registers = int(re.search(r"Used (\d+) registers", log).group(1))
    spilled = sum(int(bytes) for bytes in re.findall(r"(\d+) bytes spill", log))
    return registers, spilled


def build():
    """The modules of each architecture by name; and whether all keep their budgets."""
    jobs = [
        (architecture, what, file, name, macros)
        for architecture, (what, files) in ARCHITECTURES.items()
        for file, name, macros, _ in kernels()
        if file in files
    ]
    budgets = {name: registers for _, name, _, registers in kernels()}
    modules = {architecture: {} for architecture in ARCHITECTURES}
    sound = True
    print(f"{'sm_90':24} {'registers':>9} {'budget':>7} {'spilled':>8} {'bytes':>8}")
    # A process for each: the compiler numbers calls through the whole life of one.
    with multiprocessing.Pool(maxtasksperchild=1) as pool:
        for architecture, entry, module, log in pool.imap(compile_one, jobs):
            modules[architecture][entry] = module
            if entry.endswith(".cubin"):
                name = entry.removesuffix(".cubin")
                registers, spilled = measure(log)
                kept = registers <= budgets[name] and spilled == 0
                sound = sound and kept
                line = f"{name:24} {registers:9} {budgets[name]:7} {spilled:8} {len(module):8}"
                print(line + ("" if kept else "  OVER BUDGET"))
    return modules, sound


def archive(architecture):
    return GENERATED / f"{architecture}.zip"


def write(modules):
    GENERATED.mkdir(exist_ok=True)
    for architecture, entries in modules.items():
        path = archive(architecture)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as to:
            for name in sorted(entries):
                # No time in it, so that the same kernels make the same archive.
                to.writestr(zipfile.ZipInfo(name), entries[name], zipfile.ZIP_DEFLATED)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def differences(modules):
    """What the archives hold that is not what was compiled now."""
    for architecture, entries in modules.items():
        with zipfile.ZipFile(archive(architecture)) as held:
            names = set(held.namelist())
            yield from (f"{architecture}/{name}: missing" for name in sorted(set(entries) - names))
            yield from (f"{architecture}/{name}: unknown" for name in sorted(names - set(entries)))
            for name in sorted(names & set(entries)):
                if held.read(name) != entries[name]:
                    yield f"{architecture}/{name}: differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    arguments = parser.parse_args()
    modules, sound = build()
    if arguments.check:
        found = list(differences(modules))
        print("\n".join(found) or "kernels/generated is what the kernels make")
        sound = sound and not found
    else:
        write(modules)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
