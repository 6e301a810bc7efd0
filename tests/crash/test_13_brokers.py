"""Three brokers, replication three: any of them dies under load, and nothing is lost or stands.

Only with ``LIANDIAO_CRASH=long``: the leader of a partition is killed, then each of the others, so
the active controller too, then each is restarted as in an upgrade.
"""

import asyncio
import signal
import time
from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

import pytest

from services.ids import new_id
from services.messaging.relay import run_relay
from services.runtime import Runtime
from tests.fixtures.brokers import Brokers, three_brokers
from tests.fixtures.messaging import a_runtime, consuming, emit, read_topic, running, until
from tests.fixtures.servers import PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(900)]

CASES = 40


async def _published(runtime: Runtime) -> int:
    count: int = await runtime.pool.fetchval(
        "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"
    )
    return count


async def _load(runtime: Runtime, cases: list[UUID], stop: asyncio.Event) -> None:
    turn = 0
    while not stop.is_set():
        await emit(runtime, cases[turn % len(cases)])
        turn += 1
        await asyncio.sleep(0.02)


async def _goes_on(runtime: Runtime, what: str) -> None:
    """Twenty more events are published, however long the new leader's election takes."""
    before, began = await _published(runtime), time.monotonic()

    async def more() -> bool:
        return await _published(runtime) >= before + 20

    await until(more, 60)
    print(f"\n{what}: published again after {time.monotonic() - began:.1f} s")


async def _without(
    number: int, how: signal.Signals, brokers: Brokers, runtime: Runtime, cluster: Any
) -> None:
    """One node ends, the work goes on, the node comes back and is in sync again."""
    await asyncio.to_thread(brokers.stop, number, how)
    await _goes_on(runtime, f"node {number} {how.name}")
    brokers.start(number)
    await asyncio.to_thread(brokers.wait_in_sync, cluster, "cases")


async def test_brokers_come_and_go_and_every_event_takes_effect_once(
    postgres_server: PostgresServer,
) -> None:
    with three_brokers() as (brokers, kafka):
        async with a_runtime(postgres_server, kafka) as runtime:
            cases = [new_id() for _ in range(CASES)]
            async with (
                running(lambda stop: _load(runtime, cases, stop)),
                running(lambda stop: run_relay(runtime, stop)) as relay,
                consuming(runtime) as consumer,
            ):
                await _goes_on(runtime, "all three there")
                first = brokers.leader(kafka.cluster, "cases")
                others = [n for n in brokers.nodes if n != first]
                for number in (first, *others):
                    await _without(number, signal.SIGKILL, brokers, runtime, kafka.cluster)
                for number in brokers.nodes:
                    await _without(number, signal.SIGTERM, brokers, runtime, kafka.cluster)
                assert not relay.done()
                assert not consumer.done()

            async with (
                running(lambda stop: run_relay(runtime, stop)),
                consuming(runtime),
            ):

                async def level() -> bool:
                    return bool(
                        await runtime.pool.fetchval(
                            """SELECT (SELECT count(*) FROM effect) = (SELECT count(*) FROM outbox)
                                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE published_at IS NULL)"""
                        )
                    )

                await until(level, 90)
            emitted = await runtime.pool.fetch("SELECT event_id, key, sequence FROM outbox")
            effects = await runtime.pool.fetch(
                "SELECT case_id, event_id, sequence FROM effect ORDER BY id"
            )
            records = await read_topic(kafka, "cases")

    assert Counter(e["event_id"] for e in effects) == Counter(e["event_id"] for e in emitted)
    by_case: dict[UUID, list[int]] = defaultdict(list)
    for effect in effects:
        by_case[effect["case_id"]].append(effect["sequence"])
    assert all(found == list(range(1, len(found) + 1)) for found in by_case.values())
    first_seen: dict[str, dict[str, int]] = defaultdict(dict)
    for record in records:
        headers = dict(record.headers)
        first_seen[record.key.decode()].setdefault(
            headers["ce_id"].decode(), int(headers["ce_sequence"])
        )
    assert {id_ for seen in first_seen.values() for id_ in seen} == {
        str(e["event_id"]) for e in emitted
    }
    assert all(list(seen.values()) == sorted(seen.values()) for seen in first_seen.values())
