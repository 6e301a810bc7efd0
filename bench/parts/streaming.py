"""Relay and consumer against bare ones, and a backlog."""

import asyncio
import statistics
import time
from typing import Any, Final

import asyncpg

from bench import databases
from bench.installation import make_twin, twin_api
from bench.ratio import Ratio, paired
from bench.report import Result
from bench.run import CLIENTS, Run, module
from services.client import wait_for, waiting

# Bare and ours by turns; the first of each is warm-up and dropped.
ORDER: Final = ("raw", "ours", "ours", "raw", "raw", "ours", "ours", "raw")


def _rates(result: dict[str, Any], count: int) -> tuple[list[float], list[float], Ratio]:
    """Ours and the bare one per second, round by round, and the ratio of their pairs."""
    ours = [count / seconds for seconds in result["ours"][1:]]
    raw = [count / seconds for seconds in result["raw"][1:]]
    return ours, raw, paired(ours, raw)


def relay(bench: Run) -> None:
    """The relay's drain against the bare client."""
    installation = bench.installation
    count = 4_000 if bench.quick else 12_000
    environ = bench.as_administrator()
    admin_url = installation.database("bench_intake")
    try:
        empty = not asyncio.run(databases.count(admin_url, "SELECT count(*) FROM outbox"))
    except asyncpg.InvalidCatalogNameError:
        empty = True
    if empty:
        asyncio.run(make_twin(installation))
        with twin_api(installation, installation.port_base + 20) as url:
            bench.load("posts", intake=url, seconds=1, clients=1)
    task = {
        "admin_url": admin_url,
        "rows": count,
        "order": ORDER,
    }
    result = module("bench.relay", task, environ)
    ours, raw, ratio = _rates(result, count)
    bench.report.add(
        Result(
            "relay drain ÷ raw pipelined aiokafka",
            ratio.value,
            "",
            0.60,
            interval=ratio.interval,
            how=f"{count} records of {result['bytes']} B with headers, idempotent, acks=all, "
            f"lz4: relay {statistics.median(ours):,.0f}/s (select, send, stamp) against "
            f"{statistics.median(raw):,.0f}/s (send alone), first pair dropped as warm-up",
        )
    )
    bench.report.add_floor(
        Result("raw aiokafka, pipelined", statistics.median(raw), "msg/s", how="one process")
    )


def consumer(bench: Run) -> None:
    """The consumer with its inbox against one that writes the same rows without."""
    installation = bench.installation
    asyncio.run(make_twin(installation))
    environ = bench.as_administrator()
    task = {
        "admin_url": installation.database("bench_intake"),
        "cases": 500 if bench.quick else 1500,
        "order": ORDER,
    }
    result = module("bench.consumer", task, environ)
    events = result["events"]
    ours, raw, ratio = _rates(result, events)
    bench.report.add(
        Result(
            "consumer with inbox ÷ the same rows without",
            ratio.value,
            "",
            0.80,
            interval=ratio.interval,
            how=f"{events} events of 10 per case, one insert each: "
            f"{statistics.median(ours):,.0f}/s with fence, inbox and order against "
            f"{statistics.median(raw):,.0f}/s, first pair dropped as warm-up",
        )
    )


def backlog(bench: Run) -> None:
    """How fast notification, the dearest consumer, catches up after it stood still."""
    process = bench.installation.service_process("notification")
    process.suspend()
    try:
        result = bench.load("posts", seconds=bench.seconds(24), clients=CLIENTS)
        others = ("intake", "routing", "mediation")
        wait_for(lambda: asyncio.run(databases.level(bench.installation, others)), seconds=120)
        ends = asyncio.run(databases.ends(bench.installation))
        most = behind = asyncio.run(databases.behind(bench.installation, ends))
    finally:
        process.resume()
    cases = len(result["took"])
    began = last = time.monotonic()
    for _ in waiting(120):
        behind = asyncio.run(databases.behind(bench.installation, ends))
        last = time.monotonic()
        if not behind:
            break
    per_second = (most - behind) / max(1e-9, last - began)
    bench.report.add(
        Result(
            "backlog of 1 million events",
            1_000_000 / max(1e-9, per_second) / 60,
            "min",
            5,
            "at most",
            f"reckoned from {most} events of {cases} cases that notification had missed, "
            f"caught up at {per_second:,.0f} events/s with the other services running",
        )
    )
