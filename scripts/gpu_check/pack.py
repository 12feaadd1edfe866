#!/usr/bin/env python3
"""Compiles the kernels that a check on a card needs, on a machine without one, and packs them.

The programs load their plans on the driver without a card (tests/cuda_on_cpu), which has NVIDIA's
own compiler make kernels for the card's architecture; they run on the processor. What was compiled
is kept in target/, so that a pack that was cut goes on where it was, and the next one has little to
do.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import pathlib
import re
import sys
import tarfile
import time

import kernels
import sanitizers
import speed
import tools
from tools import Json, Variables

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BYTES_MAX = 60 << 20
CAPABILITY = "9.0"
# What a kernel has of shared memory of its own: drivers differ in whether they count what they
# reserve of each block, and how much room rows have follows from it.
OWN_SHARED = ["0", "1024"]


def nvrtc() -> pathlib.Path | None:
    """The compiler to pack with: the one that is named, else that of `scripts/test`."""
    named = os.environ.get("GPU_CHECK_NVRTC")
    if named:
        return pathlib.Path(named)
    inside = "target/venv/lib/python3*/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12"
    return next(ROOT.glob(inside), None)


def version(library: pathlib.Path) -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    ctypes.CDLL(str(library)).nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def sources() -> str:
    """A digest of the kernels' sources: what was compiled of others is of no use."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "kernels").glob("*.cu*")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class Making:
    """The making of all kernels for one pack."""

    def __init__(
        self, to: pathlib.Path, compiler: pathlib.Path, work: pathlib.Path, seconds: float
    ) -> None:
        self.to, self.compiler = to, compiler
        self.kept = work / f"{version(compiler)}-{sources()}"
        self.kept.mkdir(parents=True, exist_ok=True)
        self.runner = tools.Runner(work / "pack.log", time.monotonic() + seconds)
        self.driver = self.place_driver(work / "driver")
        self.began = time.monotonic()
        self.ran: list[Json] = []
        # Whether all that is to be made was.
        self.is_whole = True

    def place_driver(self, folder: pathlib.Path) -> pathlib.Path:
        """The driver without a card, under a name by which no other library looks for it."""
        built = ROOT / "target/tmp/cuda_on_cpu/libcuda.so.1"
        if not built.exists():
            sys.exit(f"{built} is missing; `cargo test --all-features --test cuda` builds it")
        # NVRTC 13 looks for the driver itself, and cannot use one without a card.
        renamed = built.read_bytes().replace(b"libcuda.so.1\0", b"libnocuda.so\0")
        folder.mkdir(exist_ok=True)
        (folder / "libnvcuda.so").write_bytes(renamed)
        return folder

    def run(self, name: str, command: list[str], env: Variables) -> str:
        """Runs a program once for each amount of shared memory; what it printed last."""
        out = ""
        for own in OWN_SHARED:
            variables = {
                "LD_LIBRARY_PATH": self.driver,
                "CUDA_ON_CPU_DEVICES": CAPABILITY,
                "CUDA_ON_CPU_OWN_SHARED": own,
                "FUSEWIRE_TEST_LOAD_ONLY": "1",
                "FUSEWIRE_NVRTC": self.compiler,
                "RUST_BACKTRACE": "0",
            }
            if self.runner.left() <= 0:
                self.is_whole = False
                break
            program = [self.to / command[0], *command[1:]]
            ran = self.runner.run(program, self.runner.left(), variables | dict(env))
            out, self.is_whole = ran.out, self.is_whole and not ran.cut
            ended = "its time was up" if ran.cut else f"status {ran.status}"
            print(f"  {name}, {own} bytes: {ended}, {ran.seconds:.0f} s", flush=True)
        return out

    def conformance(self) -> None:
        env = {"FUSEWIRE_TEST_DEVICES": "cuda,persistent", "FUSEWIRE_CACHE": self.kept / "made"}
        if (self.to / "shared").is_dir():
            env["FUSEWIRE_TEST_SHARED"] = self.to / "shared"
        out = self.run("conformance", ["conformance", "--nocapture"], env)
        which = kernels.ran_in_tests(out)
        failed = re.findall(r"^test (\S+) \.\.\. FAILED$", out, re.MULTILINE)
        self.ran.append(which | {"run": "conformance", "failed": failed})

    def measured(self, model: pathlib.Path) -> None:
        """What the measuring stages load."""
        for input_type in speed.ROW_BYTES:
            for precision in ["f32", "f16"]:
                for latency in ["default", "persistent"]:
                    command = ["fusewire", "inspect", str(model), "--json", "--backend", "cuda"]
                    command += ["--input", input_type, "--precision", precision]
                    command += [] if latency == "default" else ["--latency", latency]
                    name = f"{input_type} {precision} {latency}"
                    out = self.run(name, command, {"FUSEWIRE_CACHE": self.kept / "made"})
                    document = speed.parsed(out) or {}
                    self.ran.append(kernels.ran(document.get("kernels", [])) | {"run": name})

    def planted(self) -> None:
        """The kernels with the bugs that the tools have to see."""
        library = self.kept / "planting" / "libnvrtc.so"
        library.parent.mkdir(exist_ok=True)
        source = sanitizers.HERE / "planting_nvrtc.cpp"
        build = ["g++", "-std=c++17", "-shared", "-fPIC", source, "-o", library, "-ldl"]
        built = self.runner.run(build, 120)
        if built.cut:
            self.is_whole = False
            return
        if built.status != 0:
            sys.exit(f"the compiler that plants bugs was not built: {built.last_line()}")
        for bug in json.loads((sanitizers.HERE / "planted.json").read_text()):
            folder = kernels.planted(bug["tool"])
            env = {
                "FUSEWIRE_TEST_DEVICES": "cuda",
                "FUSEWIRE_NVRTC": library,
                "FUSEWIRE_CACHE": self.kept / folder,
                "PLANT_NVRTC": self.compiler,
                "PLANT_SOURCE": bug["source"],
                "PLANT_FROM": bug["from"],
                "PLANT_TO": bug["to"],
            }
            command = ["conformance", sanitizers.PLANTED_TESTS, "--nocapture"]
            out = self.run(folder, command, env)
            self.ran.append(kernels.ran_in_tests(out) | {"run": folder})

    def pack(self) -> Json:
        """Puts what was made into the pack, with a record of it."""
        (self.kept / "made").mkdir(exist_ok=True)
        planted = [kept.name for kept in self.kept.glob("planted-*") if any(kept.iterdir())]
        folders = ["made", *sorted(planted)]
        with tarfile.open(self.to / kernels.ARCHIVE, "w:gz") as archive:
            for folder in folders:
                archive.add(self.kept / folder, folder)
        record = {
            "nvrtc": version(self.compiler),
            "capability": CAPABILITY,
            "made": len(list((self.kept / "made").glob("*.cubin"))),
            "planted": {it: len(list((self.kept / it).glob("*.cubin"))) for it in folders[1:]},
            "seconds": round(time.monotonic() - self.began),
            "is_whole": self.is_whole,
            "ran": self.ran,
        }
        (self.to / kernels.RECORD).write_text(json.dumps(record, indent=1) + "\n")
        return record


