"""Reads on ten thousand cases and on many more."""

import asyncio
import time

from bench import databases, loader
from bench.machine import percentile
from bench.report import Result
from bench.run import Run
from services.client import wait_for
from services.service import NAMES


def reads(bench: Run) -> None:
    """Reads on ten thousand cases and on many more: flat, or not."""
    bench.load("posts", seconds=1, clients=1)
    wait_for(lambda: asyncio.run(databases.level(bench.installation, NAMES)), seconds=120)
    urls = {name: bench.installation.database(name) for name in loader.TABLES}
    sizes = sorted({10_000, int(bench.options.cases)})
    found: dict[int, dict[str, list[float]]] = {}

    async def loaded() -> None:
        case_id = await databases.offered_case(urls["liandiao_mediation"])
        opened = await loader.open_loaders(urls, case_id)
        try:
            for size in sizes:
                began = time.monotonic()
                for _, each in opened:
                    await each.load(size)
                print(f"  {size} cases loaded in {time.monotonic() - began:.0f} s", flush=True)
                found[size] = await asyncio.to_thread(_reads, bench, size)
            each_case = {
                database.removeprefix("liandiao_"): await loader.bytes_per_case(
                    db, loader.TABLES[database], sizes[-1]
                )
                for (database, _), (db, _) in zip(loader.TABLES.items(), opened, strict=True)
            }
            bench.report.add_floor(
                Result(
                    "database bytes per offered case, as read",
                    sum(each_case.values()),
                    "B",
                    how="tables, indexes and TOAST of what reads go over: "
                    + ", ".join(f"{k} {v:,.0f}" for k, v in each_case.items()),
                )
            )
        finally:
            for db, _ in opened:
                await db.close()

    asyncio.run(loaded())
    few, many = sizes[0], sizes[-1]
    for name, took in found[many].items():
        p99 = 1000 * percentile(took, 99)
        before = [1000 * percentile(found[few][name], p) for p in (50, 99)]
        bench.report.add(
            Result(
                f"{name} at {many:,} cases, p99",
                p99,
                "ms",
                20,
                "at most",
                f"p50 {1000 * percentile(took, 50):.1f} ms; at {few:,} cases p50 "
                f"{before[0]:.1f}, p99 {before[1]:.1f} ms; one reader, {len(took)} reads",
            )
        )


def _reads(bench: Run, size: int) -> dict[str, list[float]]:
    first = loader.FEED_FROM
    result = bench.load(
        "reads", seconds=bench.seconds(20), feed_first=first, feed_last=first + 2 * size
    )
    reads: dict[str, list[float]] = result["reads"]
    return reads
