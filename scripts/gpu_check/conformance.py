"""The conformance suite on the card, through each way to it."""

import concurrent.futures
import re

SECONDS = 240


def ways(context):
    """Of each way to the card: its name, the suite's for it, and what the programs are told."""
    kernels = [("kernels made for each model", context.made)] if context.made else []
    kernels.append(("kernels that travel along", {"FUSEWIRE_NVRTC": "off"}))
    for name, told in kernels:
        yield f"cuda, {name}", "cuda", told
        yield f"cuda, {name}, one of them stays", "persistent", told
    if context.has_backend("wgpu"):
        yield "wgpu", "wgpu", {}


def counts(out):
    """Tests passed and failed, as the program tells them; None where it does not."""
    told = re.search(r"^test result: \w+\. (\d+) passed; (\d+) failed", out, re.MULTILINE)
    return (int(told[1]), int(told[2])) if told else None


def run_way(context, name, backend, told):
    env = told | {"FUSEWIRE_TEST_DEVICES": backend, "RUST_BACKTRACE": "0"}
    if (context.folder / "shared").is_dir():
        env["FUSEWIRE_TEST_SHARED"] = context.folder / "shared"
    ran = context.runner.run([context.folder / "conformance", "--show-output"], SECONDS, env)
    found = counts(ran.out)
    passed, failed = found or (0, 0)
    names = re.findall(r"^FUSEWIRE_TEST_DEVICES: (.*)$", ran.out, re.MULTILINE)
    return {
        "way": name,
        "device": names[0] if names else None,
        "passed": passed,
        "failed": failed,
        "failures": re.findall(r"^test (\S+) \.\.\. FAILED$", ran.out, re.MULTILINE),
        "skipped": len(re.findall(r"^skipped: ", ran.out, re.MULTILINE)),
        "seconds": round(ran.seconds, 1),
        "cut": ran.cut,
        "sound": ran.status == 0 and passed > 0 and failed == 0,
    }


def run(context):
    """All ways at once: none of them is timed."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda way: run_way(context, *way), ways(context)))
    return {"results": results, "sound": all(result["sound"] for result in results)}
