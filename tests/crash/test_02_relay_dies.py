"""The relay dies wherever it can: nothing is lost, first appearances stay in order."""

import asyncio

import asyncpg
import pytest

from services.ids import new_id
from services.messaging import failpoints
from services.messaging.relay import Relay
from tests.crash.checks import (
    Pair,
    each_once_in_order,
    first_appearances_in_order,
    nothing_unpublished,
    outbox_is_in_the_topic,
    size,
)
from tests.fixtures.messaging import Crash, crash, emit, read_topic, until

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
PLACES = {
    "after reading": ("relay.after_select", 1),
    "after half the sends": ("relay.in_sends", 2),
    "after all acknowledgements": ("relay.after_ack", 1),
    "after the stamp": ("relay.after_stamp", 1),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_relay_that_dies_loses_nothing_and_changes_no_order(pair: Pair, place: str) -> None:
    cases = [new_id() for _ in range(8)]
    rounds = size(2, 20)
    for number in range(rounds):
        for _ in range(3):
            for case_id in cases:
                await emit(pair.sender, case_id)
        failpoints.arm(*PLACES[place], action=crash)
        with pytest.raises(Crash):
            await Relay(pair.sender).run(asyncio.Event())
        assert not failpoints.armed(), number
    await pair.publish()

    records = await read_topic(pair.kafka, pair.topic)
    first_appearances_in_order(records)
    await outbox_is_in_the_topic(pair.sender, records)
    async with pair.consumer():
        await pair.level()
    await each_once_in_order(pair.hearer, dict.fromkeys(cases, 3 * rounds))


async def waits_in_the_stamp(pair: Pair) -> bool:
    return bool(
        await pair.sender.pool.fetchval(
            """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
               AND datname = current_database()
               AND query LIKE 'UPDATE outbox o SET published_at%'"""
        )
    )


async def test_a_relay_whose_connection_is_cut_during_the_stamp_sends_again(pair: Pair) -> None:
    case_id = new_id()
    await emit(pair.sender, case_id, 20)
    url = pair.sender.settings.database_url.get_secret_value()
    other = await asyncpg.connect(url)
    lock = other.transaction()
    await lock.start()
    await other.execute("SELECT 1 FROM outbox WHERE sequence = 10 FOR UPDATE")
    relay = Relay(pair.sender)
    step = asyncio.create_task(relay.step())
    await until(lambda: waits_in_the_stamp(pair))
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    await relay._drop_producer()
    await lock.rollback()
    await other.close()
    assert not await nothing_unpublished(pair.sender)

    await pair.publish()

    records = await read_topic(pair.kafka, pair.topic)
    copies = first_appearances_in_order(records)
    assert sum(copies.values()) == 20
    await outbox_is_in_the_topic(pair.sender, records)
    async with pair.consumer():
        await pair.level()
    await each_once_in_order(pair.hearer, {case_id: 20})
