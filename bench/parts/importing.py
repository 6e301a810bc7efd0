"""An export of a hundred thousand rows: how fast, in how much memory, what others notice of it."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import psutil

from bench.exports import court_export
from bench.installation import ROOT, make_twin, twin_api, twin_url
from bench.machine import percentile
from bench.ratio import paired
from bench.referrals import COURT
from bench.report import Result
from bench.run import Run
from services.client import waiting
from services.clock import read

ROWS, QUICK_ROWS = 100_000, 10_000
LIVE_PER_SECOND: Final = 5
EARLY_SHARE: Final = 0.2
# The import is under way before the posts beside it are measured.
HEAD_START_SECONDS: Final = 1


def imports(bench: Run) -> None:
    """Rows a second into the twin, the importer's memory, and a live POST beside it."""
    asyncio.run(make_twin(bench.installation))
    rows = QUICK_ROWS if bench.quick else ROWS
    with twin_api(bench.installation, bench.installation.port_base + 20) as url:
        with _importer(bench) as process:
            _one(bench, url, process, start=1, count=500)  # warms processes and caches
            found = _one(bench, url, process, start=10_001, count=rows)
        how = (
            f"{rows} rows, {found['bytes'] / 1e6:.0f} MB of CSV by the shipped layout: read, "
            "converted, checked, sealed, registered with events, audit and result lines in batches "
            f"of 100; importer and judges took {found['cpu']:.0f} s of processor, "
            "PostgreSQL beside them; no relay on this database"
        )
        bench.report.add(
            Result("import, rows a second", found["per_second"], "rows/s", 1000, how=how),
            Result(
                "import: memory at the end ÷ after a fifth",
                found["memory"][1] / found["memory"][0],
                "",
                1.1,
                "at most",
                f"proportional set size of importer and judges: {found['memory'][0]:.0f} MB after "
                f"a fifth of the rows, {found['memory'][1]:.0f} MB at the end",
            ),
        )
        _beside(bench, url, rows)


def _beside(bench: Run, url: str, rows: int) -> None:
    """p99 of a live POST beside an import and alone, by turns."""
    p99s: dict[str, list[float]] = {"a": [], "b": []}
    length = bench.seconds(15)
    start = 1_000_000
    bench.load("steady", intake=url, seconds=3, rate=LIVE_PER_SECOND, what="post", by=COURT)
    for who in bench.order(4):
        with contextlib.ExitStack() as stack:
            if who == "a":
                process = stack.enter_context(_importer(bench))
                _one(bench, url, process, start=start, count=200)
                beside = stack.enter_context(ThreadPoolExecutor(1))
                endless = _upload(bench, url, start=start + 1000, count=rows)
                beside.submit(_follow, bench, url, endless, process, seconds=length + 5)
                time.sleep(HEAD_START_SECONDS)
                start += rows + 10_000
            took = bench.load(
                "steady", intake=url, seconds=length, rate=LIVE_PER_SECOND, what="post", by=COURT
            )["took"]
            p99s[who].append(percentile(took, 99))
            if who == "a":
                _cancel(bench, url, endless)
    ratio = paired(p99s["a"], p99s["b"])
    bench.report.add(
        Result(
            "referral POST, p99 beside an import ÷ alone",
            ratio.value,
            "",
            2,
            "at most",
            f"median of {ratio.pairs} pairs (ABBA) of {length:.0f} s at {LIVE_PER_SECOND}/s, one "
            f"machine; beside {1000 * max(p99s['a']):.0f} ms at worst, alone "
            f"{1000 * max(p99s['b']):.0f} ms",
            ratio.interval,
        )
    )


@contextlib.contextmanager
def _importer(bench: Run) -> Iterator[psutil.Process]:
    """The importer's process on the twin, as intake's work process starts it."""
    installation = bench.installation
    environ = (
        os.environ
        | installation.settings
        | {
            "INTAKE_DATABASE_URL": twin_url(installation),
            "INTAKE_IMPORT_UNPUBLISHED": "100000000",
            "LIANDIAO_LOG_LEVEL": "WARNING",
            "LIANDIAO_HOME": str(installation.home),
        }
    )
    log = (installation.home.parent / f"{installation.home.name}-importer.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "import-waiting"],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()


def _client(bench: Run, url: str) -> httpx.Client:
    head = {"Authorization": f"Bearer {bench.token(COURT)}"}
    return httpx.Client(base_url=url, headers=head, timeout=300, trust_env=False)


def _upload(bench: Run, url: str, *, start: int, count: int) -> str:
    with _client(bench, url) as client:
        answer = client.post(
            "/v1/imports",
            params={"mode": "run", "layout": "court_pre_export"},
            headers={"Content-Type": "text/csv"},
            content=court_export(ROOT, start, count),
        )
        answer.raise_for_status()
        return str(answer.json()["import_id"])


def _cancel(bench: Run, url: str, import_id: str) -> None:
    with _client(bench, url) as client:
        client.post(f"/v1/imports/{import_id}/cancellations")


def _one(
    bench: Run, url: str, process: psutil.Process, *, start: int, count: int
) -> dict[str, Any]:
    import_id = _upload(bench, url, start=start, count=count)
    found = _follow(bench, url, import_id, process, seconds=3600)
    if found["view"]["accepted"] != count:
        raise RuntimeError(f"{found['view']['accepted']} of {count} rows were accepted")
    return found


def _follow(
    bench: Run, url: str, import_id: str, process: psutil.Process, *, seconds: float
) -> dict[str, Any]:
    """Look until it is done: rows a second from its beginning, memory early and at the end."""
    early = 0.0
    with _client(bench, url) as client:
        for _ in waiting(seconds, every=0.2):
            answer = client.get(f"/v1/imports/{import_id}")
            answer.raise_for_status()
            view = answer.json()
            if not early and view["bytes_read"] > EARLY_SHARE * view["bytes_total"]:
                early = _memory(process)
            if view["state"] not in ("queued", "running"):
                break
    took = 0.0
    if view["finished_at"]:
        took = _instant(view["finished_at"]) - _instant(view["started_at"])
    return {
        "view": view,
        "per_second": view["rows_read"] / took if took else 0.0,
        "memory": (early or _memory(process), _memory(process)),
        "cpu": _cpu(process),
        "bytes": view["bytes_total"],
    }


def _instant(text: str) -> float:
    return read(text).timestamp()


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _memory(process: psutil.Process) -> float:
    """MB, proportional set size."""
    total = 0.0
    for each in _family(process):
        with contextlib.suppress(psutil.Error):
            full = each.memory_full_info()
            total += float(getattr(full, "pss", 0) or full.rss) / 1e6
    return total


def _cpu(process: psutil.Process) -> float:
    total = 0.0
    for each in _family(process):
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total
