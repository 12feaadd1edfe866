"""What the hardware counts while the kernels for large batches run, through ncu."""

import csv
import io

import speed

BATCH = 65536
SECONDS = 50
RUNS = [("u8", "f16"), ("f32", "f32"), ("f16", "f16")]
SECTIONS = ["SpeedOfLight", "Occupancy", "WarpStateStats", "LaunchStats"]
WANTED = {
    "memory, % of peak": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "multiprocessors, % of peak": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "occupancy, %": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "time": "gpu__time_duration.sum",
    "registers": "launch__registers_per_thread",
}
STALL = "smsp__average_warps_issue_stalled_"


def table(out):
    """The rows of ncu's table, as dictionaries; its first row after the names has the units."""
    lines = out.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if begin is None:
        return []
    return list(csv.DictReader(io.StringIO("\n".join(lines[begin:]))))[1:]


def number(text):
    try:
        return float(text.replace(",", ""))
    except (ValueError, AttributeError):
        return None


def counted(row):
    """One launch: the metrics that are wanted, and the three largest reasons to wait."""
    stalls = {}
    for name, value in row.items():
        if name and name.startswith(STALL) and number(value) is not None:
            reason = name.removeprefix(STALL).partition("_per_")[0].removesuffix("_not_issued")
            stalls[reason] = max(stalls.get(reason, 0.0), number(value))
    largest = sorted(stalls.items(), key=lambda it: -it[1])[:3]
    found = {name: number(row.get(metric)) for name, metric in WANTED.items()}
    return {"kernel": row.get("Kernel Name")} | found | {"stalls": dict(largest)}


def run_one(context, input_type, precision, help_text):
    if not speed.takes(help_text, "--input", input_type):
        return None
    env = context.made or {"FUSEWIRE_NVRTC": "off"}
    command = [context.facts["ncu"], "--csv", "--page", "raw", "--clock-control", "none"]
    command += ["--kernel-name", "regex:fused_mlp", "--launch-skip", "1", "--launch-count", "2"]
    command += [word for section in SECTIONS for word in ("--section", section)]
    command += [context.folder / "fusewire", "bench", "kernel", speed.model(context)]
    command += ["--backend", "cuda", "--input", input_type, "--precision", precision]
    command += ["--batch", BATCH, "--seconds", "0.001"]
    ran = context.runner.run(command, SECONDS, env)
    launches = [counted(row) for row in table(ran.out)]
    result = {"run": f"{input_type} {precision}", "launches": launches}
    return result if launches else result | {"why": ran.last_line()}


def run(context):
    """A machine that does not let anybody count is told, and is no failure."""
    if not context.facts["ncu"]:
        return {"why": "there is no ncu", "sound": True}
    help_text = context.runner.run([context.folder / "fusewire", "bench", "kernel", "--help"], 20)
    found = [run_one(context, *run, help_text.out) for run in RUNS]
    return {"batch": BATCH, "runs": [it for it in found if it], "sound": True}
