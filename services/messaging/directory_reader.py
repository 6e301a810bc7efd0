"""The directory reader: the compacted topic ``directory`` into this service's copy of it."""

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from services.messaging import kafka
from services.messaging.group import Positions
from services.messaging.transaction import transaction
from services.messaging.waiting import pause

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
PARTITION: Final = 0
REFRESH_SECONDS: Final = 30.0


class DirectoryReader:
    """Every work process reads for itself; the table keeps the highest version of each key."""

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.place = TopicPartition(kafka.DIRECTORY, PARTITION)
        self.positions = Positions(f"{runtime.service.name}.directory", runtime.settings.generation)

    async def run(self, stop: asyncio.Event) -> None:
        """Read from the position row, or from the beginning; keep table and memory current."""
        name = f"{self.positions.consumer}.{self.runtime.settings.instance}"
        client = kafka.new_consumer(self.runtime.settings, name)
        try:
            await asyncio.wait_for(client.start(), 30)
            client.assign([self.place])
            await self._seek(client)
            refresh_at = time.monotonic() + REFRESH_SECONDS
            while not stop.is_set():
                try:
                    batch = await client.getmany(self.place, timeout_ms=500, max_records=500)
                except OffsetOutOfRangeError:
                    await self._from_the_beginning(client)
                    continue
                if records := batch.get(self.place):
                    await self.take(records)
                elif time.monotonic() > refresh_at:
                    refresh_at = time.monotonic() + REFRESH_SECONDS
                    await self.runtime.refresh_directory()
        finally:
            await kafka.close(client)

    async def _seek(self, client: AIOKafkaConsumer) -> None:
        known = await self.positions.read(self.runtime.pool, kafka.DIRECTORY)
        if PARTITION in known:
            client.seek(self.place, known[PARTITION])
        else:
            await self._from_the_beginning(client)

    async def _from_the_beginning(self, client: AIOKafkaConsumer) -> None:
        """Compaction makes this cheap, and versions make it harmless."""
        offset = (await client.beginning_offsets([self.place]))[self.place]
        await self.positions.start(self.runtime.pool, kafka.DIRECTORY, PARTITION, offset)
        client.seek(self.place, offset)

    async def take(self, records: list[Any]) -> None:
        """Keep the highest version of each key; a record without one is counted and left out."""
        newest: dict[str, tuple[int, dict[str, Any] | None]] = {}
        for record in records:
            entry = _entry(record.key, record.value)
            if entry is None:
                log.error("directory record cannot be read", offset=record.offset)
                continue
            key, version, value = entry
            if value is None:
                version = max(version, newest.get(key, (0, None))[0])
            if version >= newest.get(key, (0, None))[0]:
                newest[key] = (version, value)
        await self._write(newest, records[-1].offset + 1)
        for key, (version, value) in newest.items():
            if value is None:
                version = self.runtime.directory.versions.get(key, 0)
            self.runtime.directory.put(key, version, value)
        self.runtime.directory_changed()

    async def _write(
        self, newest: dict[str, tuple[int, dict[str, Any] | None]], next_offset: int
    ) -> None:
        """Table and position in one transaction. A tombstone beats every version before it."""
        values = {key: entry for key, entry in newest.items() if entry[1] is not None}
        gone = [key for key, entry in newest.items() if entry[1] is None]
        async with transaction(self.runtime) as (db, _):
            await db.execute(
                """INSERT INTO directory_entry AS d (key, version, value, updated_at)
                   SELECT key, version, value::jsonb, clock_timestamp()
                   FROM unnest($1::text[], $2::bigint[], $3::text[]) AS t(key, version, value)
                   ORDER BY key
                   ON CONFLICT (key) DO UPDATE SET version = excluded.version,
                     value = excluded.value, updated_at = excluded.updated_at
                   WHERE excluded.version > d.version""",
                list(values),
                [version for version, _ in values.values()],
                [json.dumps(value) for _, value in values.values()],
            )
            await db.execute(
                """UPDATE directory_entry SET value = NULL, updated_at = clock_timestamp()
                   WHERE key = ANY($1::text[]) AND value IS NOT NULL""",
                sorted(gone),
            )
            await db.execute(
                """UPDATE position SET next_offset = greatest(next_offset, $4),
                     updated_at = clock_timestamp()
                   WHERE consumer = $1 AND topic = $2 AND generation = $3 AND partition = 0""",
                self.positions.consumer,
                kafka.DIRECTORY,
                self.positions.generation,
                next_offset,
            )


def _entry(key: bytes | None, data: bytes | None) -> tuple[str, int, dict[str, Any] | None] | None:
    """Key, version and value of a record; a tombstone has no value; nothing when unreadable."""
    try:
        name = (key or b"").decode()
        if ":" not in name:
            return None
        if data is None:
            return name, 0, None
        value = orjson.loads(data)
        return name, int(value["version"]), value
    except (ValueError, KeyError, TypeError):
        return None


async def read_directory(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Run the reader; come back after every failure of the broker."""
    wait_seconds = 0.2
    while not stop.is_set():
        try:
            await DirectoryReader(runtime).run(stop)
        except kafka.AWAY as error:
            log.warning("directory reader starts again", code=type(error).__name__)
            await pause(stop, wait_seconds)
            wait_seconds = min(wait_seconds * 2, 3)
