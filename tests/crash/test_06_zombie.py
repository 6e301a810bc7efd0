"""A worker is blocked past its session; others take its partition over; then it goes on."""

import asyncio

import pytest
from aiokafka import TopicPartition

from services.ids import new_id
from services.messaging.consumer import CaseConsumer
from services.messaging.inbox import Moved
from tests.crash.checks import Pair, each_once_in_order, size
from tests.fixtures.messaging import another_process, emit

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


async def test_a_zombie_with_old_records_changes_nothing(pair: Pair) -> None:
    cases = [new_id() for _ in range(6)]
    for case_id in cases:
        await emit(pair.sender, case_id, 10)
    await pair.publish()
    old = await pair.records()
    zombie = await another_process(pair.hearer)
    blocked = CaseConsumer(zombie)
    further = 300
    for case_id in cases:
        await emit(pair.sender, case_id, further // len(cases))
    await pair.publish()
    async with pair.consumer():
        await pair.level()
    before = await pair.hearer.pool.fetch("SELECT * FROM position ORDER BY partition")

    for partition in {record.partition for record in old}:
        mine = [record for record in old if record.partition == partition]
        with pytest.raises(Moved):
            await blocked.transaction(TopicPartition(pair.topic, partition), mine)
        with pytest.raises(Moved):
            await blocked._park(TopicPartition(pair.topic, partition), mine[0], KeyError())

    assert await pair.hearer.pool.fetch("SELECT * FROM position ORDER BY partition") == before
    assert await pair.hearer.pool.fetchval("SELECT count(*) FROM parked_case") == 0
    await each_once_in_order(pair.hearer, dict.fromkeys(cases, 10 + further // len(cases)))
    await zombie.close()


async def test_a_worker_blocked_in_its_transaction_lets_nobody_overtake(pair: Pair) -> None:
    """It holds the position row: the successor waits for it or for its end, and neither doubles."""
    case_id = new_id()
    await emit(pair.sender, case_id, size(20, 300))
    await pair.publish()
    zombie = await another_process(pair.hearer)
    zombie.settings = zombie.settings.model_copy(update={"instance": f"{pair.topic}.zombie"})
    blocked = CaseConsumer(zombie)
    released, inside = asyncio.Event(), asyncio.Event()
    original = blocked.events.take
    records = [r for r in await pair.records()][:10]

    async def slowly(*arguments: object) -> None:
        inside.set()
        await released.wait()
        await original(*arguments)  # type: ignore[arg-type]

    blocked.events.take = slowly  # type: ignore[method-assign]
    place = TopicPartition(pair.topic, records[0].partition)
    for partition in range(4):
        await blocked.positions.start(zombie.pool, pair.topic, partition, 0)
    task = asyncio.create_task(blocked.transaction(place, records))
    await asyncio.wait_for(inside.wait(), 10)
    async with pair.consumer():
        await asyncio.sleep(1)
        assert await pair.hearer.pool.fetchval("SELECT count(*) FROM effect") == 0
        released.set()
        assert 0 < await task <= 10
        await pair.level()

    await each_once_in_order(pair.hearer, {case_id: size(20, 300)})
    await zombie.close()
