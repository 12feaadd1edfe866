#!/usr/bin/env python3
"""Runs a whole check on the driver without a card (tests/cuda_on_cpu), with a stop-watch.

Plans are loaded on that driver and run on the processor; stand-ins take the place of nvidia-smi,
compute-sanitizer and ncu. It shows that every stage starts, ends in its time, and is saved. Figures
mean nothing. Ends with status 0 where all stages were saved in time.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import check

HERE = pathlib.Path(__file__).resolve().parent
DRIVER = HERE.parent.parent / "target/tmp/cuda_on_cpu/libcuda.so.1"
PROGRAMS = ["nvidia-smi", "compute-sanitizer", "ncu"]
# Batches on the driver without a card are computed value by value.
LARGEST = "16"


def stand_ins(folder: pathlib.Path) -> None:
    """Puts the stand-ins and the driver where programs look for such things."""
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f"#!/bin/sh\nexec {sys.executable} {HERE}/stand_in.py {name} \"$@\"\n")
        program.chmod(0o755)
    shutil.copy(DRIVER, folder / "libnvcuda.so")


def rehearse(args: argparse.Namespace, scratch: pathlib.Path) -> float:
    """Runs the check; how many seconds it took."""
    stand_ins(scratch)
    env = os.environ | {
        "PATH": f"{scratch}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(scratch),
        "CUDA_ON_CPU_DEVICES": "9.0",
        "FUSEWIRE_TEST_LOAD_ONLY": "1",
    }
    command = [sys.executable, HERE / "check.py", args.folder, args.out, "--largest", LARGEST]
    begun = time.monotonic()
    subprocess.run([*command, "--seconds", str(args.seconds), "--only", args.only], env=env)
    return time.monotonic() - begun


def judge(args: argparse.Namespace, took: float) -> bool:
    """Prints each stage with its time; whether all were saved in time."""
    document = json.loads((args.out / "gpu-check.json").read_text())
    wanted = args.only.split(",")
    ends = check.deadlines(wanted, 0.0, args.seconds - check.LAST_SECONDS)
    print("\nstage          took, s   to be over by, s   sound")
    for name in wanted:
        part = document["parts"].get(name, {})
        seconds, sound = part.get("stage_seconds", float("nan")), part.get("sound")
        print(f"{name:12} {seconds:9.1f} {ends[name]:18.1f}   {sound}")
    print(f"all of it    {took:9.1f} {args.seconds:18.1f}")
    return all(name in document["parts"] for name in wanted) and took <= args.seconds


def main() -> int:
    parser = argparse.ArgumentParser(prog="gpu-check rehearse", description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="what `gpu-check pack` made")
    parser.add_argument("out", type=pathlib.Path, help="where the report goes")
    parser.add_argument("--seconds", type=float, default=check.SECONDS)
    parser.add_argument("--only", default=",".join(check.FIRST))
    args = parser.parse_args()
    if not DRIVER.exists():
        sys.exit(f"{DRIVER} is missing; `cargo test --all-features --test cuda` builds it")
    with tempfile.TemporaryDirectory(prefix="fusewire-rehearsal-") as scratch:
        took = rehearse(args, pathlib.Path(scratch))
    return 0 if judge(args, took) else 1


if __name__ == "__main__":
    sys.exit(main())
