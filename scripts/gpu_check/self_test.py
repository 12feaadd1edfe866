#!/usr/bin/env python3
"""Holds the readers and the report of gpu-check against made-up output; takes no card, no time."""

import bars
import conformance
import counters
import report
import sanitizers
import speed
import torch_layers

CELL = {
    "backend": "cuda",
    "batch": 1,
    "agrees": True,
    "min_us": 7.0,
    "p50_us": 8.0,
    "p99_us": 9.0,
    "link_share": 0.01,
    "in_flight": {"contexts": 3, "rows_per_s": 1e6, "link_share": 0.5},
    "achieved": {
        "clock": "device",
        "p50_us": 3.0,
        "bytes_per_s": 4e12,
        "memory_share": 0.01,
        "flops_per_s": 1e9,
    },
    "ceilings": {"bytes_per_s": 4.3e12, "flops_per_s": None},
    "max_abs_error": 1e-6,
}


def cell(batch, **changed):
    achieved = CELL["achieved"] | changed.pop("achieved", {})
    return CELL | {"batch": batch, "achieved": achieved} | changed


def made_up():
    """A card that keeps some bars and misses others."""
    large = cell(4**10, achieved={"memory_share": 0.85, "p50_us": 200.0})
    # Fast only because they are wrong, or lie in a cache.
    wrong = cell(4**10, achieved={"memory_share": 0.99}, agrees=False)
    cached = cell(1024, achieved={"memory_share": 1.7}, p50_us=30.0)
    run = {"run": "u8 f16 made", "method": {"input": "u8"}, "cells": [CELL, cached, large, wrong]}
    fed = {"callers": 8, "request_rows": 1024, "rows_per_s": 6e7, "link_share": 0.92}
    fed |= {"agrees": True}
    run["pipelines"] = [fed, fed | {"link_share": 0.99, "agrees": False}]
    trip = {"p50_us": 32.0, "min_us": 30.0, "p99_us": 40.0}
    torch = {"input": "u8", "precision": "f16", "variant": "graph", "batch": 1, "round_trip": trip}
    slow = torch | {"variant": "eager", "round_trip": trip | {"p50_us": 90.0}}
    failed = {"precision": "f16", "variant": "compile", "batch": 1, "why": "no compiler"}
    return {"runs": [run], "torch": {"cells": [torch, slow], "failed": [failed]}, "sound": True}


def check_bars():
    by_name = {bar["bar"]: bar for bar in bars.all_of(made_up())}
    verdicts = {name.partition(":")[0]: bar["met"] for name, bar in by_name.items()}
    assert len(by_name) == 13, by_name
    memory = by_name["u8 rows: share of the memory's ceiling, large batches"]
    assert (memory["figure"], memory["met"]) == (0.85, True), memory
    assert memory["where"] == "u8 f16 made, 1048576 rows", memory
    assert by_name["u8 rows: share of the link's ceiling, contexts in turn"]["met"] is False
    fed = by_name["u8 rows: share of the link's ceiling, through the pipeline"]
    assert (fed["figure"], fed["met"]) == (0.92, True), fed
    assert by_name["one row there and back, default, us"]["met"] is True
    assert by_name["one row there and back, persistent, us"]["met"] is None
    torch = next(bar for name, bar in by_name.items() if name.endswith("there and back"))
    assert (torch["figure"], torch["met"]) == (4.0, True), torch
    assert verdicts["f16 rows"] is None


def check_readers():
    assert conformance.counts("x\ntest result: ok. 22 passed; 1 failed; 0 ignored") == (22, 1)
    assert conformance.counts("Segmentation fault") is None
    assert sanitizers.found("========= ERROR SUMMARY: 0 errors") == 0
    assert sanitizers.found("========= RACECHECK SUMMARY: 4 hazards displayed (4 errors)") == 4
    assert sanitizers.found("========= ERROR SUMMARY: 1 error") == 1
    assert sanitizers.found("no device") is None
    help_text = "--input <INPUT> x [default: f32] [possible\n values: f32,\n u8]\n --y <Y> [f16]"
    assert speed.takes(help_text, "--input", "u8") and not speed.takes(help_text, "--input", "f16")
    assert speed.parsed('warning\n{"a": 1}\n') == {"a": 1} and speed.parsed("{oops") is None
    names = ["ID", "Kernel Name", counters.WANTED["memory, % of peak"]]
    names += [f"{counters.STALL}{it}_per_issue_active.ratio" for it in ["wait", "barrier"]]
    rows = [names, ["", "", "%", "", ""], ["0", "fused_mlp_u8", "81.5", "1.5", "1,002.5"]]
    out = "\n".join(["==PROF== said"] + [",".join(f'"{it}"' for it in row) for row in rows])
    launch = [counters.counted(row) for row in counters.table(out)]
    assert len(launch) == 1 and launch[0]["memory, % of peak"] == 81.5, launch
    assert list(launch[0]["stalls"].items()) == [("barrier", 1002.5), ("wait", 1.5)], launch
    chain = torch_layers.layers("models/fashion-mnist.safetensors")
    assert [weight[0] for weight, _ in chain] == [(32, 784)] + [(32, 32)] * 3 + [(10, 32)], chain


def check_page():
    document = {"commit": "c", "began": "b", "facts": {"gpu": "g"}, "parts": {}, "sound": False}
    assert "NOT SOUND" in report.page(document)
    way = {"way": "cuda", "device": "d", "passed": 3, "failed": 1, "failures": ["a::b"]}
    way |= {"skipped": 0, "cut": False, "seconds": 1.0, "sound": False}
    plant = {"tool": "memcheck", "what": "w", "verdict": "NOT SEEN", "found": 0, "seconds": 1.0}
    launch = {"kernel": "k", "stalls": {"wait": 1.5}}
    document["parts"] = {
        "conformance": {"results": [way], "sound": False},
        "speed": made_up(),
        "sanitizers": {"clean": [], "planted": [plant]},
        "counters": {"batch": 1, "runs": [{"run": "u8 f16", "launches": [launch]}]},
    }
    page = report.page(document)
    for words in ["a::b", "MISSED", "not measured", "met", "NOT SEEN", "no compiler", "wait 1.50"]:
        assert words in page, f"no {words} in\n{page}"


if __name__ == "__main__":
    check_bars()
    check_readers()
    check_page()
    print("gpu-check reads and reports what it is given")
