"""After a restore: feed numbers that were read from ``agency.<connection>.out`` are never reused.

A connection without Kafka has no copy of its feed outside the database. Its readers learn of a
restore when their number lies behind the feed's end (``GET /v1/feeds/{connection}`` answers 410).
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from notification import repository
from notification.repository import Published
from notification.rules import structured
from services.clock import read
from services.messaging import kafka
from services.messaging.kafka import Incoming
from services.messaging.transaction import transaction

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
# An entry is mirrored after it was recorded, by another clock at worst.
MARGIN: Final = timedelta(minutes=1)


async def missing(runtime: "Runtime") -> int:
    """How many entries stand in the topics under numbers that this database has not given."""
    return len(await _beyond(runtime))


async def adopt(runtime: "Runtime") -> int:
    """Take those entries back under their numbers; hearing their events again adds none.

    Raises ``RuntimeError`` when a number between them is missing: then the topic is not this
    feed's.
    """
    entries = await _beyond(runtime)
    async with transaction(runtime) as (db, _):
        for entry in entries:
            await repository.take_back(db, entry)
    for connection in sorted({entry.connection for entry in entries}):
        log.warning("feed entries taken back", connection=connection)
    return len(entries)


async def _beyond(runtime: "Runtime") -> list[Published]:
    connections = runtime.directory.kafka_connections()
    heads = await repository.heads(runtime.pool, connections)
    since = await repository.newest_entry_at(runtime.pool)
    found: dict[tuple[str, int], Published] = {}
    client = kafka.new_consumer(runtime.settings, f"{runtime.service.name}.restore")
    try:
        await asyncio.wait_for(client.start(), 30)
        there = await kafka.partitions_there(client)
        places = {
            TopicPartition(topic, partition): name
            for name in connections
            for topic in (f"agency.{name}.out",)
            for partition in there.get(topic, ())
        }
        async for name, entry in _entries(client, places, since):
            if entry.feed_sequence > heads.get(name, 0):
                found[name, entry.feed_sequence] = entry
    finally:
        await kafka.close(client)
    return [found[key] for key in sorted(found)]


async def _entries(
    client: AIOKafkaConsumer, places: dict[TopicPartition, str], since: datetime | None
) -> AsyncIterator[tuple[str, Published]]:
    if not places:
        return
    ends = await asyncio.wait_for(client.end_offsets(list(places)), kafka.CALL_SECONDS)
    starts = await asyncio.wait_for(client.beginning_offsets(list(places)), kafka.CALL_SECONDS)
    if since is not None:
        at = int(1000 * (since - MARGIN).timestamp())
        later = await asyncio.wait_for(
            client.offsets_for_times(dict.fromkeys(places, at)), kafka.CALL_SECONDS
        )
        starts = {place: found.offset if found else ends[place] for place, found in later.items()}
    stretches = {place: (starts[place], ends[place]) for place in places}
    async for records in kafka.read_through(client, stretches):
        for record in records:
            name = places[TopicPartition(record.topic, record.partition)]
            yield name, _published(name, Incoming.of(record))


def _published(connection: str, record: Incoming) -> Published:
    headers: dict[str, Any] = {name: value for name, value in record.headers}
    return Published(
        connection=connection,
        feed_sequence=int(headers["ld-feed-sequence"]),
        event_id=UUID(headers["ce_id"]),
        case_id=UUID(record.key),
        episode=int(headers["ce_episode"]),
        type=headers["ce_type"],
        reference=headers.get("ld-reference"),
        read_after=headers["ld-read-after"],
        event=structured(headers, orjson.loads(record.data)),
        occurred_at=read(headers["ce_time"]),
        partition=record.partition,
        offset=record.offset,
    )
