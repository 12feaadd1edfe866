"""How fast: `fusewire bench kernel` in every way to run it, `compare`, and PyTorch beside them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import kernels
from conformance import SHIPPED
from tools import Json, Variables

if TYPE_CHECKING:
    from check import Context

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# A run that has fewer seconds than this is not begun.
SECONDS_MIN = 6
# The largest are past every second-level cache.
BATCHES = [4**power for power in range(11)]
FEW_ROWS = [1, 4, 16]
MANY_ROWS = [4096, 65536, 262144, 1048576]
BYTES_MAX = 1 << 30
VALUES_IN_ROW = 784
ROW_BYTES = {"f32": 4, "f16": 2, "u8": 1}
FIGURE_SECONDS = "0.12"


@dataclasses.dataclass
class Run:
    """One run of `bench kernel`."""

    input: str
    precision: str
    batches: list[int]
    kernels: str
    env: Variables
    backend: str = "cuda"
    persistent: bool = False

    @property
    def name(self) -> str:
        last = " persistent" if self.persistent else ""
        return f"{self.input} {self.precision} {self.kernels}{last}"

    def options(self) -> list[str]:
        batches = ",".join(map(str, self.batches))
        options = ["--backend", self.backend, "--input", self.input, "--precision", self.precision]
        options += ["--latency", "persistent"] if self.persistent else []
        return [*options, "--batch", batches]


def parsed(out: str) -> Json | None:
    """The JSON document among what a program prints; None where there is none."""
    for line in reversed(out.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                return None
    return None


def model(context: Context) -> pathlib.Path:
    """The paper's own model, else the one that comes with the project."""
    paper = context.folder / "shared/models/paper-fashion-mnist/onnx/ffnn.onnx"
    return paper if paper.exists() else ROOT / "models/fashion-mnist.safetensors"


def bench(context: Context, run: Run, seconds: str = FIGURE_SECONDS) -> Json:
    """One run of `bench kernel`: its cells, or why there are none."""
    command = [context.folder / "fusewire", "bench", "kernel", model(context), "--json"]
    command += [*run.options(), "--seconds", seconds]
    ran = context.runner.run(command, context.runner.left(), run.env, echo=False)
    document = parsed(ran.out)
    result = {"run": run.name, "seconds": round(ran.seconds, 1), "sound": ran.status == 0}
    if document is None:
        why = "its time was up" if ran.cut else ran.last_line()
        return result | {"why": why, "cells": [], "sound": ran.cut}
    found = [device for device in document["devices"] if device["state"] != "missing"]
    keys = ["backend", "name", "detail", "state", "reason", "agreement", "kernels"]
    devices = [{key: device[key] for key in keys if key in device} for device in found]
    which = kernels.ran([line for device in devices for line in device.get("kernels", [])])
    return labelled(run, which, result) | {
        "kernels": which,
        "machine": document["machine"],
        "method": document["method"],
        "devices": devices,
        "cells": document["results"],
        "pipelines": document.get("pipelines", []),
    }


def labelled(run: Run, which: Json, result: Json) -> Json:
    """The result, under the name of the kernels that really ran."""
    if run.kernels != "made" or not which["not_made"]:
        return result
    names = ", ".join(which["not_made"])
    name = result["run"].replace("made", "NOT MADE" if which["made"] == 0 else "partly made")
    return result | {"run": name, "sound": False, "why_not_made": f"not made: {names}"}


def said(result: Json) -> str:
    """The figures of a run in a line."""
    if not result["cells"]:
        return f"{result['run']}: {result['why']}"
    figures = [f"{it['batch']}: {it['p50_us']:.1f} us" for it in result["cells"]]
    shares = [it["achieved"]["memory_share"] for it in result["cells"]]
    shares = [share for share in shares if share is not None]
    best = f", at most {max(shares) * 100:.0f} % of memory" if shares else ""
    wrong = "" if all(it["agrees"] for it in result["cells"]) else ", WRONG SCORES"
    return f"{result['run']}: {', '.join(figures)}{best}{wrong}"


def ways(context: Context) -> list[tuple[str, Variables]]:
    """The kernels there are: their name, and the variables with which a program runs them."""
    made = [] if context.made is None else [("made", context.made)]
    return [*made, ("shipped", SHIPPED)]


def fitting(context: Context, input_type: str, batches: Iterable[int]) -> list[int]:
    row_bytes = VALUES_IN_ROW * ROW_BYTES[input_type]
    return [it for it in batches if it * row_bytes <= BYTES_MAX and it <= context.largest]


