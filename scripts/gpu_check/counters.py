"""What the hardware counts while the kernels for large batches run, through ncu."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import speed
from tools import Json

if TYPE_CHECKING:
    from check import Context

BATCH = 65536
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


def table(out: str) -> list[dict[str, str]]:
    """The rows of ncu's table, as dictionaries; its first row after the names has the units."""
    lines = out.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if begin is None:
        return []
    return list(csv.DictReader(io.StringIO("\n".join(lines[begin:]))))[1:]


def number(text: str | None) -> float | None:
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return None


def counted(row: dict[str, str]) -> Json:
    """One launch: the metrics that are wanted, and the three largest reasons to wait."""
    stalls: dict[str, float] = {}
    for name, text in row.items():
        value = number(text)
        if name and name.startswith(STALL) and value is not None:
            reason = name.removeprefix(STALL).partition("_per_")[0].removesuffix("_not_issued")
            stalls[reason] = max(stalls.get(reason, 0.0), value)
    largest = sorted(stalls.items(), key=lambda it: -it[1])[:3]
    found = {name: number(row.get(metric)) for name, metric in WANTED.items()}
    return {"kernel": row.get("Kernel Name")} | found | {"stalls": dict(largest)}


def run_one(context: Context, input_type: str, precision: str) -> Json:
    env = speed.ways(context)[0][1]
    batch = min(BATCH, context.largest)
    command = [context.facts["ncu"], "--csv", "--page", "raw", "--clock-control", "none"]
    command += ["--kernel-name", "regex:fused_mlp", "--launch-skip", "1", "--launch-count", "2"]
    command += [word for section in SECTIONS for word in ("--section", section)]
    command += [context.folder / "fusewire", "bench", "kernel", speed.model(context)]
    command += ["--backend", "cuda", "--input", input_type, "--precision", precision]
    command += ["--batch", batch, "--seconds", "0.001"]
    ran = context.runner.run(command, context.runner.left(), env)
    launches = [counted(row) for row in table(ran.out)]
    result = {"run": f"{input_type} {precision}, batch {batch}", "launches": launches}
    why = "its time was up" if ran.cut else ran.last_line()
    return result if launches else result | {"why": why}


def run(context: Context) -> Json:
    """A machine on which counters may not be read is reported, and is no failure."""
    if not context.facts["ncu"]:
        return {"why": "there is no ncu", "runs": [], "sound": True}
    result: Json = {"runs": [], "sound": True}
    for input_type, precision in RUNS:
        if context.runner.left() < speed.SECONDS_MIN:
            break
        found = run_one(context, input_type, precision)
        result["runs"].append(found)
        context.save("ncu", result)
        launches = [f"{it['memory, % of peak']} % of memory" for it in found["launches"]]
        context.say(f"{found['run']}: {found.get('why') or ', '.join(launches)}", result)
    return result
