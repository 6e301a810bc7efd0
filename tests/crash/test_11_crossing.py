"""Decisions that cross: fired at one turn within milliseconds, in every pair and in whole packs.

Four services in one process on real PostgreSQL, their events carried between them in every order
that the outboxes allow. Whatever crossed, the services agree at the end: one turn at most is open,
nobody accepted what was over, and what was said on the stream stays true. And at no instant on the
way did two have a turn or hold the case: every event and holding is folded with its time and its
sequence. ``LIANDIAO_CRASH=long`` plays 1,000 rounds.
"""

import asyncio
import itertools
import json
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from routing import sweeper
from services.clock import read
from services.messaging.handling import CaseEvents
from services.messaging.kafka import Incoming
from tests.access.installation import Installation, an_installation
from tests.access.scenes import Maker, Scene
from tests.fixtures.servers import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1800)]

LONG = os.environ.get("LIANDIAO_CRASH") == "long"
ROUNDS = 1_000 if LONG else 48
OPEN = {
    "routing": ("offered", "accepted", "objected", "recalling"),
    "mediation": ("offered", "objected", "accepted"),
}


class Turn:
    """One offered turn and everybody who may decide on it."""

    def __init__(self, it: Installation, scene: Scene, version: int) -> None:
        self.it = it
        self.scene = scene
        self.case_id = scene.ids["case_id"]
        self.assignment_id = scene.ids["assignment_id"]
        self.handler = scene.handler
        self.version = version

    async def _handler(self, act: str, body: Any) -> httpx.Response:
        return await self.it.call(
            "mediation",
            "POST",
            f"/v1/queue/{self.assignment_id}/{act}",
            body,
            headers=self.it.of(self.handler),
            version=self.version,
        )

    async def accept(self) -> httpx.Response:
        return await self._handler("accept", {})

    async def give_back(self) -> httpx.Response:
        return await self._handler("return", {"ground": "not_competent"})

    async def recall(self) -> httpx.Response:
        return await self.it.call(
            "routing",
            "POST",
            f"/v1/assignments/{self.assignment_id}/recalls",
            {},
            headers=self.it.of(self.scene.sender),
        )

    async def change_lane(self) -> httpx.Response:
        head = self.it.of(self.scene.sender)
        path = f"/v1/cases/{self.case_id}"
        seen = await self.it.call("intake", "GET", path, headers=head)
        return await self.it.call(
            "intake",
            "POST",
            f"{path}/lane-changes",
            {"to_lane": "court_post", "ground": "filed"},
            headers=head,
            version=int(seen.headers["ETag"].strip('"')),
        )

    async def leave(self) -> httpx.Response:
        return await self._departure("p1")

    async def _departure(self, party: str) -> httpx.Response:
        return await self.it.call(
            "intake",
            "POST",
            f"/v1/cases/{self.case_id}/departures",
            {"party_ref": party},
            headers=self.it.of(self.scene.sender),
        )

    async def close(self) -> httpx.Response:
        """The other side goes; intake, which has not heard of the turn, closes the case."""
        return await self._departure("p2")

    async def let_elapse(self) -> None:
        """The window is over, as the sweeper finds it."""
        routing = self.it.runtimes["routing"]
        await routing.pool.execute(
            """UPDATE clock SET due_at = now() - interval '1 hour'
               WHERE case_id = $1 AND kind = 'acceptance' AND state = 'running'""",
            self.case_id,
        )
        routing.progress |= {"lag_records": 0, "lag_seen_monotonic": time.monotonic()}
        await sweeper.sweep(routing)


ACTS: dict[str, Callable[[Turn], Awaitable[Any]]] = {
    "accept": Turn.accept,
    "return": Turn.give_back,
    "recall": Turn.recall,
    "lane change": Turn.change_lane,
    "leave": Turn.leave,
    "elapse": Turn.let_elapse,
    "close": Turn.close,
}


def _packs() -> list[tuple[str, ...]]:
    """Every ordered pair first, then whole packs in orders of chance."""
    chance = random.Random(11)
    packs: list[tuple[str, ...]] = list(itertools.permutations(ACTS, 2))
    while len(packs) < ROUNDS:
        packs.append(tuple(chance.sample(sorted(ACTS), chance.randint(3, len(ACTS)))))
    return packs[:ROUNDS]


class Deaf:
    """What intake has not heard yet: it decides on what it knows, as when its consumer lags."""

    def __init__(self, it: Installation) -> None:
        self.deaf = False
        self.kept: list[Incoming] = []
        self.events = it.events["intake"]
        self.hear = it._hear
        it._hear = self._hear  # type: ignore[method-assign]

    async def _hear(self, events: CaseEvents, records: list[Incoming]) -> None:
        if self.deaf and events is self.events:
            self.kept += records
        else:
            await self.hear(events, records)

    async def listen(self) -> None:
        """Hear everything that was said meanwhile."""
        self.deaf, kept, self.kept = False, self.kept, []
        if kept:
            await self.hear(self.events, kept)


