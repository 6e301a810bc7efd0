"""A referral POST and whole cases, each against pgbench."""

import asyncio
import statistics
from pathlib import Path
from uuid import UUID

from bench import databases, rows
from bench.installation import Installation, make_twin, twin_api
from bench.machine import percentile
from bench.ratio import paired
from bench.report import Result
from bench.run import CLIENTS, Run
from services.client import wait_for
from services.service import NAMES


def post(bench: Run) -> None:
    """Referral POST against pgbench writing the same rows."""
    installation = bench.installation
    bench.load("posts", seconds=bench.seconds(4), clients=2)  # warms Kafka's JVM and all caches
    asyncio.run(make_twin(installation))
    admin_url = installation.database("bench_intake")
    length = bench.seconds(6)
    ours: list[float] = []
    theirs: list[float] = []
    took: list[float] = []
    with twin_api(installation, bench.installation.port_base + 20) as url:
        bench.load("posts", intake=url, seconds=2, clients=4)
        case_id = asyncio.run(databases.newest_case(admin_url))
        same, three = _scripts(bench, admin_url, case_id)
        for who in bench.order(4):
            rows.empty(admin_url)
            if who == "a":
                result = bench.load("posts", intake=url, seconds=length, clients=CLIENTS)
                ours.append(result["per_second"])
                took += result["took"]
            else:
                theirs.append(rows.pgbench(admin_url, same[0], seconds=max(1, round(length))))
        rows.empty(admin_url)
        bench.three_tps.append(rows.pgbench(admin_url, three[0], seconds=round(length)))
    ratio = paired(ours, theirs)
    bench.report.add(
        Result(
            "referral POST ÷ pgbench writing the same rows",
            ratio.value,
            "",
            0.20,
            interval=ratio.interval,
            how=f"median of {len(ours)} pairs (ABBA): {statistics.median(ours):.0f}/s with "
            f"{CLIENTS} clients through intake's API alone against pgbench's "
            f"{statistics.median(theirs):.0f}/s, {same[1]} rows in {same[2]} tables each; "
            "load generator on the same cores",
        )
    )
    bench.report.add_floor(
        Result("pgbench, the rows of one POST", statistics.median(theirs), "tps", how=same[3]),
        Result(
            "pgbench, three inserts a transaction",
            bench.three_tps[0],
            "tps",
            how=f"{three[3]}; 16 clients, prepared",
        ),
        Result("referral POST, 16 clients, p50", percentile(took, 50) * 1000, "ms"),
        Result("referral POST, 16 clients, p99", percentile(took, 99) * 1000, "ms"),
    )


def _scripts(bench: Run, url: str, case_id: UUID) -> tuple[tuple[Path, int, int, str], ...]:
    answer = []
    for name, only in (("same", ()), ("three", rows.THREE)):
        made = asyncio.run(rows.script(url, case_id, only))
        file = bench.folder / f"{name}.sql"
        file.write_text(made.text, encoding="utf-8")
        answer.append((file, made.rows, len(made.tables), ", ".join(made.tables)))
    return tuple(answer)


def lifecycle(bench: Run) -> None:
    """Whole cases per second, the ratio to pgbench, and what a case leaves in the databases."""
    installation = bench.installation
    admin_url = installation.database("bench_intake")
    if not bench.three_tps:
        post(bench)
    three = bench.folder / "three.sql"
    ours: list[float] = []
    theirs: list[float] = []
    steps: dict[str, float] = {}
    closed = posted = 0
    before = _quiet_sizes(installation)
    for who in bench.order(4):
        if who == "a":
            result = bench.load(
                "lifecycle", seconds=max(10, bench.seconds(20)), window=64, workers=16
            )
            last = next(t for t, n in result["marks"] if n == result["closed"])
            ours.append(result["closed"] / max(last, 1))
            closed, posted = closed + result["closed"], posted + result["posted"]
            steps = result["steps_ms"]
            requests = result["requests_per_case"]
        else:
            rows.empty(admin_url)
            theirs.append(rows.pgbench(admin_url, three, seconds=round(bench.seconds(6))))
    after = _quiet_sizes(installation)
    told = ", ".join(f"{k} {v:.0f}" for k, v in steps.items())
    ratio = paired(ours, theirs)
    how = (
        "post, route, accept, appoint, consent of both, session set and held, agreement signed "
        f"by both, end, closed: {requests:.0f} requests a case, 16 desks; ms per step: {told}"
    )
    bench.report.add(
        Result("eight-step lifecycles, saturated", statistics.median(ours), "cases/s", 75, how=how),
        Result(
            "lifecycles ÷ pgbench (three inserts a transaction)",
            ratio.value,
            "",
            0.012,
            interval=ratio.interval,
            how=f"median of {ratio.pairs} pairs (ABBA), against "
            f"{statistics.median(theirs):.0f} tps",
        ),
    )
    each = {name: (after[name] - before[name]) / max(1, closed) for name in after}
    bench.report.add_floor(
        Result(
            "database bytes per completed case",
            sum(each.values()),
            "B",
            how="growth of all tables with indexes and TOAST, outbox, feed and audit included, "
            f"over {closed} whole cases ({posted - closed} more were begun): "
            + ", ".join(f"{name} {size:,.0f}" for name, size in each.items()),
        )
    )


def _quiet_sizes(installation: Installation) -> dict[str, int]:
    """The sizes once everybody has heard everything."""
    wait_for(lambda: asyncio.run(databases.level(installation, NAMES)), seconds=120)
    return asyncio.run(databases.sizes(installation))
