"""compute-sanitizer over every kind of kernel, and over kernels with a bug that it has to see."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import conformance
import kernels
from tools import Job, Json, Ran, Variables

if TYPE_CHECKING:
    from check import Context

HERE = pathlib.Path(__file__).resolve().parent
OTHERS = ["racecheck", "initcheck", "synccheck"]
# What each tool says at its end, if it came to an end.
SUMMARY = {"racecheck": r"RACECHECK SUMMARY: (\d+) hazard"}
ANY_SUMMARY = r"ERROR SUMMARY: (\d+) error"
# What a tool says where it cannot work at all.
UNABLE = ["Device not supported", "Internal Sanitizer Error", "failed to initialize"]
# A finding, of a program that hangs on its bug and so comes to no sum.
FINDING = r"========= (?:Error|Invalid|Uninitialized|Barrier error)"
ALL_PASSED = re.compile(r"^test result: ok\. [1-9]\d* passed; 0 failed", re.MULTILINE)
# Kernels that are launched, and those that stay.
DEVICES = {"FUSEWIRE_TEST_DEVICES": "cuda,persistent"}
FAMILIES = ["families::of_f32_weights", "families::of_f16_weights", "families::of_bf16_weights"]
PLANTED_TESTS = "families::of_f32_weights"


def found(tool: str, out: str) -> int | None:
    """How much the tool found; None where it gives no sum."""
    sums = re.findall(SUMMARY.get(tool, ANY_SUMMARY), out)
    return sum(map(int, sums)) if sums else None


def unable(ran: Ran) -> str | None:
    lines = [line for line in ran.out.splitlines() if any(it in line for it in UNABLE)]
    return lines[0].strip() if lines else None


@dataclasses.dataclass
class Look:
    """A tool's look at kernels: at those of a way, or at those with a bug."""

    tool: str
    kernels: str
    tests: str
    env: Variables
    needs_made: bool = True
    bug: str | None = None

    @property
    def name(self) -> str:
        if self.bug:
            return f"{self.tool}, planted: {self.bug}"
        return f"{self.tool}, kernels {self.kernels}, {self.tests.removeprefix('families::')}"


def watched(context: Context, look: Look) -> Job:
    command = [context.facts["compute_sanitizer"], "--tool", look.tool, "--error-exitcode", "99"]
    command += ["--print-limit", "20", context.folder / "conformance", look.tests]
    command += ["--test-threads=1", "--nocapture"]
    env = dict(look.env) | {"RUST_BACKTRACE": "0"}
    return Job(look.name, command, context.runner.left(), env)


def of_clean(look: Look, ran: Ran) -> Json:
    """The kernels as they are: all tests pass, the tool gives its sum, and that is 0."""
    number, which = found(look.tool, ran.out), kernels.ran_in_tests(ran.out)
    is_clean = ran.status == 0 and number == 0 and bool(ALL_PASSED.search(ran.out))
    why = unable(ran)
    verdict = "clean" if is_clean else "could not run" if why else "cut" if ran.cut else "FINDINGS"
    if is_clean and look.needs_made and which["made"] == 0:
        verdict, why = "NOT MADE", "no kernel was made for its stage"
    if verdict == "FINDINGS":
        why = ran.last_line()
    return {
        "tool": look.tool,
        "kernels": look.kernels,
        "tests": look.tests,
        "verdict": verdict,
        "found": number,
        "ran": which,
        "why": why,
        "seconds": round(ran.seconds, 1),
        "sound": verdict in ("clean", "could not run"),
    }


def of_planted(look: Look, ran: Ran) -> Json:
    """The kernels with a bug: it has to be found, and in a kernel that was made with it."""
    is_planted = kernels.ran_in_tests(ran.out)["made"] > 0 or ran.cut
    is_seen = bool(found(look.tool, ran.out) or re.search(FINDING, ran.out))
    why = unable(ran)
    verdict = "seen" if is_planted and is_seen else "could not run" if why else "NOT SEEN"
    if not is_planted and not why:
        verdict = "NOT PLANTED"
    return {
        "tool": look.tool,
        "what": look.bug,
        "verdict": verdict,
        "found": found(look.tool, ran.out),
        "why": why or (None if verdict == "seen" else ran.last_line()),
        "seconds": round(ran.seconds, 1),
        "sound": verdict in ("seen", "could not run"),
    }


def planted_looks(context: Context, tools: list[str]) -> Iterator[Look]:
    """Of each tool the bug that it has to see, where it was packed."""
    for bug in json.loads((HERE / "planted.json").read_text()):
        folder = context.scratch / "kernels" / kernels.planted(bug["tool"])
        if bug["tool"] in tools and folder.is_dir():
            env = dict(kernels.kept_in(folder)) | {"FUSEWIRE_TEST_DEVICES": "cuda"}
            yield Look(bug["tool"], "with a bug", PLANTED_TESTS, env, bug=bug["what"])


def clean_looks(context: Context, tools: list[str]) -> Iterator[Look]:
    """The best kernels that there are; those that travel along, too, where memcheck's short stage
    is not meant."""
    ways: list[tuple[str, Variables, bool]] = []
    if context.made is not None:
        ways.append(("made for each model", context.made, True))
    if not ways or tools != ["memcheck"]:
        ways.append(("that travel along", conformance.SHIPPED, False))
    for tool in tools:
        for way, env, needs_made in ways:
            for tests in FAMILIES:
                yield Look(tool, way, tests, dict(env) | DEVICES, needs_made)


def run_tools(context: Context, stage: str, tools: list[str]) -> Json:
    """All looks at once; each is saved when it ends."""
    if not context.facts["compute_sanitizer"]:
        return {"why": "there is no compute-sanitizer", "sound": True}
    looks = [*planted_looks(context, tools), *clean_looks(context, tools)]
    every = {look.name: look for look in looks}
    cleans: list[Json] = []
    plants: list[Json] = []

    def done(job: Job, ran: Ran) -> None:
        look = every[job.name]
        result = of_planted(look, ran) if look.bug else of_clean(look, ran)
        (plants if look.bug else cleans).append(result)
        context.save(stage, part())
        context.say(f"{job.name}: {result['verdict']}, {result['found']} found", result)

    def part() -> Json:
        sound = all(it["sound"] for it in cleans + plants)
        proved = {it["tool"] for it in plants if it["verdict"] == "seen"}
        unproved = [tool for tool in tools if tool not in proved]
        why = f"saw no planted bug: {', '.join(unproved)}" if unproved else None
        return {"clean": cleans, "planted": plants, "why": why, "sound": sound}

    context.runner.together([watched(context, look) for look in looks], done)
    return part()


def memcheck(context: Context) -> Json:
    return run_tools(context, "memcheck", ["memcheck"])


def run(context: Context) -> Json:
    return run_tools(context, "sanitizers", OTHERS)
