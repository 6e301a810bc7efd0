"""A client that asks a hundred times too much, and everybody asking ten times too much."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from bench import databases
from bench.installation import api, make_twin, twin_url
from bench.machine import percentile
from bench.parts.latency import rate_of
from bench.ratio import paired
from bench.referrals import CENTRE, COMMITTEE, COURT, POLICE
from bench.report import Result
from bench.run import Run
from services.client import wait_for
from services.service import NAMES

# What the processes of this part allow a client in a second, and what the well-behaved one asks.
SHARE, NORMAL, TIMES = 10, 5, 100
BACK_AT_MOST_SECONDS = 900
HEAD_START_SECONDS: Final = 0.5


def neighbour(bench: Run) -> None:
    """One client at 100 times its share: what the others notice of it."""
    installation = bench.installation
    asyncio.run(make_twin(installation))
    limits = {"LIANDIAO_REQUESTS_PER_SECOND": str(SHARE)}
    port = installation.port_base + 20
    twin = {"INTAKE_DATABASE_URL": twin_url(installation)}
    with (
        api(installation, "intake", port, **limits, **twin) as intake,
        api(installation, "mediation", port + 1, **limits) as mediation,
    ):
        _beside(bench, "referral POST", {"intake": intake, "what": "post"}, COURT, POLICE)
        reading = {"intake": mediation, "what": "/v1/queue?state=offered&limit=20"}
        _beside(bench, "queue read", reading, CENTRE, COMMITTEE)


def _beside(bench: Run, name: str, target: dict[str, Any], good: str, bad: str) -> None:
    """p99 of the well-behaved client beside the abuser and alone, by turns."""
    p99s: dict[str, list[float]] = {"a": [], "b": []}
    pooled: dict[str, list[float]] = {"a": [], "b": []}
    refused: list[float] = []
    silent = admitted = 0
    spent = 0.0
    server = bench.installation.apis[target["intake"]]
    length = bench.seconds(20)
    bench.load("steady", seconds=3, rate=NORMAL, by=good, **target)
    for who in bench.order(5):
        before = sum(server.cpu_times()[:2])
        with ThreadPoolExecutor(1) as beside:
            abuse = who == "a" and beside.submit(
                bench.load, "abuse", seconds=length + 1, rate=SHARE * TIMES, by=bad, **target
            )
            if abuse:
                # The share of a second is used up by then: the others meet refusals only.
                time.sleep(HEAD_START_SECONDS)
            took = bench.load("steady", seconds=length, rate=NORMAL, by=good, **target)
            if abuse:
                told = abuse.result()
                refused += told["refused"]
                silent, admitted = silent + told["silent"], admitted + told["admitted"]
        spent += (sum(server.cpu_times()[:2]) - before) * (1 if who == "a" else -1)
        p99s[who].append(percentile(took["took"], 99))
        pooled[who] += took["took"]
    ratio = paired(p99s["a"], p99s["b"])
    ms = {who: [1000 * percentile(took, p) for p in (50, 99)] for who, took in pooled.items()}
    bench.report.add(
        Result(
            f"{name}, p99 beside a client at {TIMES} times its share ÷ alone",
            ratio.value,
            "",
            1.2,
            "at most",
            f"median of {ratio.pairs} pairs (ABBA); share {SHARE}/s, asked {NORMAL}/s by one client"
            f" and {SHARE * TIMES}/s by the other, of which {admitted} were answered and "
            f"{len(refused)} told 429, {silent} of them without Retry-After; beside it p50 "
            f"{ms['a'][0]:.1f}, p99 {ms['a'][1]:.1f} ms, alone p50 {ms['b'][0]:.1f}, p99 "
            f"{ms['b'][1]:.1f} ms; both generators on the same cores",
            ratio.interval,
        )
    )
    bench.report.add_floor(
        Result(f"neighbour: a refused {name}, p50", 1000 * percentile(refused, 50), "ms"),
        Result(
            f"neighbour: CPU of the server for a refused {name}",
            1000 * spent / max(1, len(refused)),
            "ms",
            how="what the legs beside took more than those alone, what was answered included",
        ),
    )
    if silent:
        bench.report.notes.append(f"neighbour: {silent} refusals did not say when to come again")


def overload(bench: Run) -> None:
    """Ten times what all can carry for five minutes: nothing accepted is lost, and the way back."""
    usual = bench.load("visible", seconds=bench.seconds(12), rate=24)
    calm = percentile(usual["seen"], 99)
    rate = 10 * (bench.sustained or _sustained(bench))
    length = 60.0 if bench.quick else 300.0
    memory = Memory(bench)
    with memory:
        crowd = bench.load("crowd", seconds=length, rate=rate, most=1000)
        ended = time.monotonic()
        back = _until_usual(bench, 1.5 * calm, ended)
    accepted = crowd["accepted"]
    wait_for(lambda: asyncio.run(databases.level(bench.installation, NAMES)), seconds=600)
    lost = asyncio.run(_missing(bench, accepted))
    refused, admitted, statuses = crowd["refused"], crowd["admitted"], crowd["statuses"]
    how = (
        f"{rate:,.0f} posts/s for {length:.0f} s, ten times what the pipeline sustains: "
        f"{len(admitted)} admitted (p99 {1000 * percentile(admitted, 99):.0f} ms), refused by "
        f"status {statuses}, {crowd['silent']} of them without Retry-After, {crowd['unsent']} the "
        "generator could not begin"
    )
    bench.report.add(
        Result(
            "overload: accepted cases that are not in intake and in the queue",
            lost,
            "",
            0,
            "at most",
            f"{len(accepted)} accepted; {how}",
        ),
        Result(
            "overload: until the latency is usual again",
            back,
            "s",
            30,
            "at most",
            f"p99 from the POST to the queue within 1.5 of {1000 * calm:.0f} ms at 24/s, backlog "
            "done; looked at every 3 s or more",
        ),
    )
    if refused:
        bench.report.add_floor(
            Result("overload: a refusal, p99", 1000 * percentile(refused, 99), "ms", how=how)
        )
    else:
        bench.report.notes.append(
            "overload: nothing was refused: beside the services this machine could not "
            "generate enough to fill a process"
        )
    bench.report.add_floor(
        Result(
            "overload: memory of the stack, peak over before",
            memory.peak - memory.before,
            "MB",
            how=f"proportional set size: before {memory.before:.0f}, peak {memory.peak:.0f}, after "
            f"{memory.after:.0f}; peaks: "
            + ", ".join(f"{k} {v:.0f}" for k, v in sorted(memory.peaks.items())),
        )
    )


def _sustained(bench: Run) -> float:
    """What comes through a second, when the pipeline was not measured in this run."""
    seconds = bench.seconds(24)
    result = bench.load("pipeline", seconds=seconds, window=300)
    return rate_of(result["samples"], seconds / 4, result["loaded_seconds"])


def _until_usual(bench: Run, usual_seconds: float, since: float) -> float:
    while True:
        now = bench.load("visible", seconds=3, rate=24)
        took = time.monotonic() - since
        usual = not now["never"] and percentile(now["seen"], 99) <= usual_seconds
        if usual or took > BACK_AT_MOST_SECONDS:
            return took


async def _missing(bench: Run, accepted: list[str]) -> int:
    """Accepted cases that intake does not have or that nobody was offered."""
    missing = 0
    for database in ("liandiao_intake", "liandiao_mediation"):
        table = "case_file" if database == "liandiao_intake" else "assignment"
        found = await databases.count(
            bench.installation.database(database),
            f"SELECT count(DISTINCT case_id) FROM {table} WHERE case_id = ANY($1::text[]::uuid[])",
            accepted,
        )
        missing = max(missing, len(accepted) - found)
    return missing


class Memory:
    """Proportional set size of all processes, looked at every five seconds while open (MB)."""

    def __init__(self, bench: Run) -> None:
        self._installation = bench.installation
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.peak = self.after = 0.0
        self.peaks: dict[str, float] = {}

    def __enter__(self) -> "Memory":
        self.before = self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.after = self._look()

    def _look(self) -> float:
        sizes = self._installation.memory()
        for name, size in sizes.items():
            self.peaks[name] = max(size, self.peaks.get(name, 0.0))
        total = sum(sizes.values())
        self.peak = max(self.peak, total)
        return total

    def _watch(self) -> None:
        while not self._over.wait(5):
            self._look()
