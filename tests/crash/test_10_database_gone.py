"""Backends are ended between statements; a database comes back as an earlier copy of itself."""

import asyncio

import asyncpg
import pytest

from services.errors import Unavailable
from services.ids import new_id
from services.messaging import recovery
from services.messaging.consumer import consume_cases
from services.messaging.relay import run_relay
from services.runtime import Runtime
from tests.crash.checks import (
    Pair,
    each_once_in_order,
    first_appearances_in_order,
    nothing_unpublished,
    outbox_is_in_the_topic,
    size,
    terminate_backends,
)
from tests.fixtures.messaging import a_runtime, a_service, emit, read_topic, running, until
from tests.fixtures.servers import KafkaServer, PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


async def test_backends_that_end_in_the_middle_lose_and_double_nothing(
    pair: Pair, postgres_server: PostgresServer
) -> None:
    cases = [new_id() for _ in range(6)]
    names = [
        await runtime.pool.fetchval("SELECT current_database()")
        for runtime in (pair.sender, pair.hearer)
    ]
    acknowledged = dict.fromkeys(cases, 0)
    async with pair.relay(), pair.consumer():
        for _ in range(size(4, 40)):
            for case_id in cases:
                try:
                    await emit(pair.sender, case_id)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    continue
                acknowledged[case_id] += 1
            for name in names:
                await terminate_backends(postgres_server.server.url(), name)
        await until(lambda: nothing_unpublished_again(pair.sender), 60)
        await pair.level()

    rows = await pair.sender.pool.fetch("SELECT key, count(*) AS n FROM outbox GROUP BY key")
    written = {row["key"]: row["n"] for row in rows}
    assert all(written[str(case_id)] >= count for case_id, count in acknowledged.items() if count)
    records = await read_topic(pair.kafka, pair.topic)
    first_appearances_in_order(records)
    await outbox_is_in_the_topic(pair.sender, records)
    wanted = {case_id: written[str(case_id)] for case_id in cases if str(case_id) in written}
    await each_once_in_order(pair.hearer, wanted)


async def nothing_unpublished_again(runtime: Runtime) -> bool:
    try:
        return await nothing_unpublished(runtime)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
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
            running(lambda stop: consume_cases(hearer, stop)),
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
