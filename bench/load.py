"""The load generator: a process of its own, bounded, loopback only.

Reads its task as JSON from standard input and prints its result as JSON.
"""

import asyncio
import json
import random
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import uvloop

from bench.lifecycle import Desk
from bench.referrals import COURT, LANES, referrals
from bench.wire import Answer, Wire

ROOT = Path(__file__).resolve().parents[1]


class Task:
    """What the parent asked for, and the connections to the services."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.seconds = float(given["seconds"])
        source = given.get("organisation") if given.get("organisation") in LANES else COURT
        self.bodies: Iterator[bytes] = referrals(ROOT, int(given["start"]), source)
        self.court = Wire(given["intake"], given.get("token") or given["court_token"])
        self.failures: dict[str, int] = {}

    async def send(self) -> Answer:
        """One referral, whatever is answered; status 0 when nothing was."""
        return await self.ask("POST", "/v1/referrals", next(self.bodies))

    async def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """One request, whatever is answered; status 0 when nothing was."""
        try:
            return await self.court.request(method, path, body)
        except ConnectionError:
            return Answer()

    async def post(self) -> Answer:
        """One referral; an answer other than 201 is counted, never hidden."""
        answer = await self.send()
        if answer.status != 201:
            self.failed(answer)
        return answer

    async def what(self) -> Answer:
        """What the task names: a referral, or a read of an address."""
        return await (
            self.send() if self.given["what"] == "post" else self.ask("GET", self.given["what"])
        )

    def failed(self, answer: Answer) -> None:
        """Count what was refused, by status, code and what is said of it."""
        try:
            said = answer.json()
            code = f"{answer.status} {said.get('code')}: {said.get('detail') or said.get('title')}"
        except ValueError:
            code = str(answer.status)
        self.failures[code] = self.failures.get(code, 0) + 1


async def posts(task: Task) -> dict[str, Any]:
    """Closed loop: so many clients post one referral after the other."""
    took: list[float] = []
    started = time.monotonic()
    end = started + task.seconds

    async def client() -> None:
        while time.monotonic() < end:
            before = time.perf_counter()
            answer = await task.post()
            if answer.status == 201:
                took.append(time.perf_counter() - before)

    await asyncio.gather(*(client() for _ in range(int(task.given["clients"]))))
    return {"per_second": len(took) / (time.monotonic() - started), "took": took}


async def arrivals(
    rate: float, seconds: float, most: int, one: Callable[[], Coroutine[Any, Any, None]]
) -> int:
    """Open loop: begin ``one`` so many times a second, whatever became of those before.

    At most ``most`` are under way, so that the generator's memory is bounded too; answers how many
    could not begin for that.
    """
    running: set[asyncio.Task[None]] = set()
    unsent = 0
    at = time.monotonic()
    end = at + seconds
    while (at := at + 1 / rate) < end:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        if len(running) >= most:
            unsent += 1
            continue
        each = asyncio.create_task(one())
        running.add(each)
        each.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return unsent


async def crowd(task: Task) -> dict[str, Any]:
    """Far above what the service can carry: what it admits, how fast and how it refuses."""
    admitted: list[float] = []
    refused: list[float] = []
    accepted: list[str] = []
    statuses: dict[str, int] = {}
    silent = 0

    async def one() -> None:
        nonlocal silent
        before = time.perf_counter()
        answer = await task.send()
        took = time.perf_counter() - before
        if answer.status == 201:
            admitted.append(took)
            accepted.append(answer.json()["case_id"])
            return
        refused.append(took)
        statuses[str(answer.status)] = statuses.get(str(answer.status), 0) + 1
        silent += not _says_when(answer)

    given = task.given
    unsent = await arrivals(float(given["rate"]), task.seconds, int(given["most"]), one)
    return {
        "admitted": admitted,
        "refused": refused,
        "accepted": accepted,
        "statuses": statuses,
        "silent": silent,
        "unsent": unsent,
    }


def _says_when(answer: Answer) -> bool:
    after = answer.headers.get("retry-after", "")
    return after.isdigit() and int(after) >= 1


async def steady(task: Task) -> dict[str, Any]:
    """A client that keeps to its rate whatever is answered, and never makes up for lost time."""
    took: list[float] = []

    async def one() -> None:
        before = time.perf_counter()
        answer = await task.what()
        took.append(time.perf_counter() - before)
        if answer.status not in (200, 201):
            task.failed(answer)

    running: set[asyncio.Task[None]] = set()
    end = time.monotonic() + task.seconds
    while time.monotonic() < end:
        each = asyncio.create_task(one())
        running.add(each)
        each.add_done_callback(running.discard)
        await asyncio.sleep(1 / float(task.given["rate"]))
    await asyncio.gather(*running)
    return {"took": took}


async def abuse(task: Task) -> dict[str, Any]:
    """A client that does not listen: what it is told, how fast, and whether it is told when."""
    refused: list[float] = []
    admitted = silent = 0

    async def one() -> None:
        nonlocal admitted, silent
        before = time.perf_counter()
        answer = await task.what()
        if answer.status == 429:
            refused.append(time.perf_counter() - before)
            silent += not _says_when(answer)
        elif answer.status in (200, 201):
            admitted += 1
        else:
            task.failed(answer)

    await arrivals(float(task.given["rate"]), task.seconds, 200, one)
    return {"refused": refused, "admitted": admitted, "silent": silent}


async def visible(task: Task) -> dict[str, Any]:
    """Open loop: referrals come when they come, whatever became of those before.

    A case is visible from the commit that put it into the queue's table: PostgreSQL remembers when
    that was (``track_commit_timestamp``), by the same clock, so that nobody has to look meanwhile.
    """
    given = task.given
    posted: list[float] = []
    answered: dict[uuid.UUID, float] = {}
    rate = float(given["rate"])
    chance = random.Random(7)

    async def one() -> None:
        before = time.perf_counter()
        answer = await task.post()
        if answer.status == 201:
            posted.append(time.perf_counter() - before)
            answered[uuid.UUID(answer.json()["case_id"])] = time.time()

    running = set()
    at = time.monotonic()
    end = at + task.seconds
    while at < end:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        each = asyncio.create_task(one())
        running.add(each)
        each.add_done_callback(running.discard)
        at += chance.expovariate(rate)
    await asyncio.gather(*running)
    mediation = await asyncpg.connect(given["mediation_url"])
    seen: list[float] = []
    for _ in range(30):
        rows = await mediation.fetch(
            """SELECT case_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float AS at
               FROM assignment WHERE case_id = ANY($1::uuid[])""",
            list(answered),
        )
        # A row is seen no earlier than the answer that told of it.
        seen = [max(0.0, row["at"] - answered[row["case_id"]]) for row in rows]
        if len(seen) == len(answered):
            break
        await asyncio.sleep(1)
    await mediation.close()
    return {"posted": posted, "seen": seen, "never": len(answered) - len(seen)}


class Ends:
    """How many cases have come through: offers in the queue, and the sender's numbered feed.

    Looks at what is new only: a count of everything would be part of what is measured.
    """

    def __init__(self, mediation: asyncpg.Connection, notification: asyncpg.Connection) -> None:
        self.mediation = mediation
        self.notification = notification
        self._offers = self._feed = self._read_until = 0
        self._since: datetime | None = None

    async def counts(self, connection: str) -> tuple[int, int]:
        """Offers in queues, and offers in the sender's numbered feed, since the first call."""
        if self._since is None:
            self._since = await self.mediation.fetchval("SELECT clock_timestamp()")
            self._read_until = await self.notification.fetchval(
                "SELECT coalesce(max(feed_sequence), 0) FROM feed_entry WHERE connection = $1",
                connection,
            )
        self._offers = await self.mediation.fetchval(
            "SELECT count(*) FROM assignment WHERE offered_at > $1", self._since
        )
        row = await self.notification.fetchrow(
            """SELECT coalesce(max(feed_sequence), $2) AS last,
                 count(*) FILTER (WHERE type = 'liandiao.assignment.offered.v1') AS offers
               FROM feed_entry WHERE connection = $1 AND feed_sequence > $2""",
            connection,
            self._read_until,
        )
        self._read_until = row["last"]
        self._feed += row["offers"]
        return self._offers, self._feed


