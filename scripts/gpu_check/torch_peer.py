#!/usr/bin/env python3
"""Times PyTorch on a network of linear layers with ReLU between them, in every way it offers:
torch_peer.py MODEL.safetensors OUT.json [--seconds N]

Eagerly, as a CUDA graph, and compiled; in f32, in f32 with TF32 products, and in f16; from rows on
the device, and there and back from pinned memory. OUT.json is written anew after every figure.
"""

import argparse
import json
import pathlib
import statistics
import time

import torch

from torch_layers import layers

BATCHES = [4**power for power in range(9)]
# Compilers take their time.
COMPILED = [1, 64, 4096, 65536]
TUNED = [1, 65536]
CALLS = 200
FIGURE_SECONDS = 0.12


def network(chain, dtype):
    modules = []
    for number, ((shape, weight), bias) in enumerate(chain):
        linear = torch.nn.Linear(shape[1], shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight.tolist()).reshape(shape))
            linear.bias.copy_(torch.tensor(bias[1].tolist()) if bias else torch.zeros(shape[0]))
        modules += [linear] + ([torch.nn.ReLU()] if number + 1 < len(chain) else [])
    return torch.nn.Sequential(*modules).to("cuda", dtype).eval()


def graph_of(model, rows):
    """The model as a graph on a place for its rows; what runs it."""
    place = rows.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(place)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        scores = model(place)

    def run(given):
        if given is not place:
            place.copy_(given, non_blocking=True)
        graph.replay()
        return scores

    return run, place


def percentiles(times):
    times = sorted(times)
    return {
        "p50_us": statistics.median(times),
        "p99_us": times[int(len(times) * 0.99)],
        "min_us": times[0],
        "calls": len(times),
    }


def repeat(once):
    """Times of a call by what it returns, in microseconds, for as long as a figure may take."""
    for _ in range(10):
        once()
    times, end = [], time.perf_counter() + FIGURE_SECONDS
    while len(times) < 20 or (len(times) < CALLS * 5 and time.perf_counter() < end):
        times.append(once())
    return percentiles(times)


def on_device(run, rows):
    """Calls on rows that are there: each between two events, and many one behind the other."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def once():
        begin.record()
        run(rows)
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3

    figures = repeat(once)
    torch.cuda.synchronize()
    begin.record()
    for _ in range(CALLS):
        run(rows)
    end.record()
    end.synchronize()
    figures["back_to_back_us"] = begin.elapsed_time(end) * 1e3 / CALLS
    return figures


def there_and_back(run, place, host, dtype, classes):
    """Calls on rows in pinned memory, until the scores are there: by way of the place that a graph
    reads, where there is one. Bytes become numbers on the device."""
    scores = torch.empty(host.shape[0], classes, dtype=dtype).pin_memory()

    def once():
        begin = time.perf_counter()
        if place is not None and host.dtype == dtype:
            rows = place.copy_(host, non_blocking=True)
        else:
            rows = host.to("cuda", non_blocking=True)
        if rows.dtype == torch.uint8:
            rows = torch.mul(rows, 1 / 255, out=place) if place is not None else rows * (1 / 255)
            rows = rows.to(dtype)
        scores.copy_(run(rows), non_blocking=True)
        torch.cuda.synchronize()
        return (time.perf_counter() - begin) * 1e6

    return repeat(once)


def ceilings():
    """Copies within the device's memory, to it and from it, in bytes a second."""
    here = torch.empty(512 << 20, dtype=torch.uint8, device="cuda")
    other, host = torch.empty_like(here), torch.empty(64 << 20, dtype=torch.uint8).pin_memory()
    part = here[: host.numel()]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def rate(copy, moved):
        best = 0.0
        for _ in range(8):
            events[0].record()
            copy()
            events[1].record()
            events[1].synchronize()
            best = max(best, moved / (events[0].elapsed_time(events[1]) / 1e3))
        return best

    return {
        "bytes_per_s": rate(lambda: other.copy_(here), 2 * here.numel()),
        "link_in_bytes_per_s": rate(lambda: part.copy_(host, non_blocking=True), host.numel()),
        "link_out_bytes_per_s": rate(lambda: host.copy_(part, non_blocking=True), host.numel()),
    }


class Measuring:
    """All figures, saved one by one."""

    def __init__(self, path, chain, seconds):
        self.path, self.chain = pathlib.Path(path), chain
        self.end = time.monotonic() + seconds
        self.document = {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "device": torch.cuda.get_device_name(0),
            "ceilings": ceilings(),
            "cells": [],
            "failed": [],
        }
        self.save()

    def save(self):
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(json.dumps(self.document))
        fresh.replace(self.path)

    def cell(self, precision, variant, batch, make, dtype):
        """One way to run the network, on rows of each type."""
        about = {"precision": precision, "variant": variant, "batch": batch}
        if time.monotonic() > self.end:
            self.document["failed"].append(about | {"why": "no time was left"})
            return
        classes, inputs = self.chain[-1][0][0][0], self.chain[0][0][0][1]
        try:
            bytes_ = torch.randint(0, 256, (batch, inputs), dtype=torch.uint8)
            values = (bytes_.float() / 255).to(dtype)
            rows = values.cuda()
            with torch.inference_mode():
                run, place = make(rows)
                cell = about | {"input": "f16" if dtype == torch.float16 else "f32"}
                cell["device"] = on_device(run, rows if place is None else place)
                pinned = values.pin_memory(), bytes_.pin_memory()
                cell["round_trip"], of_bytes = (
                    there_and_back(run, place, host, dtype, classes) for host in pinned
                )
            self.document["cells"].append(cell)
            self.document["cells"].append(about | {"input": "u8", "round_trip": of_bytes})
        except Exception as error:  # Whatever it is, the other ways go on.
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.document["failed"].append(about | {"why": why})
        self.save()

    def eager(self, precision, dtype):
        model = network(self.chain, dtype)
        for batch in BATCHES:
            self.cell(precision, "eager", batch, lambda rows: (model, None), dtype)

    def graph(self, precision, dtype):
        model = network(self.chain, dtype)
        for batch in BATCHES:
            self.cell(precision, "graph", batch, lambda rows: graph_of(model, rows), dtype)

    def compiled(self, precision, dtype):
        for batch in COMPILED:
            make = compiling(self.chain, dtype, "reduce-overhead")
            self.cell(precision, "compile", batch, make, dtype)

    def tuned(self, precision, dtype):
        for batch in TUNED:
            make = compiling(self.chain, dtype, "max-autotune")
            self.cell(precision, "autotuned", batch, make, dtype)


def compiling(chain, dtype, mode):
    def make(rows):
        torch._dynamo.reset()
        model = torch.compile(network(chain, dtype), mode=mode)
        for _ in range(3):
            model(rows)
        return model, None

    return make


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=200)
    told = parser.parse_args()
    measuring = Measuring(told.out, layers(told.model), told.seconds)
    precisions = [("f32", torch.float32, False), ("tf32", torch.float32, True)]
    precisions.append(("f16", torch.float16, False))
    # What is certain first.
    for variant in [measuring.eager, measuring.graph, measuring.compiled, measuring.tuned]:
        for precision, dtype, tf32 in precisions:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            variant(precision, dtype)


if __name__ == "__main__":
    main()
