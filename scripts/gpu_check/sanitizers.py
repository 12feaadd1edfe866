"""compute-sanitizer over every kind of kernel, and over kernels with a bug that it has to see."""

import concurrent.futures
import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]
SECONDS = 200
# A bug may well make a kernel hang.
SECONDS_OF_BUG = 75
# What a tool says where it cannot work at all.
UNABLE = ["Device not supported", "Internal Sanitizer Error", "failed to initialize"]
AT_ONCE = 4
# Kernels that are launched, and those that stay.
DEVICES = {"FUSEWIRE_TEST_DEVICES": "cuda,persistent"}


def found(out):
    """How much the tool found; None where it gives no sum."""
    sums = re.findall(r"(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)", out)
    return sum(int(errors or hazards) for errors, hazards in sums) if sums else None


def watch(context, tool, tests, env, seconds):
    env = env | {"RUST_BACKTRACE": "0"}
    command = [context.facts["compute_sanitizer"], "--tool", tool, "--error-exitcode", "99"]
    command += ["--print-limit", "20", context.folder / "conformance", tests, "--test-threads=1"]
    return context.runner.run(command, seconds, env)


def unable(ran):
    told = [line for line in ran.out.splitlines() if any(it in line for it in UNABLE)]
    return told[0].strip() if told else None


def clean(context, tool, way, env):
    """The kernels as they are: nothing may be found."""
    ran = watch(context, tool, "families::", env | DEVICES, SECONDS)
    number = found(ran.out)
    is_clean = ran.status == 0 and number == 0 and "3 passed" in ran.out
    why = unable(ran)
    verdict = "clean" if is_clean else "could not run" if why else "cut" if ran.cut else "FINDINGS"
    return {
        "tool": tool,
        "kernels": way,
        "verdict": verdict,
        "found": number,
        "why": why or (None if is_clean else ran.last_line()),
        "seconds": round(ran.seconds, 1),
        "sound": verdict in ("clean", "could not run"),
    }


def planted(context, library, bug):
    """The kernels with a bug: it has to be found."""
    tool = bug["tool"]
    env = {
        "FUSEWIRE_TEST_DEVICES": "cuda",
        "FUSEWIRE_NVRTC": library,
        "FUSEWIRE_CACHE": context.scratch / f"planted-{tool}",
        "PLANT_NVRTC": context.facts["nvrtc"],
        "PLANT_SOURCE": bug["source"],
        "PLANT_FROM": bug["from"],
        "PLANT_TO": bug["to"],
    }
    ran = watch(context, tool, "families::of_f32_weights", env, SECONDS_OF_BUG)
    is_planted = "planting: a bug in" in ran.out
    # Of a program that hangs on its bug there is no sum.
    lines = re.findall(r"========= (?:Error|Invalid|Uninitialized|Barrier error)", ran.out)
    is_seen = bool(found(ran.out) or lines)
    why = unable(ran)
    verdict = "seen" if is_planted and is_seen else "could not run" if why else "NOT SEEN"
    if not is_planted and not why:
        verdict = "NOT PLANTED"
    return {
        "tool": tool,
        "what": bug["what"],
        "verdict": verdict,
        "found": found(ran.out),
        "why": why or (None if verdict == "seen" else ran.last_line()),
        "seconds": round(ran.seconds, 1),
        "sound": verdict in ("seen", "could not run"),
    }


def build_planting(context):
    """The compiler that plants bugs; None where there is nothing to build it with."""
    library = context.scratch / "planting" / "libnvrtc.so"
    library.parent.mkdir(exist_ok=True)
    source = HERE / "planting_nvrtc.cpp"
    for compiler in [["g++", "-fPIC"], ["c++", "-fPIC"], ["nvcc", "-Xcompiler", "-fPIC"]]:
        command = [*compiler, "-std=c++17", "-shared", source, "-o", library, "-ldl"]
        if context.runner.run(command, 60).status == 0:
            return library
    return None


def run(context):
    if not context.facts["compute_sanitizer"]:
        return {"why": "there is no compute-sanitizer", "sound": True}
    ways = {"that travel along": {"FUSEWIRE_NVRTC": "off"}}
    if context.made:
        ways["made for each model"] = context.made
        # Made once, for all tools.
        env = context.made | DEVICES
        context.runner.run([context.folder / "conformance", "families::"], 60, env)
    library = build_planting(context) if context.made else None
    bugs = json.loads((HERE / "planted.json").read_text())
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        looks = [
            pool.submit(clean, context, tool, way, env)
            for way, env in ways.items()
            for tool in TOOLS
        ]
        plants = [pool.submit(planted, context, library, bug) for bug in bugs if library]
        cleans = [look.result() for look in looks]
        seen = [plant.result() for plant in plants]
    result = {"clean": cleans, "planted": seen}
    if not library:
        result["why"] = "no bug could be planted: no NVRTC, or no C++ compiler"
    return result | {"sound": all(it["sound"] for it in cleans + seen)}
