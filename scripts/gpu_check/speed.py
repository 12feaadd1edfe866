"""How fast: `fusewire bench kernel` in every way to run it, `compare`, and PyTorch beside them."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECONDS = 60
TORCH_SECONDS = 200
# The largest are past every second-level cache.
BATCHES = [4**power for power in range(11)]
BYTES_MAX = 1 << 30
VALUES_IN_ROW = 784
ROW_BYTES = {"f32": 4, "f16": 2, "u8": 1}
FIGURE_SECONDS = "0.12"


def parsed(out):
    """The JSON document among what a program says; None where there is none."""
    for line in reversed(out.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                return None
    return None


def model(context):
    """The paper's own model, else the one that comes with the project."""
    paper = context.folder / "shared/models/paper-fashion-mnist/onnx/ffnn.onnx"
    return paper if paper.exists() else ROOT / "models/fashion-mnist.safetensors"


def bench(context, name, told, env, batches, seconds=FIGURE_SECONDS):
    """One run of `bench kernel`: its cells, or why there are none."""
    command = [context.folder / "fusewire", "bench", "kernel", model(context), "--json", *told]
    command += ["--batch", ",".join(map(str, batches)), "--seconds", seconds]
    ran = context.runner.run(command, SECONDS, env, echo=False)
    document = parsed(ran.out)
    result = {"run": name, "seconds": round(ran.seconds, 1), "sound": ran.status == 0}
    if document is None:
        return result | {"why": "its time was up" if ran.cut else ran.last_line(), "cells": []}
    told_of = [device for device in document["devices"] if device["state"] != "missing"]
    keys = ["backend", "name", "detail", "state", "reason", "agreement"]
    devices = [{key: device[key] for key in keys if key in device} for device in told_of]
    return result | {
        "machine": document["machine"],
        "method": document["method"],
        "devices": devices,
        "cells": document["results"],
        "pipelines": document.get("pipelines", []),
    }


def runs(context, help_text):
    """What to run: the name, what the program is told, its environment, and the batches."""
    kernels = [("made", context.made)] if context.made else []
    kernels.append(("shipped", {"FUSEWIRE_NVRTC": "off"}))
    inputs = [name for name in ["u8", "f16", "f32"] if takes(help_text, "--input", name)]
    for kernel, env in kernels:
        for precision in ["f16", "f32"]:
            for input_type in inputs:
                told = ["--backend", "cuda", "--input", input_type, "--precision", precision]
                row_bytes = VALUES_IN_ROW * ROW_BYTES[input_type]
                fits = [it for it in BATCHES if it * row_bytes <= BYTES_MAX]
                batches = [it for it in fits if it <= context.largest]
                yield f"{input_type} {precision} {kernel}", told, env, batches
        if "--latency" in help_text:
            told = ["--backend", "cuda", "--latency", "persistent"]
            for input_type in inputs:
                also = ["--input", input_type]
                yield f"{input_type} f32 {kernel} persistent", told + also, env, [1, 4, 16]
    if context.has_backend("wgpu"):
        told = ["--backend", "wgpu", "--precision", "f32"]
        yield "f32 f32 wgpu", told, {}, [it for it in BATCHES if it <= min(16384, context.largest)]


def takes(help_text, option, value):
    """Whether an option's list of values, as the help tells it, has this one."""
    after = " ".join(help_text.split()).partition(f"{option} <")[2]
    values = after.partition("[possible values:")[2].partition("]")[0]
    return value in values.replace(",", " ").split()


def compare(context):
    env = context.made or {"FUSEWIRE_NVRTC": "off"}
    command = [context.folder / "fusewire", "compare", model(context), "--json"]
    ran = context.runner.run(command, SECONDS, env, echo=False)
    document = parsed(ran.out) or {}
    return {
        "sound": ran.status == 0,
        "why": None if document else ran.last_line(),
        "cells": document.get("results", []),
    }


def torch(context, save):
    """PyTorch on the same network; it writes as it goes, so that a cut leaves what there is."""
    path = context.scratch / "torch.json"
    weights = ROOT / "models/fashion-mnist.safetensors"
    seconds = min(TORCH_SECONDS, context.runner.left() - 10)
    command = [sys.executable, HERE / "torch_peer.py", weights, path, "--seconds", int(seconds)]
    ran = context.runner.run(command, seconds + 15)
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError):
        result = {"why": ran.last_line(), "cells": []}
    result["finished"] = ran.status == 0
    save(result)


def run(context):
    help_text = context.runner.run([context.folder / "fusewire", "bench", "kernel", "--help"], 20)
    result = {"runs": [], "sound": True}

    def save():
        context.save("speed", result)

    for name, told, env, batches in runs(context, help_text.out):
        # PyTorch and the end have to fit, too.
        if context.runner.left() < 30:
            result["runs"].append({"run": name, "why": "no time was left", "cells": []})
            continue
        done = bench(context, name, told, env, batches)
        result["runs"].append(done)
        result["sound"] = result["sound"] and done["sound"]
        save()
    result["compare"] = compare(context)
    result["sound"] = result["sound"] and result["compare"]["sound"]
    save()
    torch(context, lambda told: result.__setitem__("torch", told))
    return result
