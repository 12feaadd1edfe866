#!/usr/bin/env python3
"""Checks and measures fusewire on a card, with what `scripts/gpu-check pack` put in a folder.

Writes OUT/gpu-check.json, .md and .log after every part, so that a cut leaves what was done. Ends
with status 0 where all that ran is sound; bars that are missed are stated, and are no failure.
"""

import argparse
import datetime
import json
import pathlib
import sys
import tempfile
import time
import traceback

import conformance
import counters
import report
import sanitizers
import speed
import tools

# In the order in which they run.
PARTS = {
    "conformance": conformance.run,
    "speed": speed.run,
    "sanitizers": sanitizers.run,
    "counters": counters.run,
}


class Context:
    """What all parts share."""

    def __init__(self, told, scratch):
        self.folder, self.out, self.scratch = told.folder.resolve(), told.out.resolve(), scratch
        self.largest = told.largest
        folder, out = self.folder, self.out
        deadline = time.monotonic() + told.seconds
        self.runner = tools.Runner(out / "gpu-check.log", deadline)
        self.facts = tools.facts(self.runner)
        self.made = self.kernels_made()
        listed = self.runner.run([folder / "fusewire", "devices", "--json"], 60)
        self.devices = (speed.parsed(listed.out) or {}).get("devices", [])
        commit = folder / "commit"
        self.document = {
            "commit": commit.read_text().strip() if commit.exists() else "unknown",
            "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "facts": self.facts,
            "devices": self.devices,
            "parts": {},
            "sound": True,
        }

    def kernels_made(self):
        """What a program is told that is to make kernels for its models; None where it cannot."""
        nvrtc = self.facts["nvrtc"]
        return nvrtc and {"FUSEWIRE_NVRTC": nvrtc, "FUSEWIRE_CACHE": self.scratch / "kernels"}

    def has_backend(self, name):
        """Whether there is a device of a backend that is no processor."""
        is_it = [it for it in self.devices if it["backend"] == name and it["state"] == "found"]
        return any(not it.get("software") for it in is_it)

    def save(self, name, part):
        """Writes everything that there is, with this part as far as it has come."""
        self.document["parts"][name] = part
        parts = self.document["parts"].values()
        self.document["sound"] = all(part.get("sound", False) for part in parts)
        self.write("gpu-check.json", json.dumps(self.document, indent=1) + "\n")
        self.write("gpu-check.md", report.page(self.document))

    def write(self, name, text):
        fresh = self.out / f".{name}"
        fresh.write_text(text)
        fresh.replace(self.out / name)


def run_part(context, name):
    begun = time.monotonic()
    if context.runner.left() < 5:
        part = {"why": "no time was left", "sound": False, "error": "no time was left"}
    else:
        try:
            part = PARTS[name](context)
        except Exception as error:  # The other parts go on.
            traceback.print_exc()
            part = context.document["parts"].get(name, {"results": [], "runs": []})
            part |= {"error": f"{type(error).__name__}: {error}", "sound": False}
    part["part_seconds"] = round(time.monotonic() - begun, 1)
    context.save(name, part)
    print(f"{name}: {'sound' if part['sound'] else 'NOT SOUND'}, {part['part_seconds']} s")


def main():
    parser = argparse.ArgumentParser(prog="gpu-check run", description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="what `gpu-check pack` made")
    parser.add_argument("out", type=pathlib.Path, help="where the report goes")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--seconds", type=float, default=570, help="the time for all of it")
    parser.add_argument("--largest", type=int, default=4**10, help="the largest batch")
    told = parser.parse_args()
    wanted = told.only.split(",")
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    told.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fusewire-gpu-check-") as scratch:
        context = Context(told, pathlib.Path(scratch))
        for name in [name for name in PARTS if name in wanted]:
            run_part(context, name)
    print(f"{'sound' if context.document['sound'] else 'NOT SOUND'}: see {told.out}/gpu-check.md")
    return 0 if context.document["sound"] else 1


if __name__ == "__main__":
    sys.exit(main())
