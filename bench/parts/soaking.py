"""Hours at a low rate: what grows, and whether the latency drifts. Not part of a usual run."""

import asyncio
import time
from dataclasses import dataclass, field
from statistics import linear_regression

from bench import databases
from bench.machine import percentile
from bench.report import Result
from bench.run import Run
from services.service import NAMES

SLICE_SECONDS = 60.0
QUARTERS = 4


@dataclass
class Look:
    """One look at everything that could leak."""

    at_hours: float
    memory: dict[str, float]
    files: dict[str, float]
    connections: int


@dataclass
class Quarter:
    """What was seen in a quarter of the time, in seconds."""

    posted: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    never: int = 0


def soak(bench: Run) -> None:
    """Cases at a steady rate for ``--minutes``; memory, handles, latency by quarters."""
    whole = 60 * bench.options.minutes
    began = time.monotonic()
    looks = [_look(bench, began)]
    quarters = [Quarter() for _ in range(QUARTERS)]
    while (gone := time.monotonic() - began) < whole:
        quarter = quarters[min(QUARTERS - 1, int(QUARTERS * gone / whole))]
        length = min(SLICE_SECONDS, max(2.0, whole - gone), whole / (2 * QUARTERS))
        result = bench.load("visible", seconds=length, rate=bench.options.rate)
        quarter.posted += result["posted"]
        quarter.seen += result["seen"]
        quarter.never += result["never"]
        looks.append(_look(bench, began))
    _tell_latency(bench, quarters)
    _tell_growth(bench, looks)


def _look(bench: Run, began: float) -> Look:
    installation = bench.installation
    return Look(
        (time.monotonic() - began) / 3600,
        installation.memory(),
        installation.open_files(),
        asyncio.run(databases.connections(installation)),
    )


def _tell_latency(bench: Run, quarters: list[Quarter]) -> None:
    first, last = quarters[0], quarters[-1]
    told = "; ".join(
        f"quarter {n}: POST p50 {_ms(q.posted, 50)}, p99 {_ms(q.posted, 99)}, to the queue p50 "
        f"{_ms(q.seen, 50)}, p99 {_ms(q.seen, 99)} ms, {len(q.seen)} cases, {q.never} not seen"
        for n, q in enumerate(quarters, 1)
    )
    bench.report.add(
        Result(
            "soak: p99 from the POST to the queue, last quarter ÷ first",
            percentile(last.seen, 99) / percentile(first.seen, 99),
            "",
            1.05,
            "at most",
            f"{bench.options.rate:g} cases/s for {bench.options.minutes:g} min; {told}",
        )
    )


def _ms(values: list[float], percent: int) -> str:
    return f"{1000 * percentile(values, percent):.0f}"


def _tell_growth(bench: Run, looks: list[Look]) -> None:
    start, middle, end = looks[0], looks[len(looks) // 2], looks[-1]
    # The first half fills caches, pools and heaps; a leak goes on growing after it.
    settled = [look for look in looks if look.at_hours >= 0.5 * end.at_hours] or looks
    for name in start.memory:
        slope = linear_regression(
            [look.at_hours for look in settled], [look.memory.get(name, 0.0) for look in settled]
        ).slope
        three = (start, middle, end)
        sizes = ", ".join(f"{look.memory.get(name, 0):.0f}" for look in three)
        files = ", ".join(f"{look.files.get(name, 0):.0f}" for look in three)
        how = f"proportional size {sizes} MB at start, middle, end; open files and sockets {files}"
        figure = Result(f"soak: memory slope of {name}", slope, "MB/h", how=how)
        if name in NAMES:
            figure = Result(figure.measure, slope, "MB/h", 1, "at most", how)
            bench.report.add(figure)
        else:
            bench.report.add_floor(figure)
    bench.report.add_floor(
        Result(
            "soak: connections to PostgreSQL at the end",
            end.connections,
            "",
            how=f"{start.connections} at the start, {middle.connections} in the middle",
        )
    )
