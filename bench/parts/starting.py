"""Start to ready, memory and CPU at rest, and what the disk does."""

import time
from typing import Final

from bench import machine
from bench.installation import ROOT
from bench.report import Result
from bench.run import Run

# What a start leaves to do (warnings, first polls) is over by then; measured, not waited for.
SETTLE_SECONDS: Final = 2
REST_SECONDS: Final = 6


def start(bench: Run) -> None:
    """Start to ready: the first time with nothing but the downloads, and the second."""
    installation = bench.installation
    installation.make_samples()
    first = installation.start()
    if "start" in (bench.options.only or ["start"]):
        time.sleep(SETTLE_SECONDS)
        installation.stop()
        second = installation.start()
        bench.report.add(
            Result(
                "start to ready, first after install",
                first,
                "s",
                20,
                "at most",
                "empty data folder, downloads there; initdb, format, migrate, topics, seed",
            ),
            Result("start to ready, second", second, "s", 10, "at most", "data kept"),
        )


def memory(bench: Run) -> None:
    """Memory of everything at rest."""
    time.sleep(bench.seconds(REST_SECONDS))
    parts = bench.installation.memory()
    told = ", ".join(f"{k} {v:.0f}" for k, v in sorted(parts.items(), key=lambda p: -p[1]))
    bench.report.add(
        Result(
            "memory of the whole stack at rest",
            sum(parts.values()) / 1000,
            "GB",
            1.3,
            "at most",
            f"proportional set size of all processes, MB: {told}",
        )
    )
    before, at = bench.installation.cpu_seconds(), time.monotonic()
    # The window itself: what nobody asks for is measured by letting time pass.
    time.sleep(bench.seconds(REST_SECONDS))
    after, took = bench.installation.cpu_seconds(), time.monotonic() - at
    bench.report.add_floor(
        Result(
            "CPU of the stack at rest",
            100 * (sum(after.values()) - sum(before.values())) / took,
            "% of a core",
            how=", ".join(
                f"{k} {100 * (after[k] - before.get(k, 0)) / took:.1f}" for k in sorted(after)
            ),
        )
    )


def floor(bench: Run) -> None:
    """What the disk and the data folder do."""
    for name, folder in (("disk", ROOT), ("data folder", bench.folder)):
        p50, p99 = machine.fdatasync_ms(folder, bench.seconds(3))
        bench.report.add_floor(
            Result(f"fdatasync of 8 kB, {name}, p50", p50, "ms", how="one writer"),
            Result(f"fdatasync of 8 kB, {name}, p99", p99, "ms", how="one writer"),
        )
