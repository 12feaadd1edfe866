#!/usr/bin/env python3
"""Holds gpu-check against made-up programs, output and time; takes no card and no time."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import pathlib
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import bars
import check
import conformance
import counters
import kernels
import report
import sanitizers
import speed
import tools
import torch_layers
from tools import Job, Json, Ran, Variables

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


def cell(batch: int, **changed: Any) -> Json:
    achieved = CELL["achieved"] | changed.pop("achieved", {})
    return CELL | {"batch": batch, "achieved": achieved} | changed


def made_up() -> Json:
    """A card that keeps some bars and misses others."""
    large = cell(4**10, achieved={"memory_share": 0.85, "p50_us": 200.0})
    # Fast only because they are wrong, or lie in a cache.
    wrong = cell(4**10, achieved={"memory_share": 0.99}, agrees=False)
    cached = cell(1024, achieved={"memory_share": 1.7}, p50_us=30.0)
    run = {"run": "u8 f16 made", "method": {"input": "u8"}, "cells": [CELL, cached, large, wrong]}
    fed = {"callers": 8, "request_rows": 1024, "rows_per_s": 6e7, "link_share": 0.92}
    fed |= {"agrees": True}
    run["kernels"] = {"made": 2, "not_made": {"few_rows_u8_f16_1": 1}}
    run["pipelines"] = [fed, fed | {"link_share": 0.99, "agrees": False}]
    trip = {"p50_us": 32.0, "min_us": 30.0, "p99_us": 40.0}
    torch = {"input": "u8", "precision": "f16", "variant": "graph", "batch": 1, "round_trip": trip}
    slow = torch | {"variant": "eager", "round_trip": trip | {"p50_us": 90.0}}
    failed = {"precision": "f16", "variant": "compile", "batch": 1, "why": "no compiler"}
    return {"runs": [run], "torch": {"cells": [torch, slow], "failed": [failed]}, "sound": True}


def check_bars() -> None:
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
    assert bars.card("NVIDIA H100 80GB HBM3, 580.1") == "H100: 3.35 TB/s published for its memory"
    assert bars.card("NVIDIA H100 PCIe").startswith("H100 PCIe: 2.00")
    assert bars.card("NVIDIA H200").startswith("H200: 4.80") and "not one" in bars.card(None)


def check_readers() -> None:
    assert conformance.counts("x\ntest result: ok. 22 passed; 1 failed; 0 ignored") == (22, 1)
    assert conformance.counts("Segmentation fault") == (0, 0)
    cut = "test a::b ... ok\nkernels: x\ntest c ... FAILED\ntest d ... ok\ntest e has been running"
    assert conformance.counts(cut) == (2, 1)
    race = "========= RACECHECK SUMMARY: 4 hazards displayed (4 errors)"
    assert sanitizers.found("memcheck", "========= ERROR SUMMARY: 0 errors") == 0
    assert sanitizers.found("racecheck", race) == 4
    assert sanitizers.found("memcheck", race) is None
    assert sanitizers.found("initcheck", "========= ERROR SUMMARY: 1 error") == 1
    assert sanitizers.found("memcheck", "no device") is None
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


def check_page() -> None:
    document: Json = {"commit": "c", "began": "b", "facts": {"gpu": "g"}}
    document |= {"parts": {}, "sound": False}
    document["skipped"] = ["wgpu: skipped, no Vulkan loader (libvulkan.so.1)"]
    page = report.page(document)
    assert "NOT SOUND" in page and "* wgpu: skipped, no Vulkan loader" in page, page
    assert page.index("wgpu: skipped") < page.index("| card |"), page
    way = {"way": "cuda, made", "device": "d", "passed": 3, "failed": 1, "failures": ["a::b"]}
    way |= {"skipped": ["no ../shared"], "why": None, "seconds": 1.0, "sound": False}
    way |= {"kernels": {"made": 7, "not_made": {"few_rows_x": 2}}}
    plant = {"tool": "memcheck", "what": "w", "verdict": "NOT SEEN", "found": 0, "seconds": 1.0}
    launch = {"kernel": "k", "stalls": {"wait": 1.5}}
    measured = made_up()
    document["parts"] = {
        "correctness": {"results": [way], "sound": False},
        "bandwidth": {"runs": measured["runs"], "sound": True, "stage_seconds": 9.5},
        "pytorch": {"torch": measured["torch"], "sound": True},
        "memcheck": {"clean": [], "planted": [plant]},
        "ncu": {"runs": [{"run": "u8 f16", "launches": [launch]}]},
    }
    page = report.page(document)
    words = ["a::b", "MISSED", "not measured", "met", "NOT SEEN", "no compiler", "wait 1.50"]
    words += ["few_rows_x x 2", "no ../shared", "few_rows_u8_f16_1 x 1", "4.00", "bandwidth, 9.5 s"]
    for word in words:
        assert word in page, f"no {word} in\n{page}"


def check_kernels() -> None:
    lines = ["fused_mlp_f32_f32_4 (made for its stage); up to 16 rows few_rows_f32_f32_1 (sm_90)"]
    which = kernels.ran([*lines, "dense_f32_f32 (sm_90)", "head (sm_90)"])
    assert which == {"made": 1, "not_made": {"few_rows_f32_f32_1": 1}}, which
    stays = "fused_mlp_u8_f32_4 (made for its stage); persistent_u8_f32 (made for its stage), stays"
    assert kernels.ran([stays]) == {"made": 2, "not_made": {}}
    # What was to be made, and was not, has another name, and is not sound.
    run = speed.Run("u8", "f16", [1], "made", {})
    assert speed.labelled(run, {"made": 2, "not_made": {}}, {"run": run.name}) == {"run": run.name}
    none = speed.labelled(run, {"made": 0, "not_made": {"few": 1}}, {"run": run.name})
    assert (none["run"], none["sound"]) == ("u8 f16 NOT MADE", False), none
    shipped = speed.Run("u8", "f16", [1], "shipped", {})
    assert "sound" not in speed.labelled(shipped, {"made": 0, "not_made": {"few": 1}}, {"run": "x"})


def check_verdicts() -> None:
    """Whatever a run lacks of being sound makes it unsound."""
    passed = "test result: ok. 4 passed; 0 failed; 0 ignored\n"
    made = "kernels: a (made for its stage)\n"
    zero, one = "========= ERROR SUMMARY: 0 errors\n", "========= ERROR SUMMARY: 1 error\n"

    def suite(out: str, status: int | None = 0, needs_made: bool = True) -> bool:
        way = conformance.Way("w", "cuda", {}, needs_made)
        return conformance.judged(way, Ran(status, out, 1.0))["sound"]

    assert suite(passed + made) and suite(passed, needs_made=False)
    assert not suite(passed) and not suite(passed + made, None) and not suite(made)
    assert not suite(made + "test result: ok. 0 passed; 0 failed;")

    look = sanitizers.Look("memcheck", "w", "t", {})

    def clean(out: str, status: int | None = 0) -> str:
        return sanitizers.of_clean(look, Ran(status, out, 1.0))["verdict"]

    assert clean(passed + made + zero) == "clean"
    assert clean(passed.replace("4", "3") + made + zero) == "clean"
    assert clean(passed + zero) == "NOT MADE"
    assert clean(passed + made) == clean(passed + made + one, 99) == "FINDINGS"
    assert clean(passed.replace("4", "0") + made + zero) == "FINDINGS"
    assert clean("", None) == "cut" and clean("Device not supported", 1) == "could not run"

    def planted(out: str, status: int | None = 99) -> str:
        return sanitizers.of_planted(look, Ran(status, out, 1.0))["verdict"]

    assert planted(made + one) == planted("========= Invalid __global__ write", None) == "seen"
    assert planted(made + zero, 0) == planted("", None) == "NOT SEEN"
    assert planted(one) == "NOT PLANTED"


class MadeUp(tools.Runner):
    """Programs that take a time that is made up, and print what they would on a card."""

    def __init__(self, out: pathlib.Path, takes: Callable[[list[str]], float]) -> None:
        super().__init__(out / "gpu-check.log", check.SECONDS - check.LAST_SECONDS)
        self.clock, self.takes = 0.0, takes
        self.saved: list[tuple[str, int]] = []

    def now(self) -> float:
        return self.clock

    def ran(self, command: Sequence[Any], seconds: float) -> Ran:
        words = [str(word) for word in command]
        limit, wanted = max(min(seconds, self.left()), 0.1), self.takes(words)
        if "devices" in words:
            wanted = 1.0
        if wanted > limit:
            return Ran(None, "", limit)
        return Ran(0, said_by(words), wanted)

    def run(
        self,
        command: Sequence[Any],
        seconds: float,
        env: Variables | None = None,
        echo: bool = True,
    ) -> Ran:
        ran = self.ran(command, seconds)
        self.clock += ran.seconds
        return ran

    def together(self, jobs: Sequence[Job], done: Callable[[Job, Ran], None]) -> None:
        begun = self.clock
        for ran, job in sorted(
            ((self.ran(it.command, it.seconds), it) for it in jobs), key=lambda it: it[0].seconds
        ):
            self.clock = begun + ran.seconds
            done(job, ran)


def said_by(words: list[str]) -> str:
    if "devices" in words:
        missing = {"backend": "wgpu", "state": "missing", "looked_for": "an adapter"}
        found = {"backend": "cuda", "state": "found", "name": "H200"}
        found |= {"detail": "device 0, compute capability 9.0, 139.8 GiB"}
        return json.dumps({"devices": [found, missing]})
    if "ncu" in words[0]:
        return '"ID","Kernel Name"\n"",""\n"0","fused_mlp"'
    if "bench" in words:
        kernel = "fused_mlp_f32_f32_4 (made for its stage)"
        device = {"state": "found", "backend": "cuda", "kernels": [kernel]}
        method = {"input": words[words.index("--input") + 1]}
        document = {"machine": {}, "method": method, "devices": [device], "results": [CELL]}
        return json.dumps(document)
    passed = "test result: ok. 4 passed; 0 failed\nkernels: a (made for its stage)\n"
    return f"{passed}========= ERROR SUMMARY: 0 errors"


def saving(runner: MadeUp) -> Callable[..., None]:
    """Saves as a check does, and notes how much of each stage there was."""
    real = check.Context.save

    def save(context: check.Context, name: str, part: Json) -> None:
        real(context, name, part)
        lists = [value for value in part.values() if isinstance(value, list)]
        runner.saved.append((name, sum(map(len, lists))))

    return save


def rehearsed(out: pathlib.Path, takes: Callable[[list[str]], float]) -> tuple[Json, MadeUp, str]:
    """A whole check of made-up programs: what it left, its clock, and the screen."""
    facts: Json = {"gpu": "NVIDIA H200", "nvrtc": "/n.so", "compute_sanitizer": "cs", "ncu": "ncu"}
    facts |= {"torch": True, "vulkan_lacks": "no Vulkan loader (libvulkan.so.1)"}
    runner, screen = MadeUp(out, takes), io.StringIO()
    args = argparse.Namespace(folder=out, out=out, largest=4**10)
    with (
        mock.patch.object(tools, "facts", lambda _: dict(facts)),
        mock.patch.object(check.Context, "save", saving(runner)),
        contextlib.redirect_stdout(screen),
    ):
        context = check.Context(args, out, runner)
        check.run_all(context, check.FIRST, check.SECONDS - check.LAST_SECONDS)
    return json.loads((out / "gpu-check.json").read_text()), runner, screen.getvalue()


def check_stages() -> None:
    """Six stages in order, all saved, in the time of one call, however long programs take."""
    order = ["correctness", "latency", "bandwidth", "pytorch", "memcheck", "ncu"]
    assert check.FIRST == order
    for takes in [lambda words: 1e9, lambda words: 20.0, lambda words: 0.5]:
        with tempfile.TemporaryDirectory() as folder:
            document, runner, screen = rehearsed(pathlib.Path(folder), takes)
        parts = document["parts"]
        assert list(parts) == order, list(parts)
        assert runner.now() <= check.SECONDS - check.LAST_SECONDS + 1, runner.now()
        ends = check.deadlines(order, 0.0, check.SECONDS - check.LAST_SECONDS)
        taken = 0.0
        for name in order:
            taken += parts[name]["stage_seconds"]
            assert taken <= ends[name] + 5, (name, taken, ends)
        assert screen.startswith("wgpu: skipped, no Vulkan loader (libvulkan.so.1)\n"), screen
    # All of them are quick now, and everything was done, and saved one by one.
    for name, checks in [("correctness", 5), ("latency", 14), ("memcheck", 3), ("ncu", 3)]:
        sizes = [size for saved, size in runner.saved if saved == name]
        assert sizes[:checks] == list(range(1, checks + 1)), (name, sizes)
    assert document["sound"], document
    assert len(parts["latency"]["runs"]) == 14 and len(parts["bandwidth"]["runs"]) == 5
    assert len(parts["correctness"]["results"]) == 5 and len(parts["ncu"]["runs"]) == 3
    assert "latency: f32 f32 made persistent: 1: 8.0 us" in screen, screen


def check_packed_kernels() -> None:
    """Packed kernels are for cards of one capability; others have them made here."""
    for capability, by in [("9.0", "packed: 2 by NVRTC 12.0"), ("8.0", "here: by /n.so")]:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            record = {"made": 2, "nvrtc": "12.0", "capability": capability, "is_whole": True}
            (folder / kernels.RECORD).write_text(json.dumps(record))
            (folder / "made").mkdir()
            (folder / "planted-memcheck").mkdir()
            (folder / "made" / "k.cubin").write_bytes(b"kernel")
            with tarfile.open(folder / kernels.ARCHIVE, "w:gz") as archive:
                archive.add(folder / "made", "made")
                archive.add(folder / "planted-memcheck", "planted-memcheck")
            document, _, screen = rehearsed(folder, lambda words: 0.5)
            is_there = (folder / "kernels/made/k.cubin").exists()
        assert document["facts"]["kernels_made"] == by and by in screen, screen
        # Made-up tools see no bug, which is the reason why the packed ones are not sound.
        planted = [it["verdict"] for it in document["parts"]["memcheck"]["planted"]]
        assert (is_there, planted) == ((True, ["NOT SEEN"]) if "packed" in by else (False, []))
        assert document["sound"] is ("here" in by), screen


def check_a_cut() -> None:
    """What was done before a program's end, whenever it comes, is saved."""

    class Cut(BaseException):
        pass

    calls = 0

    def takes(words: list[str]) -> float:
        nonlocal calls
        calls += "bench" in words
        if calls == 5:
            raise Cut
        return 0.5

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            rehearsed(folder, takes)
            raise AssertionError("it was not cut")
        except Cut:
            document = json.loads((folder / "gpu-check.json").read_text())
            page = (folder / "gpu-check.md").read_text()
    assert len(document["parts"]["correctness"]["results"]) == 5, document
    assert len(document["parts"]["latency"]["runs"]) == 4, document
    assert "cut after some" in page, page


