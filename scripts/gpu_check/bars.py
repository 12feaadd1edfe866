"""The bars: what was to be reached on a card, each with the figure that was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tools import Json

# Bytes a second that the makers of cards publish for their memory. Bars are shares of what was
# measured here; this tells which card that was, and whether its memory gives what it should.
PUBLISHED = {
    "GH200": 4.9e12,
    "H200": 4.8e12,
    "H100 NVL": 3.9e12,
    "H100 PCIe": 2.0e12,
    "H100": 3.35e12,
    "A100": 2.0e12,
}
MEMORY = 0.80
LINK = 0.90
DEFAULT_US = 10.0
PERSISTENT_US = 5.0
TIMES = 3.0
# From here on a batch is some times larger than any second-level cache.
LARGE_BYTES = 256 << 20
ROW_BYTES = {"u8": 784, "f16": 1568, "f32": 3136}


def card(gpu: str | None) -> str:
    """Which card it is, and how fast its memory should be."""
    name = next((name for name in PUBLISHED if gpu and name in gpu), None)
    if name is None:
        return "not one whose published rates are known here"
    return f"{name}: {PUBLISHED[name] / 1e12:.2f} TB/s published for its memory"


def cells(speed: Json, persistent: bool = False) -> Iterator[tuple[str, str, Json]]:
    """Every sound figure of the CUDA backend: its run, its rows' type, and itself."""
    for run in speed.get("runs", []):
        if run["run"].endswith("persistent") == persistent:
            for cell in run["cells"]:
                if cell["backend"] == "cuda" and cell["agrees"]:
                    yield run["run"], run["method"]["input"], cell


def bar(
    name: str, figure: float | None, at: float, unit: str, is_met: bool, where: str | None = None
) -> Json:
    return {
        "bar": name,
        "figure": figure,
        "wanted": at,
        "unit": unit,
        "met": None if figure is None else is_met,
        "where": where,
    }


def highest(found: Iterable[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The largest figure of pairs of figure and place."""
    return max(found, key=lambda it: it[0], default=(None, None))


def of_memory(speed: Json, input_type: str) -> Json:
    found = [
        (cell["achieved"]["memory_share"], f"{run}, {cell['batch']} rows")
        for run, of, cell in cells(speed)
        if of == input_type
        and cell["batch"] * ROW_BYTES[of] >= LARGE_BYTES
        and cell["achieved"]["clock"] == "device"
        and cell["achieved"]["memory_share"] is not None
    ]
    share, where = highest(found)
    name = f"{input_type} rows: share of the memory's ceiling, large batches"
    return bar(name, share, MEMORY, "at least", share is not None and share >= MEMORY, where)


def of_link(speed: Json, input_type: str) -> Json:
    found = [
        (cell["in_flight"]["link_share"], f"{run}, {cell['batch']} rows")
        for run, of, cell in cells(speed)
        if of == input_type and cell.get("in_flight")
    ]
    share, where = highest(found)
    name = f"{input_type} rows: share of the link's ceiling, contexts in turn"
    return bar(name, share, LINK, "at least", share is not None and share >= LINK, where)


def of_pipeline(speed: Json, input_type: str) -> Json:
    found = [
        (cell["link_share"], f"{run['run']}, {cell['callers']} callers")
        for run in speed.get("runs", [])
        for cell in run.get("pipelines", [])
        if cell["agrees"] and run["method"]["input"] == input_type
    ]
    share, where = highest(found)
    name = f"{input_type} rows: share of the link's ceiling, through the pipeline"
    return bar(name, share, LINK, "at least", share is not None and share >= LINK, where)


def of_latency(speed: Json, persistent: bool) -> Json:
    found = [
        (-cell["p50_us"], run) for run, _, cell in cells(speed, persistent) if cell["batch"] == 1
    ]
    best, where = highest(found)
    best, most = None if best is None else -best, PERSISTENT_US if persistent else DEFAULT_US
    name = f"one row there and back, {'persistent' if persistent else 'default'}, us"
    return bar(name, best, most, "at most", best is not None and best <= most, where)


def best_of_torch(cell: Json, clock: str) -> float | None:
    """The shortest time of a way of PyTorch's, by whichever of its clocks is kinder to it."""
    times = cell.get(clock) or {}
    return min((times[key] for key in ("p50_us", "back_to_back_us") if key in times), default=None)


def beside_torch(speed: Json, clock: str) -> list[Json]:
    """For each type of rows and batch: our best, PyTorch's best, and how many times as fast."""
    peers = (speed.get("torch") or {}).get("cells", [])
    ours: dict[tuple[str, int], tuple[float, str]] = {}
    theirs: dict[tuple[str, int], tuple[float, str]] = {}
    for run, of, cell in cells(speed):
        time = cell["p50_us"] if clock == "round_trip" else cell["achieved"]["p50_us"]
        if clock == "round_trip" or cell["achieved"]["clock"] == "device":
            key = (of, cell["batch"])
            ours[key] = min(ours.get(key, (time, run)), (time, run))
    for cell in peers:
        time = best_of_torch(cell, clock)
        key, which = (cell["input"], cell["batch"]), f"{cell['variant']} {cell['precision']}"
        if time is not None:
            theirs[key] = min(theirs.get(key, (time, which)), (time, which))
    return [
        {
            "input": key[0],
            "batch": key[1],
            "ours_us": ours[key][0],
            "ours": ours[key][1],
            "torch_us": theirs[key][0],
            "torch": theirs[key][1],
            "times": theirs[key][0] / ours[key][0],
        }
        for key in sorted(ours.keys() & theirs.keys())
    ]


def of_torch(speed: Json, clock: str) -> Json:
    compared = beside_torch(speed, clock)
    worst, where = highest(
        (-it["times"], f"{it['input']} rows, batch {it['batch']}, beside {it['torch']}")
        for it in compared
    )
    worst = None if worst is None else -worst
    words = {"round_trip": "there and back", "device": "rows on the device"}[clock]
    name = f"times as fast as the best of PyTorch, where that is least, {words}"
    return bar(name, worst, TIMES, "at least", worst is not None and worst >= TIMES, where)


def all_of(speed: Json) -> Iterator[Json]:
    """Every bar; one without a figure was not measured."""
    yield from (of_memory(speed, input_type) for input_type in ROW_BYTES)
    yield from (of_link(speed, input_type) for input_type in ROW_BYTES)
    yield from (of_pipeline(speed, input_type) for input_type in ROW_BYTES)
    yield of_latency(speed, persistent=False)
    yield of_latency(speed, persistent=True)
    yield of_torch(speed, "round_trip")
    yield of_torch(speed, "device")
