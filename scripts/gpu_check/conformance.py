"""The conformance suite on the card, through each way to it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import kernels
from tools import Job, Json, Ran, Variables

if TYPE_CHECKING:
    from check import Context

SHIPPED = {"FUSEWIRE_NVRTC": "off"}
# In a rehearsal plans run on another device than the one they are loaded on, and a test is about
# that.
LOAD_ONLY = "FUSEWIRE_TEST_LOAD_ONLY"
NAMES_ITS_DEVICE = "an_executable_names_the_device_it_was_loaded_on"
# The way by which the machine's own compiler is tried has few kernels to make.
FEW = "families::of_f32_weights"


@dataclasses.dataclass
class Way:
    """A way to the card."""

    name: str
    # The suite's name for it.
    backend: str
    env: Variables
    # Whether kernels have to be made.
    needs_made: bool = False
    # Which tests; all where there is none.
    tests: str = ""


def ways(context: Context) -> Iterator[Way]:
    if context.made is not None:
        yield Way("cuda, kernels made for each model", "cuda", context.made, True)
        yield Way("cuda, kernels made, one stays", "persistent", context.made, True)
    yield Way("cuda, kernels that travel along", "cuda", SHIPPED)
    yield Way("cuda, kernels that travel along, one stays", "persistent", SHIPPED)
    if context.facts["nvrtc"]:
        made = {"FUSEWIRE_NVRTC": context.facts["nvrtc"]}
        made |= {"FUSEWIRE_CACHE": context.scratch / "here"}
        yield Way("cuda, kernels made here and now", "cuda", made, True, FEW)
    if context.has_backend("wgpu"):
        yield Way("wgpu", "wgpu", {})


def counts(out: str) -> tuple[int, int]:
    """Tests passed and failed: as the program sums them up, else those whose end it printed."""
    found = re.search(r"^test result: \w+\. (\d+) passed; (\d+) failed", out, re.MULTILINE)
    if found:
        return int(found[1]), int(found[2])
    ended = re.findall(r"^test \S+ \.\.\. (ok|FAILED)$", out, re.MULTILINE)
    return ended.count("ok"), ended.count("FAILED")


def judged(way: Way, ran: Ran) -> Json:
    """What a run of the suite found."""
    passed, failed = counts(ran.out)
    names = re.findall(r"^FUSEWIRE_TEST_DEVICES: (.*)$", ran.out, re.MULTILINE)
    which = kernels.ran_in_tests(ran.out)
    why = None
    if ran.cut:
        why = "its time was up"
    elif way.needs_made and which["made"] == 0:
        why = "kernels made for each model were asked for, and none were made"
    elif ran.status != 0 and not failed:
        why = ran.last_line()
    return {
        "way": way.name,
        "device": names[0] if names else None,
        "passed": passed,
        "failed": failed,
        "failures": re.findall(r"^test (\S+) \.\.\. FAILED$", ran.out, re.MULTILINE),
        "skipped": re.findall(r"^skipped: (.*)$", ran.out, re.MULTILINE),
        "kernels": which,
        "seconds": round(ran.seconds, 1),
        "why": why,
        "sound": ran.status == 0 and passed > 0 and failed == 0 and why is None,
    }


def job(context: Context, way: Way) -> Job:
    variables = dict(way.env) | {"FUSEWIRE_TEST_DEVICES": way.backend, "RUST_BACKTRACE": "0"}
    if (context.folder / "shared").is_dir():
        variables["FUSEWIRE_TEST_SHARED"] = context.folder / "shared"
    command = [context.folder / "conformance", *filter(None, [way.tests]), "--nocapture"]
    if LOAD_ONLY in os.environ:
        command += ["--skip", NAMES_ITS_DEVICE]
    return Job(way.name, command, context.runner.left(), variables)


def run(context: Context) -> Json:
    """All ways at once, for none of them is timed; each is saved when it ends."""
    results: list[Json] = []
    every = {way.name: way for way in ways(context)}

    def done(it: Job, ran: Ran) -> None:
        found = judged(every[it.name], ran)
        results.append(found)
        context.save("correctness", part())
        also = f", {found['why']}" if found["why"] else ""
        numbers = f"{found['passed']} passed, {found['failed']} failed"
        context.say(f"{it.name}: {numbers}, {kernels.words(found['kernels'])}{also}", found)

    def part() -> Json:
        return {"results": results, "sound": all(it["sound"] for it in results)}

    context.runner.together([job(context, way) for way in every.values()], done)
    return part()
