"""A leader freezes with records in its buffer; its successor publishes newer events; it wakes."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from services.ids import new_id
from services.messaging.relay import Relay
from tests.crash.checks import (
    Pair,
    each_once_in_order,
    first_appearances_in_order,
    outbox_is_in_the_topic,
    size,
)
from tests.fixtures.messaging import another_process, emit, read_topic

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


class Frozen(Relay):
    """A relay that stops between reading its rows and sending them, until it is woken."""

    def __init__(self, runtime: Any) -> None:
        super().__init__(runtime)
        self.has_read = asyncio.Event()
        self.wake = asyncio.Event()

    async def _pipelined(self, producer: AIOKafkaProducer, rows: list[Any]) -> int:
        self.has_read.set()
        await self.wake.wait()
        return await super()._pipelined(producer, rows)


async def test_what_a_leader_sends_late_changes_no_order(pair: Pair) -> None:
    cases = [new_id() for _ in range(5)]
    rounds = size(3, 30)
    for _ in range(rounds):
        for case_id in cases:
            await emit(pair.sender, case_id, 2)
        leader = Frozen(pair.sender)
        frozen = asyncio.create_task(leader.step())
        await asyncio.wait_for(leader.has_read.wait(), 20)
        await pair.sender.pool.execute(
            "UPDATE lease SET expires_at = now() - interval '1 second' WHERE name = 'relay'"
        )
        other = await another_process(pair.sender)
        successor = Relay(other)
        for case_id in cases:
            await emit(pair.sender, case_id, 3)
        assert await successor.step() == 25
        leader.wake.set()
        await asyncio.wait_for(frozen, 20)
        leader.lease._renew_at = 0
        assert not await leader.lease.renew()
        await successor.lease.release()
        for relay in (leader, successor):
            await relay._drop_producer()
        await other.close()

    records = await read_topic(pair.kafka, pair.topic)
    copies = first_appearances_in_order(records)
    assert sum(copies.values()) == 10 * rounds
    await outbox_is_in_the_topic(pair.sender, records)
    offsets = await pair.sender.pool.fetch(
        'SELECT key, array_agg("offset" ORDER BY sequence) AS places FROM outbox GROUP BY key'
    )
    for row in offsets:
        assert row["places"] == sorted(row["places"]), "a stamp is not the first place"
    async with pair.consumer():
        await pair.level()
    await each_once_in_order(pair.hearer, dict.fromkeys(cases, 5 * rounds))