async def _is_closed(it: Installation, case_id: str) -> bool:
    state = await it.runtimes["intake"].pool.fetchval(
        "SELECT state FROM case_file WHERE case_id = $1", UUID(case_id)
    )
    return bool(state == "closed")


async def _offered(it: Installation, maker: Maker, number: int) -> Turn:
    scene = await maker.register("court", f"CROSS{number}")
    head = it.of(scene.sender)
    turns = await it.ok(
        "routing", "GET", "/v1/assignments", headers=head, case_id=scene.ids["case_id"]
    )
    turn = turns["items"][-1]
    scene.ids |= {"assignment_id": turn["assignment_id"]}
    scene.handler = turn["organisation"]
    return Turn(it, scene, 1)


async def _after(wait_seconds: float, act: Callable[[Turn], Awaitable[Any]], turn: Turn) -> Any:
    await asyncio.sleep(wait_seconds)
    return await act(turn)


async def _faults(turn: Turn, pack: tuple[str, ...]) -> list[str]:
    """What the services do not agree on, and what was said and is not true."""
    it, faults = turn.it, []
    states: dict[str, dict[str, str]] = {}
    for service in ("routing", "mediation"):
        rows = await it.runtimes[service].pool.fetch(
            f"SELECT {'id' if service == 'routing' else 'assignment_id'} AS id, state "
            "FROM assignment WHERE case_id = $1",
            turn.case_id,
        )
        states[service] = {str(row["id"]): row["state"] for row in rows}
        open_ = [s for s in states[service].values() if s in OPEN[service]]
        if len(open_) > 1:
            faults.append(f"{service} has {len(open_)} open turns")
    for id_, state in states["routing"].items():
        other = states["mediation"].get(id_)
        same = (state in OPEN["routing"]) == (other in OPEN["mediation"])
        if not same or (state == "accepted") != (other == "accepted"):
            faults.append(f"a turn is {state} in routing and {other} in mediation")
    said = Counter(
        row["type"].removeprefix("liandiao.assignment.")
        for row in await it.runtimes["mediation"].pool.fetch(
            "SELECT type FROM outbox WHERE key = $1 AND convert_from(data, 'UTF8') LIKE $2",
            str(turn.case_id),
            f"%{turn.assignment_id}%",
        )
        if ".assignment." in row["type"]
    )
    accepted = said["accepted.v1"] + said["deemed-accepted.v1"] + said["deemed_accepted.v1"]
    over = said["returned.v1"] + said["ended.v1"]
    if accepted > 1 or over > 1 or (said["returned.v1"] and accepted):
        faults.append(f"said of one turn: {dict(said)}")
    file = await it.runtimes["intake"].pool.fetchrow(
        "SELECT state FROM case_file WHERE case_id = $1", turn.case_id
    )
    routed = await it.runtimes["routing"].pool.fetchval(
        "SELECT state FROM routed_case WHERE case_id = $1", turn.case_id
    )
    working = any(s in OPEN["mediation"] for s in states["mediation"].values())
    if file["state"] == "closed" and (working or routed != "closed"):
        faults.append(f"closed, yet routing says {routed} and somebody works: {working}")
    if file["state"] == "open" and routed in ("offered", "held") and not working:
        faults.append(f"routing says {routed} and nobody has it")
    running = await it.runtimes["routing"].pool.fetchval(
        """SELECT count(*) FROM clock WHERE case_id = $1 AND kind = 'acceptance'
             AND state IN ('running', 'paused')""",
        turn.case_id,
    )
    waiting = sum(s in ("offered",) for s in states["routing"].values())
    if running != waiting:
        faults.append(f"{running} acceptance windows run for {waiting} offers")
    return [f"{' + '.join(pack)}: {fault}" for fault in faults]


# -- at every instant -----------------------------------------------------------------------------


@dataclass
class Heard:
    """An event of the case with its place in its source and its times."""

    name: str
    at: datetime  # when it was so
    recorded_at: datetime
    data: dict[str, Any]


async def _said(turn: Turn, service: str) -> list[Heard]:
    """What a service said of the case, in its sequence."""
    rows = await turn.it.runtimes[service].pool.fetch(
        "SELECT type, headers, data, recorded_at FROM outbox WHERE key = $1 ORDER BY sequence",
        str(turn.case_id),
    )
    return [
        Heard(
            row["type"].removeprefix("liandiao.").removesuffix(".v1"),
            read(dict(row["headers"])["ce_time"]),
            row["recorded_at"],
            json.loads(row["data"]),
        )
        for row in rows
    ]


