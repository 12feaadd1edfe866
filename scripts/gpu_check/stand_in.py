#!/usr/bin/env python3
"""Stands in for a tool of NVIDIA's in a rehearsal: stand_in.py NAME ARGUMENTS...

It runs the program that it is given, and says at the end what the tool says. A program that runs
kernels with a planted bug has one finding.
"""

from __future__ import annotations

import os
import subprocess
import sys

import counters

PROGRAM = ("conformance", "fusewire")


def program(arguments: list[str]) -> list[str]:
    """The program's part of a tool's arguments."""
    begins = (i for i, word in enumerate(arguments) if os.path.basename(word) in PROGRAM)
    return arguments[next(begins) :]


def compute_sanitizer(arguments: list[str]) -> int:
    tool = arguments[arguments.index("--tool") + 1]
    status = subprocess.run(program(arguments)).returncode
    found = int("planted-" in os.environ.get("FUSEWIRE_CACHE", ""))
    if tool == "racecheck":
        print(f"========= RACECHECK SUMMARY: {found} hazards displayed ({found} errors)")
    else:
        print(f"========= ERROR SUMMARY: {found} errors")
    return 99 if found else status


def ncu(arguments: list[str]) -> int:
    status = subprocess.run(program(arguments), stdout=subprocess.DEVNULL).returncode
    names = ["ID", "Kernel Name", *counters.WANTED.values()]
    rows = [names, ["" for _ in names], ["0", "fused_mlp", *("1.0" for _ in counters.WANTED)]]
    for row in rows:
        print(",".join(f'"{text}"' for text in row))
    return status


def main() -> int:
    name, *arguments = sys.argv[1:]
    if name == "compute-sanitizer":
        return compute_sanitizer(arguments)
    if name == "ncu":
        return ncu(arguments)
    print("a rehearsal without a card")
    return 0


if __name__ == "__main__":
    sys.exit(main())
