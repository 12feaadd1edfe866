"""Running programs within a time limit, and finding those that a machine may have."""

import ctypes.util
import dataclasses
import glob
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time


@dataclasses.dataclass
class Ran:
    """What became of a program: its status is None where its time was up."""

    status: int | None
    out: str
    seconds: float

    @property
    def cut(self):
        return self.status is None

    def last_line(self):
        lines = [line for line in self.out.splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "no output"


class Runner:
    """Runs programs, and keeps all that they say in one file."""

    def __init__(self, log, deadline):
        self.log = pathlib.Path(log)
        self.deadline = deadline
        self.lock = threading.Lock()

    def left(self):
        """Seconds until everything has to be over."""
        return self.deadline - time.monotonic()

    def run(self, command, seconds, env=None, echo=True):
        """Runs a command for so many seconds at most; what it started goes with it."""
        seconds = max(min(seconds, self.left()), 0.1)
        command = [str(word) for word in command]
        env = {key: str(value) for key, value in (env or {}).items()}
        begun = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ | env,
                start_new_session=True,
            )
        except OSError as error:
            ran = Ran(127, str(error), 0.0)
        else:
            ran = self.wait(process, seconds, begun)
        self.write(command, env, ran, echo)
        return ran

    def wait(self, process, seconds, begun):
        try:
            out, _ = process.communicate(timeout=seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, status = self.last_words(process), None
        return Ran(status, out.decode(errors="replace"), time.monotonic() - begun)

    def last_words(self, process):
        """What a program said that was ended; not waited for where others still hold its output."""
        try:
            return process.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired as error:
            return error.output or b""

    def write(self, command, env, ran, echo):
        told = " ".join(f"{key}={value!r}" for key, value in env.items())
        end = "its time was up" if ran.cut else f"status {ran.status}"
        said = ran.out if echo else f"({len(ran.out)} characters)"
        with self.lock, self.log.open("a") as log:
            log.write(f"$ {told} {' '.join(command)}\n{said}\n# {end}, {ran.seconds:.1f} s\n\n")


def nvrtc():
    """NVIDIA's run-time compiler: of the loader's path, of a toolkit, or of a Python package."""
    named = os.environ.get("FUSEWIRE_NVRTC")
    if named and named != "off":
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


def tool(name):
    """A tool of the toolkit, in the path or where toolkits are."""
    places = glob.glob(f"/usr/local/cuda*/bin/{name}") + glob.glob(f"/opt/nvidia/*/*/{name}")
    return shutil.which(name) or next(iter(sorted(places)), None)


def facts(runner):
    """What the machine is."""
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,pcie.link.gen.max"
    told = runner.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], 20)
    return {
        "gpu": told.last_line() if told.status == 0 else None,
        "gpu_fields": query,
        "nvrtc": nvrtc(),
        "compute_sanitizer": tool("compute-sanitizer"),
        "ncu": tool("ncu"),
        "cpus": os.cpu_count(),
    }
