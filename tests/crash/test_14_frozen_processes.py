"""Real processes are stopped with SIGSTOP, others take over, and then they go on."""

import asyncio
import os
import signal

import psutil
import pytest

from services.ids import new_id
from services.messaging.relay import run_relay
from tests.crash.checks import (
    LONG,
    each_once_in_order,
    first_appearances_in_order,
    nothing_unpublished,
    size,
)
from tests.crash.part import ended, frozen, start
from tests.fixtures.messaging import (
    a_runtime,
    a_service,
    consuming,
    effects,
    emit,
    read_topic,
    running,
    until,
)

pytestmark = [pytest.mark.postgres, pytest.mark.kafka, pytest.mark.long]
HOLDER = "SELECT holder FROM lease WHERE name = 'relay'"
# Before its transaction, and within it: with the position row locked, which its heir waits for.
PLACES = ("consumer.before_lock", "consumer.after_lock")


async def test_a_frozen_leader_that_wakes_up_late_brings_nothing_out_of_order(
    postgres_server, kafka_server
):
    topic = kafka_server.fresh_topic(4)
    cases = [new_id() for _ in range(size(4, 20))]
    each = size(5, 30)
    async with (
        a_runtime(
            postgres_server, kafka_server, service=a_service("intake"), topic=topic
        ) as sender,
        a_runtime(postgres_server, kafka_server, topic=topic, instance=topic) as hearer,
    ):
        for case_id in cases * each:
            await emit(sender, case_id)
        leader = start("relay", sender, fail="relay.after_send:1:freeze")
        await frozen(leader)
        frozen_as = await sender.pool.fetchval(HOLDER)

        async with (
            running(lambda stop: run_relay(sender, stop)),
            consuming(hearer),
        ):
            assert await sender.pool.fetchval(HOLDER) == frozen_as
            for case_id in cases * 2:  # newer events of the same cases
                await emit(sender, case_id)
            await until(lambda: nothing_unpublished(sender), 120)
            assert await sender.pool.fetchval(HOLDER) == sender.instance

            sent = len(await read_topic(kafka_server, topic))
            os.kill(leader.pid, signal.SIGCONT)
            await until(lambda: more_than(kafka_server, topic, sent), 120)
            for _ in range(size(15, 50)):
                await emit(sender, cases[0])
                assert await sender.pool.fetchval(HOLDER) == sender.instance
                await asyncio.sleep(0.2)
            wanted = dict.fromkeys(cases, each + 2)
            wanted[cases[0]] += size(15, 50)
            await until(lambda: heard(hearer, sum(wanted.values())), 120)
        leader.kill()
        await ended(leader)

        records = await read_topic(kafka_server, topic)
        assert len(records) > sum(wanted.values())  # the frozen one's copies did come
        first_appearances_in_order(records)
        await each_once_in_order(hearer, wanted)
        assert await hearer.pool.fetchval("SELECT count(*) FROM parked_case") == 0


@pytest.mark.parametrize("place", PLACES if LONG else PLACES[1:])
async def test_a_consumer_that_was_frozen_past_its_session_writes_nothing(
    postgres_server, kafka_server, place
):
    topic = kafka_server.fresh_topic(1)
    cases = [new_id() for _ in range(10)]
    further = size(300, 3000)
    async with (
        a_runtime(
            postgres_server, kafka_server, service=a_service("intake"), topic=topic
        ) as sender,
        a_runtime(postgres_server, kafka_server, topic=topic, instance=topic) as hearer,
        running(lambda stop: run_relay(sender, stop)),
    ):
        zombie = start("cases", hearer, fail=f"{place}:2:freeze", instance=f"{topic}.zombie")
        await emit(sender, cases[0])
        await until(lambda: heard(hearer, 1), 60)
        await emit(sender, cases[0])
        await frozen(zombie, 60)  # with the second record in its hands

        async with consuming(hearer):
            for case_id in cases * (further // len(cases)):
                await emit(sender, case_id)
            await until(lambda: heard(hearer, further + 2), 120)
        before = await written(hearer)  # nobody but the zombie is left

        waking = await hearer.pool.fetchval("SELECT clock_timestamp()")
        os.kill(zombie.pid, signal.SIGCONT)
        await until(lambda: it_looked(hearer, connections(zombie), waking), 60)
        await asyncio.sleep(size(2, 15))
        zombie.kill()
        await ended(zombie)

        assert await written(hearer) == before
        for case_id in cases:
            last = further // len(cases) + (2 if case_id == cases[0] else 0)
            assert await effects(hearer, case_id) == list(range(1, last + 1))


async def more_than(kafka, topic, count):
    return len(await read_topic(kafka, topic)) > count


async def heard(runtime, count):
    return len(await effects(runtime)) >= count


def connections(process):
    """The ports of the process's connections, by which the database knows it."""
    return [c.laddr.port for c in psutil.Process(process.pid).net_connections()]


async def it_looked(runtime, ports, before):
    """Whether the database heard from those connections after that instant."""
    return await runtime.pool.fetchval(
        """SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()
           AND client_port = ANY($1::int[]) AND query_start > $2""",
        ports,
        before,
    )


async def written(runtime):
    """Every row that a consumer writes, with the transaction that wrote it."""
    return [
        [
            tuple(row)
            for row in await runtime.pool.fetch(f"SELECT xmin::text, * FROM {table} ORDER BY 1, 2")
        ]
        for table in ("effect", "inbox", "position", "outbox", "parked_case", "parked_event")
    ]
