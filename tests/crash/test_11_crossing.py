"""Decisions that cross: fired at one turn within milliseconds, in every pair and in whole packs.

Four services in one process on real PostgreSQL, their events carried between them in every order
that the outboxes allow. Whatever crossed, the services agree at the end: one turn at most is open,
nobody accepted what was over, and what was said on the stream stays true. ``LIANDIAO_CRASH=long``
plays 1,000 rounds.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from routing import sweeper
from tests.access.installation import Installation, an_installation
from tests.access.scenes import Maker, Scene
from tests.fixtures.servers import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1800)]

LONG = os.environ.get("LIANDIAO_CRASH") == "long"
ROUNDS = 1_000 if LONG else 42
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
        return await self.it.call(
            "intake",
            "POST",
            f"/v1/cases/{self.case_id}/departures",
            {"party_ref": "p1"},
            headers=self.it.of(self.scene.sender),
        )

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
}


def _packs() -> list[tuple[str, ...]]:
    """Every ordered pair first, then whole packs in orders of chance."""
    chance = random.Random(11)
    packs: list[tuple[str, ...]] = list(itertools.permutations(ACTS, 2))
    while len(packs) < ROUNDS:
        packs.append(tuple(chance.sample(sorted(ACTS), chance.randint(3, len(ACTS)))))
    return packs[:ROUNDS]


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


async def test_crossing_decisions_leave_one_truth(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    chance = random.Random(5)
    faults: list[str] = []
    answered: Counter[tuple[str, int]] = Counter()
    async with an_installation(postgres_server, tmp_path) as it:
        maker = Maker(it)
        for number, pack in enumerate(_packs()):
            turn = await _offered(it, maker, number)
            answers = await asyncio.gather(
                *(_after(chance.random() * 0.005, ACTS[name], turn) for name in pack)
            )
            answered.update(
                (name, answer.status_code)
                for name, answer in zip(pack, answers, strict=True)
                if isinstance(answer, httpx.Response)
            )
            await it.settle()
            faults += await _faults(turn, pack)

        elapsed = await it.runtimes["routing"].pool.fetchval(
            "SELECT count(*) FROM outbox WHERE type LIKE '%acceptance-window-elapsed%'"
        )

    told = ", ".join(f"{name} {status}: {n}" for (name, status), n in sorted(answered.items()))
    print(f"\n{len(_packs())} rounds: {told}")
    assert not faults, "\n".join(faults[:40])
    assert {name for name, status in answered if status < 300} == set(ACTS) - {"elapse"}
    assert elapsed > 0
    assert not [status for _, status in answered if status >= 500]