async def pipeline(task: Task) -> dict[str, Any]:
    """Post as fast as the far end follows: never more than a window of cases under way.

    Cases per second are those that reached both the queue and the sender's feed. With a
    ``rate`` arrivals keep that rate whatever happens, and the backlog tells whether it holds.
    """
    given = task.given
    ends = Ends(
        await asyncpg.connect(given["mediation_url"]),
        await asyncpg.connect(given["notification_url"]),
    )
    connection = given["connection"]
    base_offers, base_feed = await ends.counts(connection)
    window = int(given["window"])
    rate = float(given.get("rate") or 0)
    posted, through = 0, 0
    room = asyncio.Event()
    room.set()
    samples: list[tuple[float, int, int]] = []
    started = time.monotonic()
    end = started + task.seconds

    async def look() -> None:
        nonlocal through
        offers, feed = await ends.counts(connection)
        through = min(offers - base_offers, feed - base_feed)
        samples.append((time.monotonic() - started, posted, through))
        if posted - through < window or time.monotonic() > end:
            room.set()

    async def watch() -> None:
        while True:
            await look()
            await asyncio.sleep(0.2)

    async def client() -> None:
        nonlocal posted
        while time.monotonic() < end:
            if posted - through >= window:
                room.clear()
                await room.wait()
                continue
            posted += 1
            if (await task.post()).status != 201:
                posted -= 1

    async def one() -> None:
        nonlocal posted
        posted += 1
        await task.post()

    watching = asyncio.create_task(watch())
    if rate:
        await arrivals(rate, task.seconds, 1_000_000, one)
    else:
        await asyncio.gather(*(client() for _ in range(16)))
    loaded = time.monotonic() - started
    for _ in range(300):
        if through >= posted:
            break
        await asyncio.sleep(0.1)
    watching.cancel()
    drained = time.monotonic() - started
    return {
        "posted": posted,
        "through": through,
        "loaded_seconds": loaded,
        "drained_seconds": drained,
        "samples": samples,
    }


