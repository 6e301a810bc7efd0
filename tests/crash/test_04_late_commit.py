"""A transaction with a lower outbox id commits after one with a higher id."""

import asyncio

import pytest

from services.ids import new_id
from tests.crash.checks import (
    Pair,
    each_once_in_order,
    first_appearances_in_order,
    nothing_unpublished,
    outbox_is_in_the_topic,
    size,
)
from tests.fixtures.messaging import a_change, emit, read_topic, until

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


async def test_an_id_that_commits_late_is_sent_though_higher_ones_were_stamped(pair: Pair) -> None:
    slow, quick = new_id(), new_id()
    late_seconds = size(1, 5)
    async with pair.relay(), pair.consumer():
        for _ in range(size(2, 5)):
            async with pair.sender.unit_of_work() as uow:
                await uow.lock_case(slow, create=True)
                uow.emit(a_change(slow))
                await uow.flush()
                for _ in range(5):
                    await emit(pair.sender, quick)
                await until(lambda: nothing_unpublished(pair.sender))
                await asyncio.sleep(late_seconds)
        await until(lambda: nothing_unpublished(pair.sender))
        await pair.level()

    rows = await pair.sender.pool.fetch("SELECT key FROM outbox ORDER BY id LIMIT 2")
    assert [row["key"] for row in rows] == [str(slow), str(quick)]
    records = await read_topic(pair.kafka, pair.topic)
    first_appearances_in_order(records)
    await outbox_is_in_the_topic(pair.sender, records)
    wanted = size(2, 5)
    await each_once_in_order(pair.hearer, {slow: wanted, quick: 5 * wanted})