def make(to: pathlib.Path, seconds: float) -> None:
    compiler = nvrtc()
    if compiler is None:
        print("packed without kernels: no NVRTC in target/venv; `scripts/test` installs it")
        return
    work = ROOT / "target/gpu-check"
    work.mkdir(parents=True, exist_ok=True)
    making = Making(to, compiler.resolve(), work, seconds)
    paper = to / "shared/models/paper-fashion-mnist/onnx/ffnn.onnx"
    # What is measured first: a pack that is cut has the most useful part.
    making.measured(paper if paper.exists() else ROOT / "models/fashion-mnist.safetensors")
    making.planted()
    making.conformance()
    record = making.pack()
    print(f"{record['made']} kernels by NVRTC {record['nvrtc']}, {record['seconds']} s")
    if not making.is_whole:
        print("the time was up before all were made; the same call again goes on from there")
    for run in making.ran:
        if run["not_made"] or run["made"] == 0:
            print(f"  {run['run']}: {kernels.words(run)}: {', '.join(run['not_made'])}")


def check_size(to: pathlib.Path) -> None:
    """A pack that is too large cannot be brought to a machine with a card."""
    total = sum(file.stat().st_size for file in to.rglob("*") if file.is_file())
    print(f"{total / 2**20:.1f} MiB, of {BYTES_MAX >> 20} at most")
    if total > BYTES_MAX:
        sys.exit(f"the pack is too large: {total} bytes, expected at most {BYTES_MAX}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("to", type=pathlib.Path, help="the folder with the programs")
    parser.add_argument("--no-kernels", action="store_true", help="make none, and check the size")
    parser.add_argument("--seconds", type=float, default=3600, help="the time to make them in")
    args = parser.parse_args()
    if not args.no_kernels:
        make(args.to.resolve(), args.seconds)
    check_size(args.to.resolve())


if __name__ == "__main__":
    main()