async def lifecycle(task: Task) -> dict[str, Any]:
    """Closed loop of whole cases: a court posts, the centre's desk does the rest."""
    given = task.given
    desk = Desk(Wire(given["mediation"], given["centre_token"]), task.failed)
    await desk.prepare()
    closed = await asyncpg.connect(given["intake_url"])
    count = "SELECT count(*) FROM case_file WHERE state = 'closed'"
    base = await closed.fetchval(count)
    started = time.monotonic()
    end = started + task.seconds
    window = asyncio.Semaphore(int(given["window"]))
    marks: list[tuple[float, int]] = []
    posted = 0

    async def sender() -> None:
        nonlocal posted
        while True:
            await window.acquire()
            if time.monotonic() >= end:
                return
            posted += 1
            if (await task.post()).status != 201:
                posted -= 1
                window.release()

    async def clerk() -> None:
        # The desk clears what was sent, so that the next round finds an empty queue.
        while time.monotonic() < end or (desk.finished < posted and time.monotonic() < end + 20):
            item = await desk.next_item()
            if item is None:
                await asyncio.sleep(0.02)
                continue
            await desk.complete(item)
            window.release()

    async def watch() -> None:
        while True:
            marks.append((time.monotonic() - started, await closed.fetchval(count) - base))
            await asyncio.sleep(0.25)

    watching = asyncio.create_task(watch())
    senders = [asyncio.create_task(sender()) for _ in range(4)]
    await asyncio.gather(*(clerk() for _ in range(int(given["workers"]))))
    for each in senders:
        each.cancel()
    for _ in range(100):
        if marks and marks[-1][1] >= desk.completed:
            break
        await asyncio.sleep(0.2)
    watching.cancel()
    return {
        "posted": posted,
        "completed": desk.completed,
        "closed": marks[-1][1],
        "loaded_seconds": task.seconds,
        "marks": marks,
        "steps_ms": desk.mean_step_ms(),
        "requests_per_case": 1 + desk.requests / max(1, desk.completed),
    }


async def reads(task: Task) -> dict[str, Any]:
    """Closed loop of reads, one kind after the other: what a desk and a court's system look at."""
    given = task.given
    centre = Wire(given["mediation"], given["centre_token"])
    feed = Wire(given["notification"], given["court_token"])
    chance = random.Random(11)
    intake = await asyncpg.connect(given["intake_url"])
    cases = [
        str(row["case_id"])
        for row in await intake.fetch(
            "SELECT case_id FROM case_file ORDER BY md5(case_id::text) LIMIT 500"
        )
    ]
    await intake.close()
    last = int(given["feed_last"])

    def feed_page() -> str:
        after = chance.randrange(int(given["feed_first"]), max(int(given["feed_first"]) + 1, last))
        return f"/v1/feeds/{given['connection']}?after={after:010d}&limit=50"

    kinds: dict[str, tuple[Wire, Any]] = {
        "queue page": (centre, lambda: "/v1/queue?state=offered&limit=20"),
        "case": (task.court, lambda: f"/v1/cases/{chance.choice(cases)}"),
        "case list": (task.court, lambda: "/v1/cases?limit=20"),
        "timeline": (task.court, lambda: f"/v1/cases/{chance.choice(cases)}/timeline?limit=20"),
        "feed page": (feed, feed_page),
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for name, (wire, path) in kinds.items():
        end = time.monotonic() + task.seconds / len(kinds)
        for warm in range(10_000):
            if time.monotonic() > end:
                break
            before = time.perf_counter()
            answer = await wire.request("GET", path())
            if answer.status != 200:
                task.failed(answer)
            elif warm >= 5:
                took[name].append(time.perf_counter() - before)
    return {"reads": took}


KINDS = {
    "abuse": abuse,
    "crowd": crowd,
    "steady": steady,
    "reads": reads,
    "posts": posts,
    "visible": visible,
    "pipeline": pipeline,
    "lifecycle": lifecycle,
}


async def main() -> None:
    """Do the task of standard input."""
    given = json.load(sys.stdin)
    task = Task(given)
    result = await KINDS[given["kind"]](task)
    result["failures"] = task.failures
    sys.stdout.write(orjson.dumps(result).decode())


if __name__ == "__main__":
    uvloop.run(main())
