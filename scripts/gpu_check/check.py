#!/usr/bin/env python3
"""Checks and measures fusewire on a card, with what `scripts/gpu-check pack` put in a folder.

Writes OUT/gpu-check.json, .md and .log after every check, so that a cut leaves what was done. Ends
with status 0 where all that ran is sound; bars that are missed are stated, and are no failure.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

import conformance
import counters
import kernels
import report
import sanitizers
import speed
import tools
from tools import Json, Variables

# In the order in which they run: each with its share of the time, in seconds of a call of 270. What
# a stage does not use is its successors'; what those need is never its own.
STAGES: dict[str, tuple[float, Callable[[Context], Json]]] = {
    "correctness": (75, conformance.run),
    "latency": (40, speed.latency),
    "bandwidth": (50, speed.bandwidth),
    "pytorch": (48, speed.torch),
    "memcheck": (32, sanitizers.memcheck),
    "ncu": (18, counters.run),
    "sweep": (150, speed.sweep),
    "sanitizers": (110, sanitizers.run),
}
# Those of one call, unless others are named.
FIRST = list(STAGES)[:6]
SECONDS = 270.0
# Kept back to end programs and to write.
LAST_SECONDS = 4.0


class Context:
    """What all stages share."""

    def __init__(
        self, args: argparse.Namespace, scratch: pathlib.Path, runner: tools.Runner
    ) -> None:
        self.folder, self.out, self.scratch = args.folder.resolve(), args.out.resolve(), scratch
        self.largest: int = args.largest
        self.runner = runner
        self.stage = "start"
        self.facts = tools.facts(runner)
        listed = runner.run([self.folder / "fusewire", "devices", "--json"], 30)
        self.devices: list[Json] = (speed.parsed(listed.out) or {}).get("devices", [])
        self.made, self.facts["kernels_made"] = self.kernels_made()
        commit = self.folder / "commit"
        self.document: Json = {
            "commit": commit.read_text().strip() if commit.exists() else "unknown",
            "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "facts": self.facts,
            "devices": self.devices,
            "skipped": self.skipped(),
            "parts": {},
            "sound": True,
        }

    def kernels_made(self) -> tuple[Variables | None, str]:
        """The variables of a program that runs kernels made for its models, and who makes them."""
        record = kernels.record_of(self.folder)
        details = [it.get("detail", "") for it in self.devices if it["backend"] == "cuda"]
        if record and any(f"capability {record['capability']}," in it for it in details):
            kernels.unpack(self.folder, self.scratch / "kernels")
            by = f"packed: {record['made']} by NVRTC {record['nvrtc']}"
            by += "" if record["is_whole"] else ", which are not all"
            return kernels.kept_in(self.scratch / "kernels" / "made"), by
        nvrtc = self.facts["nvrtc"]
        if nvrtc is None:
            packed = f"packed for capability {record['capability']}" if record else "not packed"
            return None, f"none: {packed}, and no NVRTC here"
        made = {"FUSEWIRE_NVRTC": nvrtc, "FUSEWIRE_CACHE": self.scratch / "kernels" / "made"}
        return made, f"here: by {nvrtc}"

    def has_backend(self, name: str) -> bool:
        """Whether there is a device of a backend that is no processor."""
        of_it = [it for it in self.devices if it["backend"] == name and it["state"] == "found"]
        return any(not it.get("software") for it in of_it)

    def skipped(self) -> list[str]:
        """What will not be checked, and why."""
        lacking = []
        if not self.has_backend("cuda"):
            why = [it.get("looked_for", "") for it in self.devices if it["backend"] == "cuda"]
            lacking.append(f"cuda: {'; '.join(why) or 'no devices'}: every check of it will fail")
        if not self.has_backend("wgpu"):
            lacking.append(f"wgpu: skipped, {self.why_no_wgpu()}")
        if self.made is None:
            lacking.append(f"kernels made for each model: {self.facts['kernels_made']}")
        names = {"nvrtc": "NVRTC", "compute_sanitizer": "compute-sanitizer"}
        for key, name in (names | {"ncu": "ncu", "torch": "PyTorch"}).items():
            if not self.facts[key]:
                lacking.append(f"{name}: skipped, it was not found")
        if not (self.folder / "shared").is_dir():
            lacking.append("the paper's models: skipped, not packed")
        return lacking

    def why_no_wgpu(self) -> str:
        of_it = [it for it in self.devices if it["backend"] == "wgpu"]
        software = [it["name"] for it in of_it if it["state"] == "found"]
        if software and not self.facts["vulkan_lacks"]:
            return f"there are only software adapters: {', '.join(software)}"
        return self.facts["vulkan_lacks"] or "the Vulkan driver shows no device"

    def say(self, text: str, result: Json) -> None:
        """A line on screen as soon as a check has ended."""
        mark = "" if result.get("sound", True) else "  <-- NOT SOUND"
        print(f"  {self.stage}: {text}{mark}", flush=True)

    def save(self, name: str, part: Json) -> None:
        """Writes everything that there is, with this part as far as it has come."""
        self.document["parts"][name] = part
        parts = self.document["parts"].values()
        self.document["sound"] = all(part.get("sound", False) for part in parts)
        self.write("gpu-check.json", json.dumps(self.document, indent=1) + "\n")
        self.write("gpu-check.md", report.page(self.document))

    def write(self, name: str, text: str) -> None:
        fresh = self.out / f".{name}"
        fresh.write_text(text)
        fresh.replace(self.out / name)


def run_stage(context: Context, name: str) -> None:
    context.stage, begun = name, context.runner.now()
    print(f"{name}: {context.runner.left():.0f} s", flush=True)
    if context.runner.left() < 2:
        part = {"error": "no time was left", "sound": False}
    else:
        try:
            part = STAGES[name][1](context)
        except Exception as error:  # The other stages go on.
            traceback.print_exc()
            part = context.document["parts"].get(name, {})
            part |= {"error": f"{type(error).__name__}: {error}", "sound": False}
    part["stage_seconds"] = round(context.runner.now() - begun, 1)
    context.save(name, part)
    verdict = "sound" if part["sound"] else "NOT SOUND"
    why = f", {part['why']}" if part.get("why") else ""
    print(f"{name}: {verdict}, {part['stage_seconds']} s{why}", flush=True)


def deadlines(wanted: list[str], begin: float, end: float) -> dict[str, float]:
    """By when each stage has to be over, so that those behind it have their share."""
    total = sum(STAGES[name][0] for name in wanted)
    left, found = end - begin, {}
    passed = 0.0
    for name in wanted:
        passed += STAGES[name][0]
        found[name] = begin + left * passed / total
    return found


def run_all(context: Context, wanted: list[str], end: float) -> None:
    for line in context.document["skipped"]:
        print(line, flush=True)
    print(f"kernels made for each model: {context.facts['kernels_made']}", flush=True)
    begin = context.runner.now()
    for name, deadline in deadlines(wanted, begin, end).items():
        context.runner.deadline = deadline
        run_stage(context, name)


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("folder", type=pathlib.Path, help="what `gpu-check pack` made")
    parser.add_argument("out", type=pathlib.Path, help="where the report goes")
    default = ",".join(FIRST)
    parser.add_argument("--only", default=default, help=f"stages; {default} unless named")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the time for all of it")
    parser.add_argument("--largest", type=int, default=4**10, help="the largest batch")
    args = parser.parse_args()
    args.wanted = [name for name in STAGES if name in args.only.split(",")]
    unknown = [name for name in args.only.split(",") if name not in STAGES]
    if unknown:
        parser.error(f"no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    return args


def end_programs(runner: tools.Runner) -> None:
    """Ends what runs where this program is ended: nothing is left on the card."""

    def handler(number: int, _: Any) -> None:
        runner.stop()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def main() -> int:
    begun = time.monotonic()
    args = arguments(argparse.ArgumentParser(prog="gpu-check run", description=__doc__))
    end = begun + args.seconds - LAST_SECONDS
    args.out.mkdir(parents=True, exist_ok=True)
    runner = tools.Runner(args.out.resolve() / "gpu-check.log", end)
    end_programs(runner)
    with tempfile.TemporaryDirectory(prefix="fusewire-gpu-check-") as scratch:
        context = Context(args, pathlib.Path(scratch), runner)
        run_all(context, args.wanted, end)
    sound = context.document["sound"]
    took = time.monotonic() - begun
    print(f"{'sound' if sound else 'NOT SOUND'}, {took:.0f} s: see {args.out}/gpu-check.md")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
