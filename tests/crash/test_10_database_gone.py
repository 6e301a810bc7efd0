"""Backends end between statements, the server stops at once, a database is an earlier copy."""

import asyncio
import contextlib
from collections import Counter
from uuid import UUID

import asyncpg
import pytest

from services.errors import Unavailable
from services.ids import new_id
from services.messaging import failpoints, recovery
from services.messaging.relay import run_relay
from services.runtime import Runtime
from tests.crash.checks import (
    Pair,
    a_pair,
    each_once_in_order,
    first_appearances_in_order,
    nothing_unpublished,
    outbox_is_in_the_topic,
    size,
    terminate_backends,
)
from tests.fixtures.messaging import (
    a_runtime,
    a_service,
    consuming,
    emit,
    read_topic,
    running,
    until,
)
from tests.fixtures.servers import KafkaServer, PostgresServer, a_postgres

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
# Where the server stops under somebody: who emits, who relays, who handles.
STOPS = (
    "unit_of_work.before_commit",
    "relay.after_ack",
    "consumer.after_effect",
    "consumer.before_commit",
)


async def try_to_emit(pair: Pair, acknowledged: Counter[UUID], case_id: UUID) -> None:
    """Emit and count what was acknowledged."""
    with contextlib.suppress(*GONE):
        await emit(pair.sender, case_id)
        acknowledged[case_id] += 1


async def test_backends_that_end_in_the_middle_lose_and_double_nothing(
    pair: Pair, postgres_server: PostgresServer
) -> None:
    cases = [new_id() for _ in range(6)]
    names = [
        await runtime.pool.fetchval("SELECT current_database()")
        for runtime in (pair.sender, pair.hearer)
    ]
    acknowledged: Counter[UUID] = Counter()
    async with pair.relay(), pair.consumer():
        for _ in range(size(4, 40)):
            for case_id in cases:
                await try_to_emit(pair, acknowledged, case_id)
            for name in names:
                await terminate_backends(postgres_server.server.url(), name)
        await until(lambda: nothing_unpublished_again(pair.sender), 60)
        await pair.level()
    await nothing_lost_or_doubled(pair, acknowledged)


@pytest.mark.timeout(600)
async def test_a_server_that_stops_at_once_in_a_batch_loses_and_doubles_nothing(
    kafka_server: KafkaServer,
) -> None:
    cases = [new_id() for _ in range(6)]
    acknowledged: Counter[UUID] = Counter()
    with a_postgres() as own:
        async with a_pair(own, kafka_server) as pair, pair.relay(), pair.consumer():
            for place in STOPS * size(1, 10):
                for case_id in cases:
                    await emit(pair.sender, case_id)
                    acknowledged[case_id] += 1
                failpoints.arm(place, 2, own.stop_at_once)
                while own.process.poll() is None:
                    await try_to_emit(pair, acknowledged, cases[acknowledged.total() % len(cases)])
                assert not failpoints.armed(), place
                await asyncio.to_thread(own.start_again)
                await until(lambda: nothing_unpublished_again(pair.sender), 60)
            await pair.level()
            await nothing_lost_or_doubled(pair, acknowledged)


async def nothing_lost_or_doubled(pair: Pair, acknowledged: Counter[UUID]) -> None:
    """What was acknowledged is written, what is written is in the topic and had one effect."""
    rows = await pair.sender.pool.fetch("SELECT key, count(*) AS n FROM outbox GROUP BY key")
    written = {UUID(row["key"]): row["n"] for row in rows}
    assert acknowledged <= Counter(written)
    records = await read_topic(pair.kafka, pair.topic)
    first_appearances_in_order(records)
    await outbox_is_in_the_topic(pair.sender, records)
    await each_once_in_order(pair.hearer, written)


async def nothing_unpublished_again(runtime: Runtime) -> bool:
    try:
        return await nothing_unpublished(runtime)
    except GONE:
        return False


async def test_after_a_restore_nothing_is_written_before_recover_and_no_sequence_twice(
    postgres_server: PostgresServer, kafka_server: KafkaServer
) -> None:
    topic = kafka_server.fresh_topic(4)
    cases = [new_id() for _ in range(size(5, 50))]
    service = a_service("intake")
    async with a_runtime(postgres_server, kafka_server, service=service, topic=topic) as sender:
        for case_id in cases:
            await emit(sender, case_id, 3)
        await published(sender)
        name = await sender.pool.fetchval("SELECT current_database()")
        await sender.pool.close()
        earlier = await postgres_server._copy("intake", name, "earlier")
        sender.pool = (await Runtime.open(service, sender.settings)).pool
        for case_id in [*cases[::2], new_id()]:
            await emit(sender, case_id, 4)
        await published(sender)
        await sender.pool.close()

        settings = sender.settings.model_copy(update={"database_url": secret(earlier.url)})
        restored = await Runtime.open(service, settings)
        checked = asyncio.Event()
        async with running(lambda stop: recovery.guard(restored, stop, checked)):
            await until(lambda: recovery.needs_recovery(restored.pool))
            for case_id in cases:
                with pytest.raises(Unavailable):
                    await emit(restored, case_id)
            assert not checked.is_set()
            done = await recovery.recover(restored)
            await until(checked.is_set)
        assert done["conflicts"] == 0
        for case_id in cases:
            await emit(restored, case_id, 2)
        await published(restored)

        records = await read_topic(kafka_server, topic)
        assert first_appearances_in_order(records) == {}
        await outbox_is_in_the_topic(restored, records)
        async with (
            a_runtime(postgres_server, kafka_server, topic=topic, instance=topic) as hearer,
            consuming(hearer),
        ):
            await Pair(restored, hearer, kafka_server, topic).level()
            for number, case_id in enumerate(cases):
                found = await hearer.pool.fetchval(
                    "SELECT max(sequence) FROM effect WHERE case_id = $1", case_id
                )
                assert found == (9 if number % 2 == 0 else 5)
            assert await hearer.pool.fetchval("SELECT count(*) FROM parked_case") == 0
        await restored.close()
        await postgres_server.drop(earlier)


def secret(text: str) -> object:
    from pydantic import SecretStr

    return SecretStr(text)


async def published(runtime: Runtime) -> None:
    async with running(lambda stop: run_relay(runtime, stop)):
        await until(lambda: nothing_unpublished(runtime), 60)
