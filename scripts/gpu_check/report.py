"""The report as a page of Markdown, from what the parts left in JSON."""

import bars

GIGA = 1e9


def figure(value):
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


def table(header, rows):
    lines = [header, ["---"] * len(header)] + [[figure(value) for value in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def share(value):
    return None if value is None else f"{value * 100:.1f} %"


def of_machine(facts):
    return table(["", ""], [[key, value] for key, value in facts.items()])


def of_conformance(part):
    keys = ["way", "device", "passed", "failed", "skipped", "cut", "seconds", "sound"]
    text = table(keys, [[result[key] for key in keys] for result in part["results"]])
    for result in part["results"]:
        text += "".join(f"\nfailed, {result['way']}: {name}" for name in result["failures"])
    return text


def of_sanitizers(part):
    text = f"{part['why']}\n\n" if part.get("why") else ""
    clean = ["tool", "kernels", "verdict", "found", "seconds", "why"]
    text += table(clean, [[it.get(key) for key in clean] for it in part.get("clean", [])])
    planted = ["tool", "what", "verdict", "found", "seconds", "why"]
    text += "\nBugs that were planted, and have to be seen:\n\n"
    rows = [[it.get(key) for key in planted] for it in part.get("planted", [])]
    return text + table(planted, rows)


def of_bars(speed):
    def verdict(bar):
        return "not measured" if bar["met"] is None else "met" if bar["met"] else "MISSED"

    rows = [
        [it["bar"], it["figure"], f"{it['unit']} {figure(it['wanted'])}", verdict(it), it["where"]]
        for it in bars.all_of(speed)
    ]
    return table(["bar", "figure", "wanted", "", "where"], rows)


def of_run(run):
    text = f"\n### {run['run']}\n\n"
    if run.get("why"):
        return text + run["why"] + "\n"
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


def of_torch(speed):
    peer = speed.get("torch")
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
    for clock, words in [("round_trip", "There and back"), ("device", "Rows on the device")]:
        keys = ["input", "batch", "ours_us", "ours", "torch_us", "torch", "times"]
        compared = bars.beside_torch(speed, clock)
        text += f"\n\n{words}, the best of each:\n\n"
        text += table(keys, [[it[key] for key in keys] for it in compared])
    return text


def of_compare(speed):
    cells = speed.get("compare", {}).get("cells", [])
    keys = ["backend", "batch", "p50_us", "p99_us", "rows_per_s", "agrees"]
    return "\n### compare\n\n" + table(keys, [[cell[key] for key in keys] for cell in cells])


def of_counters(part):
    text = f"{part['why']}\n" if part.get("why") else ""
    for run in part.get("runs", []):
        text += f"\n{run['run']}, batch {part['batch']}: {run.get('why', '')}\n\n"
        for launch in run["launches"]:
            counted = launch | {"stalls": ", ".join(
                f"{reason} {figure(value)}" for reason, value in launch["stalls"].items()
            )}
            text += table(["", ""], [[key, value] for key, value in counted.items()]) + "\n"
    return text


def page(document):
    """Everything that there is so far."""
    parts = document["parts"]
    sound = "sound" if document["sound"] else "NOT SOUND"
    text = f"# fusewire on a card: {sound}\n\ncommit {document['commit']}, {document['began']}\n\n"
    text += of_machine(document["facts"])
    if "speed" in parts:
        text += "\n## Bars\n\n" + of_bars(parts["speed"])
    if "conformance" in parts:
        text += "\n## Conformance\n\n" + of_conformance(parts["conformance"])
    if "sanitizers" in parts:
        text += "\n## Sanitizers\n\n" + of_sanitizers(parts["sanitizers"])
    if "speed" in parts:
        text += "\n## Speed\n" + "".join(map(of_run, parts["speed"]["runs"]))
        text += of_compare(parts["speed"]) + of_torch(parts["speed"])
    if "counters" in parts:
        text += "\n## Counters\n\n" + of_counters(parts["counters"])
    for name, part in parts.items():
        if part.get("error"):
            text += f"\n{name} ended early: {part['error']}\n"
    return text
