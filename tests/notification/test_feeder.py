from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from notification import restore
from notification.feed import Feeder
from notification.settings import NotificationSettings
from notification.wiring import NOTIFICATION
from services.messaging import failpoints, recovery
from services.runtime import Runtime
from tests.fixtures.servers import KafkaServer, PostgresServer
from tests.notification.builders import COURT, a_referral, a_registration, joined
from tests.notification.conftest import Case, fill_directory

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


@pytest.fixture
async def fed(
    postgres_server: PostgresServer, kafka_server: KafkaServer, tmp_path: Path
) -> AsyncIterator[Runtime]:
    """A process of notification with a real Kafka; one new connection, for one test."""
    database = await postgres_server.fresh_database("notification")
    settings = NotificationSettings(
        database_url=SecretStr(database.url),
        kafka_bootstrap_servers=kafka_server.bootstrap,
        kafka_user="svc-notification",
        kafka_password=SecretStr(kafka_server.passwords["svc-notification"]),
        spool_dir=tmp_path,
        keys_dir=tmp_path,
    )
    runtime = await Runtime.open(NOTIFICATION, settings)
    fill_directory(runtime)
    name = f"o-feeder-{next(kafka_server.numbers)}"
    kafka_server.ensure_connection(name)
    for other in ("o-court", "o-police"):
        runtime.directory.put(f"connection:{other}", 2, {"organisations": [], "kafka": False})
    runtime.directory.put(f"connection:{name}", 1, {"organisations": [COURT], "kafka": True})
    runtime.state["name"] = name
    try:
        yield runtime
    finally:
        failpoints.disarm()
        await runtime.close()
        await postgres_server.drop(database)


async def _read(kafka: KafkaServer, name: str) -> list[Any]:
    consumer = AIOKafkaConsumer(**kafka.client(name), enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(f"agency.{name}.out", 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        records: list[Any] = []
        while await consumer.position(place) < end:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records.extend(batch)
        return records
    finally:
        await consumer.stop()


async def _hear(runtime: Runtime) -> list[Any]:
    case = Case(runtime)
    events = (a_referral(case.case_id), a_registration(case.case_id))
    joining = joined(case.case_id, COURT, "source")
    return [await case.hear(event) for event in (*events, joining)]


def _numbers(records: list[Any]) -> list[str]:
    return [dict(r.headers)["ld-feed-sequence"].decode() for r in records]


async def test_the_topic_mirrors_the_feed_with_the_same_numbers(
    fed: Runtime, kafka_server: KafkaServer
) -> None:
    case_id = (await _hear(fed))[0].case_id
    feeder = Feeder(fed)

    assert await feeder.step() == 4
    assert await feeder.step() == 0
    await feeder.close()

    records = await _read(kafka_server, fed.state["name"])
    assert _numbers(records) == [f"{n:010d}" for n in range(1, 5)]
    assert {r.key.decode() for r in records} == {str(case_id)}
    headers = {k: v.decode() for k, v in records[0].headers}
    assert headers["ce_type"] == "liandiao.referral.received.v1"
    assert headers["ce_sequence"] == "0000000001"
    assert headers["ld-reference"] == "(2026)沪0105民诉前调1号"
    assert headers["ld-read-after"] == "intake=0000000001"
    assert b'"reference"' in records[0].value


class Crash(BaseException):
    """The process ends here."""


def _crash() -> None:
    raise Crash


async def test_a_crash_before_the_stamp_repeats_entries_under_their_numbers(
    fed: Runtime, kafka_server: KafkaServer
) -> None:
    await _hear(fed)
    failpoints.arm("feeder.after_ack", 1, _crash)
    first = Feeder(fed)
    with pytest.raises(Crash):
        await first.step()
    await first.close()

    second = Feeder(fed)
    await second.step()
    await _hear(fed)
    await second.step()
    await second.close()

    numbers = _numbers(await _read(kafka_server, fed.state["name"]))
    once = list(dict.fromkeys(numbers))
    assert once == [f"{n:010d}" for n in range(1, 9)]
    assert len(numbers) == 12


async def test_a_connection_without_a_topic_does_not_hold_up_the_others(
    fed: Runtime, kafka_server: KafkaServer
) -> None:
    fed.directory.put("connection:o-nowhere", 1, {"organisations": [COURT], "kafka": True})
    await _hear(fed)
    feeder = Feeder(fed)

    assert await feeder.step() == 4
    await feeder.close()
    assert len(await _read(kafka_server, fed.state["name"])) == 4


# -- after a restore ----------------------------------------------------------------------------


async def _mirror(runtime: Runtime) -> None:
    feeder = Feeder(runtime)
    try:
        while await feeder.step():
            pass
    finally:
        await feeder.close()


async def test_numbers_that_were_published_come_back_with_their_events(
    fed: Runtime, kafka_server: KafkaServer, postgres_server: PostgresServer
) -> None:
    name = fed.state["name"]
    await _hear(fed)
    await _mirror(fed)
    database = await fed.pool.fetchval("SELECT current_database()")
    await fed.pool.close()
    backup = await postgres_server._copy("notification", database, "backup")
    fed.pool = (await Runtime.open(NOTIFICATION, fed.settings)).pool
    lost = await _hear(fed)
    await _mirror(fed)
    await fed.pool.close()

    settings = fed.settings.model_copy(update={"database_url": SecretStr(backup.url)})
    restored = await Runtime.open(NOTIFICATION, settings)
    for key, entry in fed.directory.all("connection").items():
        restored.directory.put(f"connection:{key}", 1, entry)
    try:
        assert await recovery.check(restored) == 4
        done = await recovery.recover(restored)
        assert done["told_elsewhere"] == 4
        assert await restore.missing(restored) == 0
        again = Case(restored)
        for received in lost:
            await again.again(received)
        await _hear(restored)
        await _mirror(restored)

        rows = await restored.pool.fetch(
            "SELECT feed_sequence, event_id FROM feed_entry WHERE connection = $1 ORDER BY 1", name
        )
        assert [row["feed_sequence"] for row in rows] == list(range(1, 13))
        read = [dict(record.headers) for record in await _read(kafka_server, name)]
        assert [(int(h["ld-feed-sequence"]), h["ce_id"].decode()) for h in read] == [
            (row["feed_sequence"], str(row["event_id"])) for row in rows
        ]
    finally:
        await restored.close()
        await postgres_server.drop(backup)