ACCEPTED = ("assignment.accepted", "assignment.deemed-accepted")
OVER = ("assignment.returned", "assignment.ended")


async def _two_at_once(turn: Turn) -> list[str]:
    """Instants at which two had a turn or held the case, by the events and by the holdings."""
    routing, mediation = await _said(turn, "routing"), await _said(turn, "mediation")
    return [
        *_turns_overlap(routing, mediation),
        *_holders_overlap(mediation),
        *await _holdings_contradict(turn, routing, mediation),
    ]


def _turns_overlap(routing: list[Heard], mediation: list[Heard]) -> Iterator[str]:
    """A turn begins when routing offers it and is over when mediation says so, not before."""
    over: dict[str, datetime] = {}
    for event in mediation:
        if event.name in OVER:
            over.setdefault(event.data["assignment_id"], event.recorded_at)
    before: Heard | None = None
    for event in routing:
        if event.name != "assignment.offered":
            continue
        end = over.get(before.data["assignment_id"]) if before else event.recorded_at
        if end is None or end > event.recorded_at:
            yield f"turn {event.data['ordinal']} was offered while the one before it stood"
        before = event


def _holders_overlap(mediation: list[Heard]) -> Iterator[str]:
    """Between one's acceptance and the end of its turn nobody else accepts."""
    holding: str | None = None
    for event in mediation:
        if event.name in ACCEPTED:
            if holding is not None:
                yield "one accepted while another held the case"
            holding = event.data["assignment_id"]
        elif event.name in OVER and event.data["assignment_id"] == holding:
            holding = None


async def _holdings_contradict(
    turn: Turn, routing: list[Heard], mediation: list[Heard]
) -> list[str]:
    """Intake's holdings follow one another in time, and each is what an event says."""
    rows = await turn.it.runtimes["intake"].pool.fetch(
        "SELECT holder, occurred_at, recorded_at FROM holding WHERE case_id = $1 ORDER BY id",
        UUID(turn.case_id),
    )
    faults = []
    told = [(row["occurred_at"], row["recorded_at"]) for row in rows]
    if [since for since, _ in told] != sorted(since for since, _ in told):
        faults.append(f"a holding begins before the one it follows: {_times(rows)}")
    if any(one["holder"] == next_["holder"] for one, next_ in itertools.pairwise(rows)):
        faults.append(f"one holds the case twice over: {_times(rows)}")
    known = {
        (event.data["organisation"], event.at) for event in mediation if event.name in ACCEPTED
    }
    ends = {event.at for event in mediation if event.name in OVER}
    ends |= {e.at for e in routing if e.name == "routing.undecided"}
    known |= {(turn.scene.sender, at) for at in ends}
    for before, row in itertools.pairwise(rows):
        since = {at for holder, at in known if holder == row["holder"]}
        # An end that tells of an earlier hour than the beginning counts from the beginning.
        if row["occurred_at"] not in {max(at, before["occurred_at"]) for at in since}:
            faults.append(f"no event says what a holding says: {_times([row])}")
    return faults


def _times(rows: list[Any]) -> str:
    return ", ".join(f"{row['holder']} {row['occurred_at']:%M:%S.%f}" for row in rows)


async def test_crossing_decisions_leave_one_truth(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    chance = random.Random(5)
    faults: list[str] = []
    answered: Counter[tuple[str, int]] = Counter()
    async with an_installation(postgres_server, tmp_path) as it:
        maker, intake, closed = Maker(it, webhooks=False), Deaf(it), 0
        for number, pack in enumerate(_packs()):
            intake.deaf = "close" in pack
            turn = await _offered(it, maker, number)
            answers = await asyncio.gather(
                *(_after(chance.random() * 0.005, ACTS[name], turn) for name in pack)
            )
            answered.update(
                (name, answer.status_code)
                for name, answer in zip(pack, answers, strict=True)
                if isinstance(answer, httpx.Response)
            )
            closed += await _is_closed(it, turn.case_id)
            await intake.listen()
            await it.settle()
            faults += await _faults(turn, pack)
            faults += [f"{' + '.join(pack)}: {fault}" for fault in await _two_at_once(turn)]

        elapsed = await it.runtimes["routing"].pool.fetchval(
            "SELECT count(*) FROM outbox WHERE type LIKE '%acceptance-window-elapsed%'"
        )

    told = ", ".join(f"{name} {status}: {n}" for (name, status), n in sorted(answered.items()))
    print(f"\n{len(_packs())} rounds: {told}")
    assert not faults, "\n".join(faults[:40])
    assert {name for name, status in answered if status < 300} == set(ACTS) - {"elapse"}
    assert elapsed > 0
    assert closed == sum("close" in pack for pack in _packs())
    assert not [status for _, status in answered if status >= 500]
