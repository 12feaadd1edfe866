"""Running programs within a time limit, and finding those that a machine may have."""

from __future__ import annotations

import concurrent.futures
import ctypes
import ctypes.util
import dataclasses
import glob
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Variables = Mapping[str, Any]


@dataclasses.dataclass
class Ran:
    """What became of a program: its status is None where its time was up."""

    status: int | None
    out: str
    seconds: float

    @property
    def cut(self) -> bool:
        return self.status is None

    def last_line(self) -> str:
        lines = [line for line in self.out.splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "no output"


@dataclasses.dataclass
class Job:
    """A program to run: what for, the command, the most seconds, and its variables."""

    name: str
    command: Sequence[Any]
    seconds: float
    env: Variables = dataclasses.field(default_factory=dict)


class Runner:
    """Runs programs until a deadline, and keeps all that they say in one file."""

    def __init__(self, log: pathlib.Path, deadline: float) -> None:
        self.log = log
        self.deadline = deadline
        self.lock = threading.Lock()
        self.running: set[subprocess.Popen[bytes]] = set()

    def now(self) -> float:
        return time.monotonic()

    def left(self) -> float:
        """Seconds until everything has to be over."""
        return self.deadline - self.now()

    def run(
        self,
        command: Sequence[Any],
        seconds: float,
        env: Variables | None = None,
        echo: bool = True,
    ) -> Ran:
        """Runs a command for `seconds` at most; what it started ends with it."""
        seconds = max(min(seconds, self.left()), 0.1)
        words = [str(word) for word in command]
        variables = {key: str(value) for key, value in (env or {}).items()}
        begun = self.now()
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ | variables,
                start_new_session=True,
            )
        except OSError as error:
            ran = Ran(127, str(error), 0.0)
        else:
            ran = self.wait(process, seconds, begun)
        self.write(words, variables, ran, echo)
        return ran

    def wait(self, process: subprocess.Popen[bytes], seconds: float, begun: float) -> Ran:
        with self.lock:
            self.running.add(process)
        try:
            out, _ = process.communicate(timeout=seconds)
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            end(process)
            out, status = last_words(process), None
        with self.lock:
            self.running.discard(process)
        return Ran(status, out.decode(errors="replace"), self.now() - begun)

    def together(self, jobs: Sequence[Job], done: Callable[[Job, Ran], None]) -> None:
        """Runs all of them at once; `done` is called here as soon as one has ended."""
        with concurrent.futures.ThreadPoolExecutor(max(len(jobs), 1)) as pool:
            begun = {pool.submit(self.run, it.command, it.seconds, it.env): it for it in jobs}
            for future in concurrent.futures.as_completed(begun):
                done(begun[future], future.result())

    def stop(self) -> None:
        """Ends everything that runs, when this process is ended itself."""
        with self.lock:
            running = list(self.running)
        for process in running:
            end(process)

    def write(self, command: list[str], env: Variables, ran: Ran, echo: bool) -> None:
        variables = " ".join(f"{key}={value!r}" for key, value in env.items())
        ended = "its time was up" if ran.cut else f"status {ran.status}"
        said = ran.out if echo else f"({len(ran.out)} characters)"
        text = f"$ {variables} {' '.join(command)}\n{said}\n# {ended}, {ran.seconds:.1f} s\n\n"
        with self.lock, self.log.open("a") as log:
            log.write(text)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def last_words(process: subprocess.Popen[bytes]) -> bytes:
    """What an ended program said; not waited for long where others still hold its output."""
    try:
        return process.communicate(timeout=3)[0]
    except subprocess.TimeoutExpired as error:
        return error.output or b""


def nvrtc() -> str | None:
    """NVIDIA's run-time compiler: of the loader's path, of a toolkit, or of a Python package."""
    named = os.environ.get("FUSEWIRE_NVRTC")
    if named and named not in ("off", "kept"):
        return named
    folders = ["/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/usr/lib/*linux-gnu"]
    folders += os.environ.get("LD_LIBRARY_PATH", "").split(":")
    python = shutil.which("python3")
    if python:
        packages = pathlib.Path(python).parent.parent / "lib/python3*/site-packages/nvidia"
        folders += [str(packages / "*/lib"), str(packages / "lib")]
    for version in ["13", "12"]:
        for folder in filter(None, folders):
            found = sorted(glob.glob(f"{folder}/libnvrtc.so.{version}"))
            if found:
                return found[-1]
    return ctypes.util.find_library("nvrtc")


def tool(name: str) -> str | None:
    """A tool of the toolkit, in the path or where toolkits are."""
    places = glob.glob(f"/usr/local/cuda*/bin/{name}") + glob.glob(f"/opt/nvidia/*/*/{name}")
    return shutil.which(name) or next(iter(sorted(places)), None)


def vulkan_lacks() -> str | None:
    """What of Vulkan is missing, which wgpu needs on Linux; None where loader and driver are there.
    """
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return "no Vulkan loader (libvulkan.so.1)"
    if os.environ.get("VK_DRIVER_FILES") or os.environ.get("VK_ICD_FILENAMES"):
        return None
    folders = ["/usr/share/vulkan", "/usr/local/share/vulkan", "/etc/vulkan"]
    drivers = [file for folder in folders for file in glob.glob(f"{folder}/icd.d/*.json")]
    return None if drivers else "no Vulkan driver (no ICD in /usr/share/vulkan or /etc/vulkan)"


def facts(runner: Runner) -> Json:
    """What the machine is."""
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,pcie.link.gen.max"
    asked = runner.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], 20)
    return {
        "gpu": asked.last_line() if asked.status == 0 else None,
        "gpu_fields": query,
        "nvrtc": nvrtc(),
        "compute_sanitizer": tool("compute-sanitizer"),
        "ncu": tool("ncu"),
        "torch": importlib.util.find_spec("torch") is not None,
        "vulkan_lacks": vulkan_lacks(),
        "cpus": os.cpu_count(),
    }
