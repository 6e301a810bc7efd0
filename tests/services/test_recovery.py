"""After a restored database and after a lost Kafka: no sequence twice, no effect twice."""

import asyncio

import pytest

from services.errors import Unavailable
from services.ids import new_id
from services.messaging import recovery
from services.messaging.relay import run_relay
from tests.fixtures.messaging import (
    a_runtime,
    a_service,
    another_process,
    consuming,
    effects,
    emit,
    read_topic,
    running,
    until,
)

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


async def all_published(runtime):
    return await runtime.pool.fetchval("SELECT count(*) = 0 FROM outbox WHERE published_at IS NULL")


async def publish(runtime):
    async with running(lambda stop: run_relay(runtime, stop)):
        await until(lambda: all_published(runtime))


@pytest.fixture
async def sender(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic(4)
    async with a_runtime(
        postgres_server, kafka_server, service=a_service("intake"), topic=topic
    ) as made:
        yield made


async def forget(runtime, case_id, beyond):
    """What a restore to an older moment does to a case."""
    await runtime.pool.execute(
        "DELETE FROM outbox WHERE key = $1 AND sequence > $2", str(case_id), beyond
    )
    await runtime.pool.execute(
        "UPDATE case_stream SET last_sequence = $2 WHERE case_id = $1", case_id, beyond
    )


async def test_an_ordinary_start_finds_nothing_missing(sender):
    await emit(sender, new_id(), 5)
    await publish(sender)

    assert await recovery.check(sender) == 0
    assert not await recovery.needs_recovery(sender.pool)


async def test_a_restored_database_refuses_writes_until_recovered(sender, kafka_server):
    case_id, other = new_id(), new_id()
    await emit(sender, case_id, 5)
    await emit(sender, other, 2)
    await publish(sender)
    await forget(sender, case_id, 3)
    await forget(sender, other, 0)

    checked = asyncio.Event()
    async with running(lambda stop: recovery.guard(sender, stop, checked)):
        await until(lambda: recovery.needs_recovery(sender.pool))
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable):
            await emit(sender, case_id)
        assert not checked.is_set()

        done = await recovery.recover(sender)
        assert (done["adopted"], done["conflicts"]) == (4, 0)
        await until(checked.is_set)

    await emit(sender, case_id)
    await emit(sender, other)
    await publish(sender)
    records = await read_topic(kafka_server, sender.settings.cases_topic)
    for key, count in ((case_id, 6), (other, 3)):
        mine = [dict(r.headers)["ce_sequence"] for r in records if r.key == str(key).encode()]
        assert [int(text) for text in mine] == list(range(1, count + 1))


async def test_a_start_without_kafka_takes_writes_after_a_while(postgres_server):
    async with (
        a_runtime(postgres_server) as runtime,
        running(lambda stop: recovery.guard(runtime, stop, asyncio.Event())),
    ):
        await until(lambda: not runtime.writes_allowed)
        await until(lambda: runtime.writes_allowed, 30)
        await emit(runtime, new_id())


async def test_an_emptied_kafka_is_rebuilt_in_order_and_nothing_takes_effect_twice(
    sender, postgres_server, kafka_server
):
    first = sender.settings.cases_topic
    cases = [new_id() for _ in range(6)]
    async with (
        a_runtime(
            postgres_server, kafka_server, service=a_service("routing"), topic=first
        ) as second,
        a_runtime(postgres_server, kafka_server, topic=first, instance=first) as hearer,
    ):
        async with (
            running(lambda stop: run_relay(sender, stop)),
            running(lambda stop: run_relay(second, stop)),
        ):
            for _ in range(3):
                for case_id in cases:
                    await emit(sender, case_id)
                    await emit(second, case_id)
            await until(lambda: all_published(sender))
            await until(lambda: all_published(second))
        async with consuming(hearer):
            await until(lambda: heard(hearer, 36))
        before = [fact(r) for r in await read_topic(kafka_server, first)]

        fresh = kafka_server.fresh_topic(4)
        for runtime in (sender, second):
            await runtime.pool.execute("UPDATE outbox SET topic = $1", fresh)
        pools = {"intake": sender.pool, "routing": second.pool}
        assert await recovery.fill_topic(sender.settings, pools, topic=fresh) == 36

        assert [fact(r) for r in await read_topic(kafka_server, fresh)] == before
        moved = await another_process(hearer)
        moved.settings = hearer.settings.model_copy(
            update={"cases_topic": fresh, "generation": 2, "instance": fresh}
        )
        async with consuming(moved):
            await until(lambda: positions(moved, 36))
            assert len(await effects(hearer)) == 36
            sender.settings = sender.settings.model_copy(update={"cases_topic": fresh})
            await emit(sender, cases[0])
            await publish(sender)
            await until(lambda: heard(hearer, 37))
        await moved.close()

        with pytest.raises(RuntimeError, match="not empty"):
            await recovery.fill_topic(sender.settings, pools, topic=fresh)


@pytest.mark.parametrize("stamp", ["behind its effect", "none"])
async def test_a_cause_whose_first_copy_was_never_acknowledged_comes_before_its_effect(
    sender, postgres_server, kafka_server, stamp
):
    """The effect came over the API: only what its service had heard tells of the cause."""
    first, case_id = sender.settings.cases_topic, new_id()
    async with a_runtime(
        postgres_server, kafka_server, service=a_service("routing"), topic=first
    ) as second:
        async with consuming(second):
            await emit(sender, case_id, 3)
            await publish(sender)
            await until(lambda: heard(second, 3))
        await emit(second, case_id, 2)
        await publish(second)
        # What the relay knows when it died before the stamp: a later copy, or nothing yet.
        await sender.pool.execute(
            """UPDATE outbox SET "offset" = "offset" + 1000 WHERE sequence > 1"""
            if stamp == "behind its effect"
            else 'UPDATE outbox SET published_at = NULL, partition = NULL, "offset" = NULL'
        )
        fresh = kafka_server.fresh_topic(4)
        pools = {"intake": sender.pool, "routing": second.pool}
        for pool in pools.values():
            await pool.execute("UPDATE outbox SET topic = $1", fresh)

        assert await recovery.fill_topic(sender.settings, pools, topic=fresh) == 5

        told = [dict(record.headers) for record in await read_topic(kafka_server, fresh)]
        assert [(h["ce_source"], int(h["ce_sequence"])) for h in told] == [
            *((b"/intake", n) for n in (1, 2, 3)),
            *((b"/routing", n) for n in (1, 2)),
        ]
        assert await all_published(sender)


def fact(record):
    return record.partition, record.offset, record.key, record.headers, record.value


async def heard(runtime, count):
    return len(await effects(runtime)) == count


async def positions(runtime, total):
    return total == await runtime.pool.fetchval(
        "SELECT sum(next_offset) FROM position WHERE generation = $1", runtime.settings.generation
    )
