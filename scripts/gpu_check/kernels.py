"""Kernels made for a model's own stages: those that were packed, and which of them ran."""

from __future__ import annotations

import collections
import json
import pathlib
import re
import tarfile

from tools import Json, Variables

ARCHIVE = "kernels.tar.gz"
RECORD = "kernels.json"
MADE = "made for its stage"
# Kernels that are as good for any stage, so that nothing is made in their place.
FOR_ANY = re.compile(r"dense_|head$")


def planted(tool: str) -> str:
    """The folder of the kernels with the bug that a tool has to see."""
    return f"planted-{tool}"


def record_of(packed: pathlib.Path) -> Json | None:
    """The record of the packed kernels, where there are any."""
    record = packed / RECORD
    return json.loads(record.read_text()) if record.exists() else None


def unpack(packed: pathlib.Path, to: pathlib.Path) -> None:
    with tarfile.open(packed / ARCHIVE) as content:
        # Older releases of Python 3.11 have no filters.
        content.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        content.extractall(to)


def kept_in(folder: pathlib.Path) -> Variables:
    """What a program is given that runs kept kernels, and compiles none."""
    return {"FUSEWIRE_NVRTC": "kept", "FUSEWIRE_CACHE": folder}


def ran(lines: list[str]) -> Json:
    """Of the stages' kernels as backends list them: how many were made for their stage, and those
    that were not although they could be, by name."""
    made = 0
    not_made: collections.Counter[str] = collections.Counter()
    for line in lines:
        for name, origin in re.findall(r"(\w+) \(([^)]*)\)", line):
            if origin == MADE:
                made += 1
            elif not FOR_ANY.match(name):
                not_made[name] += 1
    return {"made": made, "not_made": dict(sorted(not_made.items()))}


def ran_in_tests(out: str) -> Json:
    """The same, from what the conformance suite prints."""
    return ran(re.findall(r"^kernels: (.*)$", out, re.MULTILINE))


def words(counts: Json) -> str:
    """How many kernels were made, for people."""
    missing = sum(counts["not_made"].values())
    return f"{counts['made']} kernels made, {missing} not"
