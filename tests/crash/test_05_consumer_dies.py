"""A consumer dies at each place, for every subscription of the four services: one effect."""

from itertools import cycle, product

import pytest

from services.ids import new_id
from services.messaging.relay import run_relay
from services.service import NAMES
from tests.crash.checks import size
from tests.crash.contents import assert_same, contents
from tests.crash.mortals import a_mortal, assert_parked_nothing, lives, two_undisturbed
from tests.crash.part import ended, start
from tests.fixtures.messaging import (
    a_runtime,
    a_service,
    effects,
    emit,
    running,
    until,
)

PLACES = (
    "consumer.before_lock",
    "consumer.after_lock",
    "consumer.after_effect",
    "consumer.after_emit",
    "consumer.after_inbox",
    "consumer.before_commit",
    "consumer.after_commit",
)
BATCH = 12


@pytest.mark.postgres
@pytest.mark.parametrize("name", NAMES)
async def test_every_subscription_has_one_effect_wherever_its_consumer_dies(
    postgres_server, folder, known, name
):
    cases = lives(name)
    once, twin = await two_undisturbed(known, postgres_server, name, folder)

    async with a_mortal(postgres_server, name, folder) as (mortal, database):
        for records, copy in cases:
            await mortal.take(records[:-1])
            for place in PLACES:
                for _ in range(size(1, 3)):
                    await mortal.die(records[-1:], place)
            await mortal.take(records[-1:])
            await mortal.take([copy])
        await assert_parked_nothing(mortal)
        assert_same(await contents(database.superuser_url), once, twin)

    for place in ("before_lock", "after_lock", "after_inbox", "before_commit", "after_commit"):
        assert mortal.died[f"consumer.{place}"] >= len(cases)
    assert mortal.died["consumer.after_effect"] >= len(cases) / 2


@pytest.mark.postgres
@pytest.mark.parametrize("name", NAMES)
async def test_a_batch_has_one_effect_whether_its_first_second_or_third_record_is_fatal(
    postgres_server, folder, known, name
):
    cases = lives(name)
    once, twin = await two_undisturbed(known, postgres_server, name, folder)
    stream = [record for records, copy in cases for record in (*records, copy)]

    async with a_mortal(postgres_server, name, folder) as (mortal, database):
        deaths = cycle((place, hit) for hit in (1, 2, 3) for place in PLACES)
        for first in range(0, len(stream), BATCH):
            batch = stream[first : first + BATCH]
            for _ in range(size(3, 21)):
                if not await mortal.die(batch, *next(deaths)):
                    break  # it is done: the next death wants the next batch
            await mortal.take(batch)
        await assert_parked_nothing(mortal)
        assert_same(await contents(database.superuser_url), once, twin)

    assert set(mortal.died) == set(PLACES)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_real_process_that_ends_at_each_place_has_one_effect(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic(3)
    cases = [new_id() for _ in range(5)]
    hits = range(1, size(1, 3) + 1)
    async with (
        a_runtime(
            postgres_server, kafka_server, service=a_service("intake"), topic=topic
        ) as sender,
        a_runtime(postgres_server, kafka_server, topic=topic, instance=topic) as hearer,
        running(lambda stop: run_relay(sender, stop)),
    ):
        for place, hit in product(PLACES, hits):
            for case_id in cases * hit:
                await emit(sender, case_id)
            assert await ended(start("cases", hearer, fail=f"{place}:{hit}")) == 137
        await sender.pool.execute("UPDATE outbox SET published_at = NULL")  # all of it once more
        survivor = start("cases", hearer)
        each = sum(hits) * len(PLACES)
        await until(lambda: consumed(hearer, 2 * each * len(cases)), 120)
        survivor.kill()
        await ended(survivor)

        for case_id in cases:
            assert await effects(hearer, case_id) == list(range(1, each + 1))


async def consumed(runtime, records):
    """Whether the positions stand behind that many records."""
    total = await runtime.pool.fetchval("SELECT sum(next_offset) FROM position")
    return (total or 0) >= records
