"""The report as a page of Markdown, from what the parts left in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import bars
import kernels
import speed
from tools import Json

GIGA = 1e9


def figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        size = abs(value)
        if 0 < size < 0.01:
            return f"{value:.1e}"
        return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "/")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [list(header), ["---"] * len(header)]
    lines += [[figure(value) for value in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def share(value: float | None) -> str | None:
    return None if value is None else f"{value * 100:.1f} %"


def of_machine(document: Json) -> str:
    """What will not be checked, the card, and what else the machine has."""
    text = "".join(f"* {line}\n" for line in document.get("skipped", []))
    rows = [[key, value] for key, value in document["facts"].items()]
    rows += [["card", bars.card(document["facts"].get("gpu"))]]
    return f"{text}\n{table(['', ''], rows)}"


def of_not_made(which: Json) -> str:
    """The kernels that were not made for their stage, where some were not."""
    names = ", ".join(f"{name} x {count}" for name, count in which["not_made"].items())
    return f": {names}" if names else ""


def of_conformance(part: Json) -> str:
    keys = ["way", "device", "passed", "failed", "skipped", "kernels made", "not made"]
    keys += ["seconds", "sound", "why"]
    rows = []
    for it in part.get("results", []):
        which = it["kernels"]
        row = [it["way"], it["device"], it["passed"], it["failed"], len(it["skipped"])]
        row += [which["made"], sum(which["not_made"].values())]
        rows.append([*row, it["seconds"], it["sound"], it["why"]])
    text = table(keys, rows)
    for it in part.get("results", []):
        text += "".join(f"\nfailed, {it['way']}: {name}" for name in it["failures"])
        text += "".join(f"\nskipped, {it['way']}: {why}" for why in sorted(set(it["skipped"])))
        if "made" in it["way"]:
            text += f"\nnot made, {it['way']}{of_not_made(it['kernels']) or ': none'}"
    return text


def of_sanitizers(part: Json) -> str:
    text = f"{part['why']}\n\n" if part.get("why") else ""
    clean = ["tool", "kernels", "verdict", "found", "seconds", "why"]
    text += table(clean, [[it.get(key) for key in clean] for it in part.get("clean", [])])
    planted = ["tool", "what", "verdict", "found", "seconds", "why"]
    text += "\nBugs that were planted, and have to be seen:\n\n"
    rows = [[it.get(key) for key in planted] for it in part.get("planted", [])]
    return text + table(planted, rows)


def of_bars(measured: Json) -> str:
    def verdict(bar: Json) -> str:
        return "not measured" if bar["met"] is None else "met" if bar["met"] else "MISSED"

    rows = [
        [it["bar"], it["figure"], f"{it['unit']} {figure(it['wanted'])}", verdict(it), it["where"]]
        for it in bars.all_of(measured)
    ]
    return table(["bar", "figure", "wanted", "", "where"], rows)


def of_run(run: Json) -> str:
    text = f"\n### {run['run']}\n\n"
    if run.get("why"):
        return text + run["why"] + "\n"
    text += f"{kernels.words(run['kernels'])}{of_not_made(run['kernels'])}\n\n"
    rows = []
    for cell in run["cells"]:
        achieved, flight = cell["achieved"], cell.get("in_flight") or {}
        row = [cell["batch"], cell["min_us"], cell["p50_us"], cell["p99_us"]]
        row += [share(cell["link_share"]), flight.get("rows_per_s", 0.0) / 1e6 or None]
        row += [share(flight.get("link_share")), achieved["clock"], achieved["p50_us"]]
        row += [achieved["bytes_per_s"] / GIGA, share(achieved["memory_share"])]
        row += [achieved["flops_per_s"] / GIGA, cell["batch"] / achieved["p50_us"]]
        rows.append(row + [cell["max_abs_error"], cell["agrees"]])
    header = ["batch", "trip min, us", "p50", "p99", "of link", "in flight, M rows/s", "of link"]
    header += ["clock", "compute p50, us", "GB/s", "of memory", "GFLOP/s", "M rows/s"]
    header += ["error", "ok"]
    text += table(header, rows)
    for cell in run.get("pipelines", []):
        text += f"\npipeline: {figure(cell['rows_per_s'] / 1e6)} M rows/s from {cell['callers']} "
        text += f"callers of {cell['request_rows']} rows, {share(cell['link_share'])} of the link\n"
    last = run["cells"][-1].get("ceilings") if run["cells"] else None
    if last:
        rates = ", ".join(f"{key} {figure(rate / GIGA)} G" for key, rate in last.items() if rate)
        text += f"\nceilings: {rates}\n"
    return text


def of_torch(measured: Json) -> str:
    peer = measured.get("torch")
    if not peer:
        return ""
    text = f"\n### PyTorch {peer.get('torch', '')}\n\n"
    if peer.get("why"):
        text += f"{peer['why']}\n\n"
    rates = peer.get("ceilings", {})
    text += ", ".join(f"{key} {figure(rate / GIGA)} G" for key, rate in rates.items()) + "\n\n"
    header = ["rows", "precision", "variant", "batch"]
    header += ["on device, us", "one by one", "there and back"]
    rows = []
    for cell in peer.get("cells", []):
        device, trip = cell.get("device") or {}, cell.get("round_trip") or {}
        row = [cell["input"], cell["precision"], cell["variant"], cell["batch"]]
        rows.append(row + [device.get("back_to_back_us"), device.get("p50_us"), trip.get("p50_us")])
    text += table(header, rows)
    for failed in peer.get("failed", []):
        which = f"{failed['variant']} {failed['precision']} {failed['batch']}"
        text += f"\nnot measured: {which}: {failed['why']}"
    return text


def of_beside_torch(measured: Json) -> str:
    text = ""
    for clock, words in [("round_trip", "There and back"), ("device", "Rows on the device")]:
        keys = ["input", "batch", "ours_us", "ours", "torch_us", "torch", "times"]
        compared = bars.beside_torch(measured, clock)
        text += f"\n\n{words}, the best of each:\n\n"
        text += table(keys, [[it[key] for key in keys] for it in compared])
    return text


def of_compare(measured: Json) -> str:
    cells = measured.get("compare", {}).get("cells", [])
    keys = ["backend", "batch", "p50_us", "p99_us", "rows_per_s", "agrees"]
    if not cells:
        return ""
    rows = [[cell[key] for key in keys] for cell in cells]
    return "\n### compare\n\n" + table(keys, rows)


def of_counters(part: Json) -> str:
    text = f"{part['why']}\n" if part.get("why") else ""
    for run in part.get("runs", []):
        text += f"\n{run['run']}: {run.get('why', '')}\n\n"
        for launch in run["launches"]:
            counted = launch | {"stalls": ", ".join(
                f"{reason} {figure(value)}" for reason, value in launch["stalls"].items()
            )}
            text += table(["", ""], [[key, value] for key, value in counted.items()]) + "\n"
    return text


def of_stage(name: str, part: Json) -> str:
    if name == "correctness":
        return of_conformance(part)
    if name in ("memcheck", "sanitizers"):
        return of_sanitizers(part)
    if name == "ncu":
        return of_counters(part)
    if name == "pytorch":
        return of_torch({"torch": part.get("torch"), "runs": []})
    return "".join(map(of_run, part.get("runs", []))) + of_compare(part)


def page(document: Json) -> str:
    """Everything that there is so far."""
    parts = document["parts"]
    sound = "sound" if document["sound"] else "NOT SOUND"
    text = f"# fusewire on a card: {sound}\n\ncommit {document['commit']}, {document['began']}\n\n"
    text += of_machine(document)
    measured = speed.merged(parts)
    if measured["runs"]:
        text += "\n## Bars\n\n" + of_bars(measured)
    for name, part in parts.items():
        text += f"\n## {name}, {part.get('stage_seconds', 'cut after some')} s\n\n"
        text += of_stage(name, part)
        if part.get("error"):
            text += f"\n{name} ended early: {part['error']}\n"
    if measured["torch"]:
        text += "\n## Beside PyTorch\n" + of_beside_torch(measured)
    return text
