"""From the POST to the queue: how long, and how many a second."""

import statistics
from typing import Any

from bench.machine import percentile
from bench.report import Result
from bench.run import Run


def visible(bench: Run) -> None:
    """From the answered POST to the centre's queue, at the nation's peak."""
    result = bench.load("visible", seconds=bench.seconds(30), rate=24)
    if result["never"]:
        bench.report.notes.append(f"visible: {result['never']} cases were not seen in 30 s")
    seen = [1000 * s for s in result["seen"]]
    posted = [1000 * s for s in result["posted"]]
    how = (
        f"{len(seen)} cases in an open loop at 24/s (Poisson), four services, two hops over "
        "Kafka; seen from the commit that put it into the queue"
    )
    bench.report.add(
        Result("POST answered to visible in the queue, p50", percentile(seen, 50), "ms", 12,
               "at most", how),
        Result("POST answered to visible in the queue, p99", percentile(seen, 99), "ms", 29,
               "at most", how),
    )  # fmt: skip
    bench.report.add_floor(
        Result("referral POST at 24/s, p50", percentile(posted, 50), "ms"),
        Result("referral POST at 24/s, p99", percentile(posted, 99), "ms"),
    )


def pipeline(bench: Run) -> None:
    """Cases per second from the POST to the queue and the sender's feed."""
    cpu = bench.installation.cpu_seconds()
    result = bench.load("pipeline", seconds=bench.seconds(24), window=300)
    spent = bench.installation.cpu_seconds()
    sustained = bench.sustained = rate_of(
        result["samples"], bench.seconds(24) / 4, result["loaded_seconds"]
    )
    per = {k: 1000 * (spent[k] - cpu.get(k, 0)) / max(1, result["through"]) for k in spent}
    told = ", ".join(f"{k} {v:.1f}" for k, v in sorted(per.items(), key=lambda p: -p[1]))
    rate = max(1, round(sustained * 0.9))
    held = bench.load(
        "pipeline",
        seconds=bench.seconds(12),
        window=1_000_000,
        rate=rate,
    )
    lags = [posted - through for _, posted, through in held["samples"]]
    third = len(lags) // 3 or 1
    bench.report.add(
        Result(
            "whole pipeline, sustained",
            sustained,
            "cases/s",
            300,
            how="POST to the centre's queue and the sender's numbered feed, at most 300 cases "
            f"under way; at {rate}/s in an open loop the backlog was "
            f"{statistics.mean(lags[:third]):.0f} cases in the first third and "
            f"{statistics.mean(lags[-third:]):.0f} in the last",
        )
    )
    bench.report.add_floor(
        Result("CPU per case", sum(per.values()), "ms", how=f"whole stack: {told}")
    )


def rate_of(samples: list[Any], after: float, until: float) -> float:
    """What came through per second, without the first quarter and while the load lasted."""
    inside = [(t, through) for t, _, through in samples if after <= t <= until]
    if len(inside) < 2:
        return 0.0
    return float(inside[-1][1] - inside[0][1]) / max(1e-9, inside[-1][0] - inside[0][0])
