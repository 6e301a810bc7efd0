"""``python -m bench``: measure this machine and this build, write docs/performance.md."""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from bench import loader, machine, rows
from bench.installation import (
    ROOT,
    Installation,
    make_twin,
    twin_api,
    twin_url,
)
from bench.machine import percentile
from bench.referrals import CENTRE, COURT
from bench.report import Report, Result
from services.client import wait_for, waiting
from services.service import NAMES
from services.stack.layout import free_base

CLIENTS = 16


class Bench:
    """One run: an installation of its own, measured part by part."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.quick: bool = options.quick
        self.folder = _folder(options)
        self.installation = Installation(
            self.folder / "home", options.port_base or free_base(21000)
        )
        memory = machine.is_memory(self.folder)
        self.report = Report(
            machine.description(),
            "PostgreSQL and Kafka on tmpfs (CPU mode)" if memory else "on disk (durable mode)",
        )
        self._start = int(time.time()) % 1_000_000 * 1000
        self._tokens: dict[str, str] = {}
        self.three_tps: list[float] = []

    def seconds(self, whole: float) -> float:
        """A measurement's length: a third of it with ``--quick``."""
        return whole / 3 if self.quick else whole

    def run(self) -> Report:
        """Every part; one that fails is noted and the next goes on."""
        began, steal = time.monotonic(), machine.Steal()
        parts: list[tuple[str, Callable[[], None]]] = [
            ("start", self.start),
            ("memory", self.memory),
            ("floor", self.floor),
            ("post", self.post),
            ("relay", self.relay),
            ("lifecycle", self.lifecycle),
            ("visible", self.visible),
            ("pipeline", self.pipeline),
            ("overload", self.overload),
            ("consumer", self.consumer),
            ("backlog", self.backlog),
            ("reads", self.reads),
        ]
        wanted = set(self.options.only or [name for name, _ in parts])
        try:
            for name, part in parts:
                if name not in wanted and name != "start":
                    continue
                print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
                try:
                    part()
                except (Exception, SystemExit) as error:
                    if name == "start":
                        raise
                    traceback.print_exc()
                    self.report.notes.append(f"{name} was not measured: {type(error).__name__}")
        finally:
            self.installation.stop()
            if not self.options.keep:
                shutil.rmtree(self.folder, ignore_errors=True)
        self.report.steal_percent = steal.percent()
        self.report.seconds = time.monotonic() - began
        return self.report

    # -- parts ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to ready: the first time with nothing but the downloads, and the second."""
        installation = self.installation
        installation.make_samples()
        first = installation.start()
        if "start" in (self.options.only or ["start"]):
            time.sleep(2)
            installation.stop()
            second = installation.start()
            self.report.add(
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

    def memory(self) -> None:
        """Memory of everything at rest."""
        time.sleep(self.seconds(6))
        parts = self.installation.memory()
        told = ", ".join(f"{k} {v:.0f}" for k, v in sorted(parts.items(), key=lambda p: -p[1]))
        self.report.add(
            Result(
                "memory of the whole stack at rest",
                sum(parts.values()) / 1000,
                "GB",
                1.3,
                "at most",
                f"proportional set size of all processes, MB: {told}",
            )
        )
        before, at = self.installation.cpu_seconds(), time.monotonic()
        time.sleep(self.seconds(5))
        after, took = self.installation.cpu_seconds(), time.monotonic() - at
        self.report.add_floor(
            Result(
                "CPU of the stack at rest",
                100 * (sum(after.values()) - sum(before.values())) / took,
                "% of a core",
                how=", ".join(
                    f"{k} {100 * (after[k] - before.get(k, 0)) / took:.1f}" for k in sorted(after)
                ),
            )
        )

    def floor(self) -> None:
        """What the disk and the data folder do."""
        for name, folder in (("disk", ROOT), ("data folder", self.folder)):
            p50, p99 = machine.fdatasync_ms(folder, self.seconds(3))
            self.report.add_floor(
                Result(f"fdatasync of 8 kB, {name}, p50", p50, "ms", how="one writer"),
                Result(f"fdatasync of 8 kB, {name}, p99", p99, "ms", how="one writer"),
            )

    def post(self) -> None:
        """Referral POST against pgbench writing the same rows."""
        installation = self.installation
        self._load("posts", seconds=self.seconds(4), clients=2)  # warms Kafka's JVM and all caches
        asyncio.run(make_twin(installation))
        admin_url = installation.database("bench_intake")
        length = self.seconds(6)
        ours: list[float] = []
        theirs: list[float] = []
        took: list[float] = []
        with twin_api(installation, self.installation.port_base + 20) as url:
            self._load("posts", intake=url, seconds=2, clients=4)
            case_id = asyncio.run(_newest_case(admin_url))
            same, three = self._scripts(admin_url, case_id)
            for order in ("ab", "ba") if self.quick else ("ab", "ba", "ab", "ba"):
                for who in order:
                    rows.empty(admin_url)
                    if who == "a":
                        result = self._load("posts", intake=url, seconds=length, clients=CLIENTS)
                        ours.append(result["per_second"])
                        took += result["took"]
                    else:
                        theirs.append(
                            rows.pgbench(admin_url, same[0], seconds=max(1, round(length)))
                        )
            rows.empty(admin_url)
            self.three_tps.append(rows.pgbench(admin_url, three[0], seconds=round(length)))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        self.report.add(
            Result(
                "referral POST ÷ pgbench writing the same rows",
                ratio,
                "",
                0.20,
                how=f"median of {len(ours)} pairs (ABBA): {statistics.median(ours):.0f}/s with "
                f"{CLIENTS} clients through intake's API alone against pgbench's "
                f"{statistics.median(theirs):.0f}/s, {same[1]} rows in {same[2]} tables each; "
                "load generator on the same cores",
            )
        )
        self.report.add_floor(
            Result("pgbench, the rows of one POST", statistics.median(theirs), "tps", how=same[3]),
            Result(
                "pgbench, three inserts a transaction",
                self.three_tps[0],
                "tps",
                how=f"{three[3]}; 16 clients, prepared",
            ),
            Result("referral POST, 16 clients, p50", percentile(took, 50) * 1000, "ms"),
            Result("referral POST, 16 clients, p99", percentile(took, 99) * 1000, "ms"),
        )

    def relay(self) -> None:
        """The relay's drain against the bare client."""
        installation = self.installation
        count = 4_000 if self.quick else 12_000
        environ = self._as_administrator()
        admin_url = installation.database("bench_intake")
        try:
            empty = not asyncio.run(_count(admin_url, "SELECT count(*) FROM outbox"))
        except asyncpg.InvalidCatalogNameError:
            empty = True
        if empty:
            self._one_post_on_twin()
        task = {
            "admin_url": admin_url,
            "rows": count,
            "order": ["raw", "ours", "ours", "raw", "raw", "ours", "ours", "raw"],
        }
        result = _module("bench.relay", task, environ)
        ours = [count / s for s in result["ours"][1:]]
        raw = [count / s for s in result["raw"][1:]]
        ratio = statistics.median(a / b for a, b in zip(ours, raw, strict=True))
        self.report.add(
            Result(
                "relay drain ÷ raw pipelined aiokafka",
                ratio,
                "",
                0.60,
                how=f"{count} records of {result['bytes']} B with headers, idempotent, acks=all, "
                f"lz4: relay {statistics.median(ours):,.0f}/s (select, send, stamp) against "
                f"{statistics.median(raw):,.0f}/s (send alone), first pair dropped as warm-up",
            )
        )
        self.report.add_floor(
            Result("raw aiokafka, pipelined", statistics.median(raw), "msg/s", how="one process")
        )

    def visible(self) -> None:
        """From the answered POST to the centre's queue, at the nation's peak."""
        result = self._load("visible", seconds=self.seconds(30), rate=24)
        if result["never"]:
            self.report.notes.append(f"visible: {result['never']} cases were not seen in 30 s")
        seen = [1000 * s for s in result["seen"]]
        posted = [1000 * s for s in result["posted"]]
        how = (
            f"{len(seen)} cases in an open loop at 24/s (Poisson), four services, two hops over "
            "Kafka; seen from the commit that put it into the queue"
        )
        self.report.add(
            Result("POST answered to visible in the queue, p50", percentile(seen, 50), "ms", 12,
                   "at most", how),
            Result("POST answered to visible in the queue, p99", percentile(seen, 99), "ms", 29,
                   "at most", how),
        )  # fmt: skip
        self.report.add_floor(
            Result("referral POST at 24/s, p50", percentile(posted, 50), "ms"),
            Result("referral POST at 24/s, p99", percentile(posted, 99), "ms"),
        )

    def pipeline(self) -> None:
        """Cases per second from the POST to the queue and the sender's feed."""
        cpu = self.installation.cpu_seconds()
        result = self._load("pipeline", seconds=self.seconds(24), window=300)
        spent = self.installation.cpu_seconds()
        sustained = _rate(result["samples"], self.seconds(24) / 4, result["loaded_seconds"])
        per = {k: 1000 * (spent[k] - cpu.get(k, 0)) / max(1, result["through"]) for k in spent}
        told = ", ".join(f"{k} {v:.1f}" for k, v in sorted(per.items(), key=lambda p: -p[1]))
        rate = max(1, round(sustained * 0.9))
        held = self._load(
            "pipeline",
            seconds=self.seconds(12),
            window=1_000_000,
            rate=rate,
        )
        lags = [posted - through for _, posted, through in held["samples"]]
        third = len(lags) // 3 or 1
        self.report.add(
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
        self.report.add_floor(
            Result("CPU per case", sum(per.values()), "ms", how=f"whole stack: {told}")
        )

    def overload(self) -> None:
        """Ten times what intake can carry, and the way back to the usual latency."""
        usual = self._load("visible", seconds=self.seconds(12), rate=24)
        calm = percentile(usual["posted"], 99)
        carried = self._load("posts", seconds=self.seconds(12), clients=CLIENTS)["per_second"]
        process = self.installation.service_process("intake")
        before = process.memory_info().rss / 1e6
        length = self.seconds(30)
        crowd = self._load("crowd", seconds=length, rate=round(10 * carried), most=1000)
        ended = time.monotonic()
        grown = process.memory_info().rss / 1e6 - before
        for _ in range(40):
            now = self._load("visible", seconds=3, rate=24)
            if not now["never"] and percentile(now["posted"], 99) <= 1.2 * calm:
                break
        back = time.monotonic() - ended
        refused, admitted = crowd["refused"], crowd["admitted"]
        how = (
            f"{10 * carried:,.0f} posts/s for {length:.0f} s, ten times the {carried:,.0f} that "
            f"{CLIENTS} clients reach: {len(admitted)} admitted (p99 "
            f"{1000 * percentile(admitted, 99):.0f} ms), {len(refused)} refused with 503, "
            f"{crowd['unsent']} the generator could not begin"
        )
        if refused:
            self.report.add_floor(
                Result("overload: a refusal, p99", 1000 * percentile(refused, 99), "ms", how=how)
            )
        else:
            self.report.notes.append(
                "overload: nothing was refused: beside the services this machine could not "
                "generate enough to fill a process"
            )
        self.report.add_floor(
            Result("overload: intake's memory grew by", grown, "MB", how="resident size"),
            Result(
                "overload: until the latency is usual again",
                back,
                "s",
                how=f"p99 of a POST at 24/s within 1.2 of {1000 * calm:.0f} ms, backlog done; "
                "looked at every 3 s or more",
            ),
        )

    def lifecycle(self) -> None:
        """Whole cases per second, and the ratio to pgbench."""
        admin_url = self.installation.database("bench_intake")
        if not self.three_tps:
            self.post()
        three = self.folder / "three.sql"
        ours: list[float] = []
        theirs: list[float] = []
        steps: dict[str, float] = {}
        for who in "abba" if not self.quick else "ab":
            if who == "a":
                result = self._load(
                    "lifecycle", seconds=max(10, self.seconds(20)), window=64, workers=16
                )
                last = next(t for t, n in result["marks"] if n == result["closed"])
                ours.append(result["closed"] / max(last, 1))
                steps = result["steps_ms"]
                requests = result["requests_per_case"]
            else:
                rows.empty(admin_url)
                theirs.append(rows.pgbench(admin_url, three, seconds=round(self.seconds(6))))
        told = ", ".join(f"{k} {v:.0f}" for k, v in steps.items())
        per_second = statistics.median(ours)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        how = (
            "post, route, accept, appoint, consent of both, session set and held, agreement signed "
            f"by both, end, closed: {requests:.0f} requests a case, 16 desks; ms per step: {told}"
        )
        self.report.add(
            Result("eight-step lifecycles, saturated", per_second, "cases/s", 75, how=how),
            Result(
                "lifecycles ÷ pgbench (three inserts a transaction)",
                ratio,
                "",
                0.012,
                how=f"against {statistics.median(theirs):.0f} tps, interleaved",
            ),
        )

    def consumer(self) -> None:
        """The consumer with its inbox against one that writes the same rows without."""
        installation = self.installation
        asyncio.run(make_twin(installation))
        environ = self._as_administrator()
        task = {
            "admin_url": installation.database("bench_intake"),
            "cases": 500 if self.quick else 1500,
            "order": ["raw", "ours", "ours", "raw", "raw", "ours", "ours", "raw"],
        }
        result = _module("bench.consumer", task, environ)
        events = result["events"]
        ours = [events / s for s in result["ours"][1:]]
        raw = [events / s for s in result["raw"][1:]]
        self.report.add(
            Result(
                "consumer with inbox ÷ the same rows without",
                statistics.median(a / b for a, b in zip(ours, raw, strict=True)),
                "",
                0.80,
                how=f"{events} events of 10 per case, one insert each: "
                f"{statistics.median(ours):,.0f}/s with fence, inbox and order against "
                f"{statistics.median(raw):,.0f}/s, first pair dropped as warm-up",
            )
        )

    def backlog(self) -> None:
        """How fast notification, the dearest consumer, catches up after it stood still."""
        process = self.installation.service_process("notification")
        process.suspend()
        try:
            result = self._load("posts", seconds=self.seconds(24), clients=CLIENTS)
            others = ("intake", "routing", "mediation")
            wait_for(lambda: asyncio.run(_level(self.installation, others)), seconds=120)
            ends = asyncio.run(_ends(self.installation))
            most = behind = asyncio.run(_behind(self.installation, ends))
        finally:
            process.resume()
        cases = len(result["took"])
        began = last = time.monotonic()
        for _ in waiting(120):
            behind = asyncio.run(_behind(self.installation, ends))
            last = time.monotonic()
            if not behind:
                break
        per_second = (most - behind) / max(1e-9, last - began)
        self.report.add(
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

    def reads(self) -> None:
        """Reads on ten thousand cases and on many more: flat, or not."""
        self._load("posts", seconds=1, clients=1)
        wait_for(lambda: asyncio.run(_level(self.installation, NAMES)), seconds=120)
        urls = {name: self.installation.database(name) for name in loader.TABLES}
        sizes = sorted({10_000, int(self.options.cases)})
        found: dict[int, dict[str, list[float]]] = {}

        async def loaded() -> None:
            case_id = await _offered_case(urls["liandiao_mediation"])
            opened = await loader.open_loaders(urls, case_id)
            try:
                for size in sizes:
                    began = time.monotonic()
                    for _, each in opened:
                        await each.load(size)
                    print(f"  {size} cases loaded in {time.monotonic() - began:.0f} s", flush=True)
                    found[size] = await asyncio.to_thread(self._reads, size)
                each_case = {
                    database.removeprefix("liandiao_"): await loader.bytes_per_case(
                        db, loader.TABLES[database], sizes[-1]
                    )
                    for (database, _), (db, _) in zip(loader.TABLES.items(), opened, strict=True)
                }
                self.report.add_floor(
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
            self.report.add(
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

    def _reads(self, size: int) -> dict[str, list[float]]:
        first = loader.FEED_FROM
        result = self._load(
            "reads", seconds=self.seconds(20), feed_first=first, feed_last=first + 2 * size
        )
        reads: dict[str, list[float]] = result["reads"]
        return reads

    # -- helpers -------------------------------------------------------------------------------

    def _as_administrator(self) -> dict[str, str]:
        """The environment of a part that works on the twin with all rights on Kafka."""
        installation = self.installation
        return (
            os.environ
            | installation.settings
            | {
                "INTAKE_DATABASE_URL": twin_url(installation),
                "INTAKE_KAFKA_USER": installation.settings["KAFKA_ADMIN_USER"],
                "INTAKE_KAFKA_PASSWORD": installation.settings["KAFKA_ADMIN_PASSWORD"],
                "LIANDIAO_LOG_LEVEL": "WARNING",
            }
        )

    def _scripts(self, url: str, case_id: UUID) -> tuple[tuple[Path, int, int, str], ...]:
        answer = []
        for name, only in (("same", ()), ("three", rows.THREE)):
            made = asyncio.run(rows.script(url, case_id, only))
            file = self.folder / f"{name}.sql"
            file.write_text(made.text, encoding="utf-8")
            answer.append((file, made.rows, len(made.tables), ", ".join(made.tables)))
        return tuple(answer)

    def _one_post_on_twin(self) -> None:
        asyncio.run(make_twin(self.installation))
        with twin_api(self.installation, self.installation.port_base + 20) as url:
            self._load("posts", intake=url, seconds=1, clients=1)

    def _token(self, organisation: str) -> str:
        if organisation not in self._tokens:
            client = self.installation.client(organisation)
            answer = httpx.post(
                self.installation.description["token_url"],
                data={"grant_type": "client_credentials"},
                auth=(client["id"], client["secret"]),
                trust_env=False,
            )
            answer.raise_for_status()
            self._tokens[organisation] = answer.json()["access_token"]
        return self._tokens[organisation]

    def _load(self, kind: str, **given: Any) -> dict[str, Any]:
        """Run the load generator; each call with references that were never used."""
        services = self.installation.description["services"]
        task = {
            "kind": kind,
            "start": self._start,
            "intake": services["intake"],
            "mediation": services["mediation"],
            "court_token": self._token(COURT),
            "centre_token": self._token(CENTRE),
            "connection": self.installation.client(COURT)["connection"],
            "intake_url": self.installation.database("liandiao_intake"),
            "mediation_url": self.installation.database("liandiao_mediation"),
            "notification": services["notification"],
            "notification_url": self.installation.database("liandiao_notification"),
            **given,
        }
        self._start += 500_000
        result = _module("bench.load", task, dict(os.environ))
        if result["failures"]:
            self.report.notes.append(f"{kind}: refused answers {result['failures']}")
            print(f"  refused: {result['failures']}", flush=True)
        return result


def _rate(samples: list[Any], after: float, until: float) -> float:
    """What came through per second, without the first quarter and while the load lasted."""
    inside = [(t, through) for t, _, through in samples if after <= t <= until]
    if len(inside) < 2:
        return 0.0
    return float(inside[-1][1] - inside[0][1]) / max(1e-9, inside[-1][0] - inside[0][0])


async def _newest_case(url: str) -> UUID:
    db = await asyncpg.connect(url)
    try:
        found: UUID = await db.fetchval(
            "SELECT case_id FROM referral ORDER BY recorded_at DESC LIMIT 1"
        )
        return found
    finally:
        await db.close()


async def _offered_case(url: str) -> UUID:
    """A case that waits in the queue: the pattern of those that are loaded."""
    db = await asyncpg.connect(url)
    try:
        found: UUID | None = await db.fetchval(
            "SELECT case_id FROM assignment WHERE state = 'offered' ORDER BY offered_at LIMIT 1"
        )
    finally:
        await db.close()
    if found is None:
        raise LookupError("no case was offered yet: run another part first")
    return found


async def _ends(installation: Installation) -> dict[int, int]:
    """Partition of ``cases`` -> the offset after the last record that any outbox knows there."""
    ends: dict[int, int] = {}
    for name in NAMES:
        db = await asyncpg.connect(installation.database(f"liandiao_{name}"))
        try:
            for row in await db.fetch(
                """SELECT partition, max("offset") + 1 AS until FROM outbox
                   WHERE topic = 'cases' AND partition IS NOT NULL GROUP BY partition"""
            ):
                ends[row["partition"]] = max(ends.get(row["partition"], 0), row["until"])
        finally:
            await db.close()
    return ends


async def _level(installation: Installation, names: Sequence[str]) -> bool:
    """Whether these services have sent all they had to say and heard all that was sent."""
    for name in names:
        if await _count(
            installation.database(f"liandiao_{name}"),
            "SELECT count(*) FROM outbox WHERE published_at IS NULL",
        ):
            return False
    ends = await _ends(installation)
    return not any([await _behind(installation, ends, name) for name in names])


async def _behind(
    installation: Installation, ends: dict[int, int], service: str = "notification"
) -> int:
    """Records before ``ends`` that a service has not handled."""
    db = await asyncpg.connect(installation.database(f"liandiao_{service}"))
    try:
        rows = await db.fetch("SELECT partition, next_offset FROM position WHERE topic = 'cases'")
    finally:
        await db.close()
    positions = {row["partition"]: row["next_offset"] for row in rows}
    return sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())


async def _count(url: str, sql: str) -> int:
    db = await asyncpg.connect(url)
    try:
        return int(await db.fetchval(sql))
    finally:
        await db.close()


def _module(name: str, task: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", name],
        input=json.dumps(task),
        text=True,
        capture_output=True,
        cwd=ROOT,
        env=environ,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-1500:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _folder(options: argparse.Namespace) -> Path:
    """A fresh folder: in memory when there is room, so that the disk's moods stay out."""
    if options.folder:
        parent = Path(options.folder)
    elif not options.disk and machine.is_memory(Path("/dev/shm")) and _room("/dev/shm", 4e9):
        parent = Path("/dev/shm")
    else:
        parent = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="liandiao-bench-", dir=parent))
    folder.chmod(0o755)
    return folder


def _room(folder: str, wanted: float) -> bool:
    return shutil.disk_usage(folder).free > wanted


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the time, less sure")
    parser.add_argument("--disk", action="store_true", help="keep the data on disk, not in memory")
    parser.add_argument("--folder", help="parent of the data folder")
    parser.add_argument("--port-base", type=int, default=0, help="ports after this one are used")
    parser.add_argument(
        "--cases",
        type=int,
        default=100_000,
        help="so many cases under the reads (a million: minutes)",
    )
    parser.add_argument("--only", nargs="*", help="parts: start memory floor post relay visible …")
    parser.add_argument("--nice", type=int, default=0, help="weight beside other work (root)")
    parser.add_argument("--keep", action="store_true", help="leave data and logs behind")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md alone")
    options = parser.parse_args()
    bench = Bench(options)
    print(f"Liandiao bench: {bench.report.machine}; {bench.report.mode}", flush=True)
    load = os.getloadavg()[0]
    with machine.Priority(options.nice) if options.nice else contextlib.nullcontext():
        report = bench.run()
    if load > 1.5:
        report.notes.append(
            f"The machine was not idle: load average {load:.0f} when the run began"
            + (f"; the run had scheduling weight nice {options.nice}." if options.nice else ".")
        )
    if not options.no_write:
        report.write_csv(ROOT / "bench" / "results.csv")
        report.write_document(ROOT / "docs" / "performance.md", ROOT / "bench" / "findings.md")
    met = sum(each.verdict == "met" for each in report.results)
    print(f"\n{met} of {len(report.results)} targets met, {report.seconds:.0f} s.")
    for note in report.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