def is_gone(process: int) -> bool:
    """Whether a process ends within some seconds."""
    state = pathlib.Path(f"/proc/{process}/stat")
    for _ in range(100):
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def check_programs() -> None:
    """Real programs: their time, what they print, and what they started."""
    with tempfile.TemporaryDirectory() as name:
        runner = tools.Runner(pathlib.Path(name) / "log", time.monotonic() + 60)
        ran = runner.run(["sh", "-c", "echo one; echo two >&2; exit 3"], 30)
        assert (ran.status, ran.last_line(), ran.cut) == (3, "two", False), ran
        ran = runner.run(["sh", "-c", "sleep 600 & echo $!; sleep 600"], 0.5)
        assert ran.cut and is_gone(int(ran.last_line())), ran
        assert runner.run(["/no/such/program"], 1).status == 127
        seen: list[str] = []
        jobs = [Job(it, ["sh", "-c", f"echo {it}"], 30) for it in ("a", "b", "c")]
        runner.together(jobs, lambda job, ran: seen.append(f"{job.name}{ran.last_line()}"))
        assert sorted(seen) == ["aa", "bb", "cc"], seen
        assert not runner.running


if __name__ == "__main__":
    check_bars()
    check_readers()
    check_page()
    check_kernels()
    check_verdicts()
    check_stages()
    check_packed_kernels()
    check_a_cut()
    check_programs()
    print("gpu-check keeps its time, and reads and reports what it is given")
