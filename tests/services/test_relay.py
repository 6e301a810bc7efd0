"""The relay on a real PostgreSQL and a real Kafka: nothing lost, nothing out of order."""

import asyncio

import pytest

from services.ids import new_id
from services.messaging import failpoints
from services.messaging.relay import Relay, run_relay
from tests.fixtures.messaging import (
    Crash,
    a_change,
    a_runtime,
    a_service,
    another_process,
    crash,
    emit,
    read_topic,
    running,
    until,
)

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


async def unpublished(runtime):
    return await runtime.pool.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL")


def sequences(records, case_id):
    wanted = str(case_id).encode()
    return [int(dict(r.headers)["ce_sequence"]) for r in records if r.key == wanted]


def first_appearances(numbers):
    return list(dict.fromkeys(numbers))


async def test_every_event_reaches_the_topic_in_order_and_is_stamped(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic()
    cases = [new_id() for _ in range(5)]
    async with a_runtime(postgres_server, kafka_server, topic=topic) as runtime:
        for _ in range(4):
            for case_id in cases:
                await emit(runtime, case_id)

        async with running(lambda stop: run_relay(runtime, stop)):
            await until(lambda: unpublished_is(runtime, 0))

        records = await read_topic(kafka_server, topic)
        assert all(sequences(records, case_id) == [1, 2, 3, 4] for case_id in cases)
        places = {
            dict(r.headers)["ce_id"].decode(): (r.partition, r.offset, r.key) for r in records
        }
        for row in await runtime.pool.fetch("SELECT * FROM outbox"):
            place = (row["partition"], row["offset"], row["key"].encode())
            assert places[str(row["event_id"])] == place


async def unpublished_is(runtime, count):
    return await unpublished(runtime) == count


@pytest.mark.parametrize("place", ["relay.after_select", "relay.after_send", "relay.after_ack"])
async def test_a_relay_that_dies_before_the_stamp_sends_again_and_loses_nothing(
    postgres_server, kafka_server, place
):
    topic = kafka_server.fresh_topic()
    case_id = new_id()
    async with a_runtime(postgres_server, kafka_server, topic=topic) as runtime:
        await emit(runtime, case_id, 5)
        failpoints.arm(place, 1, crash)
        with pytest.raises(Crash):
            await Relay(runtime).run(asyncio.Event())

        await emit(runtime, case_id, 2)
        async with running(lambda stop: run_relay(runtime, stop)):
            await until(lambda: unpublished_is(runtime, 0))

        found = sequences(await read_topic(kafka_server, topic), case_id)
        assert first_appearances(found) == [1, 2, 3, 4, 5, 6, 7]
        stamps = await runtime.pool.fetch('SELECT "offset" FROM outbox ORDER BY id')
        offsets = [row["offset"] for row in stamps]
        assert offsets == sorted(set(offsets))


async def test_two_relays_at_once_keep_first_appearances_in_order(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic(4)
    cases = [new_id() for _ in range(3)]
    async with a_runtime(postgres_server, kafka_server, topic=topic) as runtime:
        other = await another_process(runtime)
        first, second = Relay(runtime), Relay(other)
        for relay in (first, second):  # a frozen leader that woke up believes it still leads

            async def renew():
                return True

            relay.lease.renew = renew
        try:
            for _ in range(10):
                for case_id in cases:
                    await emit(runtime, case_id)
                await asyncio.gather(first.step(), second.step())
            await until(lambda: unpublished_is(runtime, 0))
        finally:
            await first._drop_producer()
            await second._drop_producer()
            await other.close()

        records = await read_topic(kafka_server, topic)
        for case_id in cases:
            assert first_appearances(sequences(records, case_id)) == list(range(1, 11))


async def test_only_one_relay_holds_the_lease_and_another_takes_over(postgres_server, kafka_server):
    async with a_runtime(postgres_server, kafka_server) as runtime:
        other = await another_process(runtime)
        first, second = Relay(runtime), Relay(other)

        assert await first.lease.renew()
        assert not await second.lease.renew()
        await runtime.pool.execute("UPDATE lease SET expires_at = now() - interval '1 second'")
        assert await second.lease.renew()
        first.lease._renew_at = 0
        assert not await first.lease.renew()
        await other.close()


async def test_a_lower_id_that_commits_later_is_not_skipped(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic()
    slow, quick = new_id(), new_id()
    async with (
        a_runtime(postgres_server, kafka_server, topic=topic) as runtime,
        running(lambda stop: run_relay(runtime, stop)),
    ):
        async with runtime.unit_of_work() as uow:
            await uow.lock_case(slow, create=True)
            uow.emit(a_change(slow))
            await uow.flush()
            await emit(runtime, quick)
            await until(lambda: published(runtime, quick))

        await until(lambda: published(runtime, slow))
        ids = await runtime.pool.fetch("SELECT key FROM outbox ORDER BY id")
        assert [row["key"] for row in ids] == [str(slow), str(quick)]


async def published(runtime, case_id):
    return await runtime.pool.fetchval(
        "SELECT count(*) FROM outbox WHERE key = $1 AND published_at IS NOT NULL", str(case_id)
    )


async def test_a_refused_record_holds_its_case_and_nothing_else(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic(1)
    big, small = new_id(), new_id()
    async with a_runtime(postgres_server, kafka_server, topic=topic) as runtime:
        await emit(runtime, big)
        await emit(runtime, small)
        await emit(runtime, big)
        await runtime.pool.execute(
            "UPDATE outbox SET data = convert_to(repeat('x', 300000), 'UTF8') WHERE id = 1"
        )

        async with running(lambda stop: run_relay(runtime, stop)):
            await until(lambda: published(runtime, small))
            await emit(runtime, small)
            await until(lambda: unpublished_is(runtime, 2))

        held = await runtime.pool.fetch(
            "SELECT key, held_reason FROM outbox WHERE published_at IS NULL ORDER BY id"
        )
        assert [row["key"] for row in held] == [str(big)] * 2
        assert held[0]["held_reason"] is not None


async def test_what_the_broker_alone_refuses_is_held_too(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic(1)
    big, small = new_id(), new_id()
    async with a_runtime(postgres_server, kafka_server, topic=topic) as runtime:
        await emit(runtime, big)
        await emit(runtime, small)
        noise = "SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 5500)"
        await runtime.pool.execute(
            f"UPDATE outbox SET data = convert_to(({noise}), 'UTF8') WHERE id = 1"
        )

        async with running(lambda stop: run_relay(runtime, stop)):
            held = "SELECT held_reason FROM outbox WHERE id = 1"
            await until(lambda: runtime.pool.fetchval(held))
            await emit(runtime, small)
            await until(lambda: unpublished_is(runtime, 1))

        reason = await runtime.pool.fetchval("SELECT held_reason FROM outbox WHERE id = 1")
        assert reason == "MessageSizeTooLargeError"


async def test_rows_of_a_missing_topic_wait_and_the_others_go(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic()
    case_id, lost = new_id(), new_id()
    async with a_runtime(postgres_server, kafka_server, topic=topic) as runtime:
        await emit(runtime, lost)
        await runtime.pool.execute("UPDATE outbox SET topic = 'agency.nobody-here.out'")
        await emit(runtime, case_id)

        async with running(lambda stop: run_relay(runtime, stop)):
            await until(lambda: published(runtime, case_id))

        assert not await published(runtime, lost)


async def test_the_relay_waits_for_an_absent_kafka(postgres_server):
    async with a_runtime(postgres_server, service=a_service()) as runtime:
        await emit(runtime, new_id())
        async with running(lambda stop: run_relay(runtime, stop)) as task:
            await asyncio.sleep(1)
            assert not task.done()
        assert await unpublished(runtime) == 1