def latency_runs(context: Context) -> Iterator[Run]:
    """The default way and the kernel that stays, first with the best kernels."""
    for name, env in ways(context):
        for input_type, precision in [("f32", "f32"), ("u8", "f16"), ("f16", "f16"), ("u8", "f32")]:
            yield Run(input_type, precision, FEW_ROWS, name, env)
        for input_type in ["f32", "u8", "f16"]:
            yield Run(input_type, "f32", FEW_ROWS, name, env, persistent=True)


def bandwidth_runs(context: Context) -> Iterator[Run]:
    """Large batches, on the best kernels that there are."""
    name, env = ways(context)[0]
    types = [("u8", "f16"), ("f32", "f32"), ("f16", "f16"), ("f32", "f16"), ("u8", "f32")]
    for input_type, precision in types:
        batches = fitting(context, input_type, MANY_ROWS) or [context.largest]
        yield Run(input_type, precision, batches, name, env)


def sweep_runs(context: Context) -> Iterator[Run]:
    """Every batch size in every way."""
    for name, env in ways(context):
        for precision in ["f16", "f32"]:
            for input_type in ROW_BYTES:
                batches = fitting(context, input_type, BATCHES)
                yield Run(input_type, precision, batches, name, env)
    if context.has_backend("wgpu"):
        batches = [it for it in BATCHES if it <= min(16384, context.largest)]
        yield Run("f32", "f32", batches, "wgpu", {}, backend="wgpu")


def measure(context: Context, stage: str, runs: Iterable[Run]) -> Json:
    """Runs one after the other, for as long as there is time; each is saved when it ends."""
    result: Json = {"runs": [], "sound": True}
    for run in runs:
        if context.runner.left() < SECONDS_MIN:
            skipped = {"run": run.name, "why": "no time was left", "cells": [], "sound": True}
            result["runs"].append(skipped)
            continue
        found = bench(context, run)
        result["runs"].append(found)
        result["sound"] = result["sound"] and found["sound"]
        context.save(stage, result)
        context.say(said(found), found)
    return result


def latency(context: Context) -> Json:
    return measure(context, "latency", latency_runs(context))


def bandwidth(context: Context) -> Json:
    return measure(context, "bandwidth", bandwidth_runs(context))


def sweep(context: Context) -> Json:
    result = {"compare": compare(context)}
    context.say(f"compare: {len(result['compare']['cells'])} figures", result["compare"])
    result |= measure(context, "sweep", sweep_runs(context))
    result["sound"] = result["sound"] and result["compare"]["sound"]
    return result


def compare(context: Context) -> Json:
    env = ways(context)[0][1]
    command = [context.folder / "fusewire", "compare", model(context), "--json"]
    ran = context.runner.run(command, 60, env, echo=False)
    document = parsed(ran.out) or {}
    return {
        "sound": ran.status == 0,
        "why": None if document else ran.last_line(),
        "cells": document.get("results", []),
    }


def torch(context: Context) -> Json:
    """PyTorch on the same network; it writes as it goes, so that a cut leaves what there is."""
    if not context.facts["torch"]:
        return {"why": "there is no PyTorch", "torch": {}, "sound": True}
    path = context.scratch / "torch.json"
    weights = ROOT / "models/fashion-mnist.safetensors"
    seconds = context.runner.left()
    command: list[Any] = [sys.executable, HERE / "torch_peer.py", weights, path]
    ran = context.runner.run([*command, "--seconds", int(max(seconds - 8, 1))], seconds)
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = {"why": ran.last_line(), "cells": []}
    found["finished"] = ran.status == 0
    for cell in found["cells"]:
        if cell["batch"] in (1, 65536) and "round_trip" in cell:
            trip = f"{cell['round_trip']['p50_us']:.1f} us there and back"
            about = f"{cell['variant']} {cell['precision']} {cell['input']}"
            context.say(f"PyTorch {about}, batch {cell['batch']}: {trip}", {"sound": True})
    return {"torch": found, "why": found.get("why"), "sound": True}


def merged(parts: Json) -> Json:
    """All that was measured, whichever stage did."""
    stages = [parts[name] for name in ("latency", "bandwidth", "sweep") if name in parts]
    return {
        "runs": [run for stage in stages for run in stage.get("runs", [])],
        "compare": parts.get("sweep", {}).get("compare", {}),
        "torch": parts.get("pytorch", {}).get("torch", {}),
    }
