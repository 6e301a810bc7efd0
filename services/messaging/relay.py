"""The relay: outbox rows to Kafka, in order, by one process per service."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata

from services.messaging import kafka
from services.messaging.failpoints import failpoint
from services.messaging.lease import Lease
from services.messaging.waiting import pause, woken
from services.telemetry import EVENTS_PUBLISHED

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
BATCH: Final = 1_000
IDLE_SECONDS: Final = 0.2
ACK_SECONDS: Final = 20.0
TOPIC_SECONDS: Final = 3.0
MISSING_TOPIC_SECONDS: Final = 10.0
REPUBLISH_SECONDS: Final = 24 * 3600
# What the broker or the client says of a record that will never be taken.
REFUSED: Final = (MessageSizeTooLargeError, RecordListTooLargeError, ValueError, TypeError)


# An outbox row, its partition and its offset.
Place = tuple[int, int, int]


class Row(NamedTuple):
    """An outbox row on its way."""

    id: int
    topic: str
    key: str
    headers: list[list[str]]
    data: bytes | None


class Batch:
    """Rows of one partition in their order, as one record batch: one future for all of them."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.rows: list[Row] = []
        self.builder = producer.create_batch()

    def takes(self, row: Row) -> bool:
        """Add a row; false when the batch is full. Raises what the client says of a bad record."""
        if len(row.data or b"") > kafka.RECORD_BYTES:
            raise MessageSizeTooLargeError
        added = self.builder.append(
            timestamp=None,
            key=row.key.encode(),
            value=row.data,
            headers=kafka.headers_for_kafka(row.headers),
        )
        if added is not None:
            self.rows.append(row)
        return added is not None

    async def send(self, producer: AIOKafkaProducer) -> "asyncio.Future[RecordMetadata]":
        """Hand it to the client; the future tells where the first row stands."""
        future: asyncio.Future[RecordMetadata] = await producer.send_batch(
            self.builder, self.topic, partition=self.partition
        )
        return future

    def places(self, first: RecordMetadata) -> list[Place]:
        """Where each row stands."""
        return [
            (row.id, self.partition, first.offset + number) for number, row in enumerate(self.rows)
        ]


class Relay:
    """Reads unstamped rows in id order, never ``id > last``: a lower id may commit later.

    Each partition's rows go as one record batch, all batches are pipelined, and one statement
    stamps them. A second relay does no harm: first appearances stay in order, and consumers drop
    the copies.
    """

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.pool = runtime.pool
        self.lease = Lease(runtime, "relay")
        self._producer: AIOKafkaProducer | None = None
        self._missing: dict[str, float] = {}
        self._partitions: dict[str, int] = {}
        self._republish_at = 0.0
        self._careful = False
        # While Kafka acknowledges one batch, the next is read and the one before is stamped.
        self._ahead: asyncio.Task[list[Row]] | None = None
        self._stamping: asyncio.Task[int] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until told to stop; any failure of the producer makes a new one."""
        wait_seconds = 0.1
        try:
            while not stop.is_set():
                try:
                    if await self.step() or self._ahead:
                        wait_seconds = 0.1
                    else:
                        await woken(self.runtime.outbox_wakeup, IDLE_SECONDS)
                except kafka.AWAY as error:
                    log.warning("relay starts again", code=type(error).__name__)
                    self._careful = True
                    await self._drop_producer()
                    await pause(stop, wait_seconds)
                    wait_seconds = min(wait_seconds * 2, 3)
        finally:
            with contextlib.suppress(Exception):
                await self._settle()
            await self._drop_producer()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self.lease.release(), 2)

    async def step(self) -> int:
        """One round: renew the lease, send what is unstamped. Answers how many were stamped."""
        if not await self.lease.renew():
            await asyncio.sleep(IDLE_SECONDS)
            return await self._settle()
        if self.lease.taken_over:
            self._republish_at = 0.0
        producer = await self._running_producer()
        if time.monotonic() > self._republish_at:
            await self._republish_directory(producer)
        rows = await self._next_rows()
        failpoint("relay.after_select")
        if not rows:
            self._careful = False
            return await self._settle()
        if self._careful:
            await self._settle()
            await self._one_by_one(producer, rows)
            self._careful = False
            return len(rows)
        return await self._pipelined(producer, rows)

    async def _next_rows(self) -> list[Row]:
        ahead, self._ahead = self._ahead, None
        return await (ahead or self._unstamped())

    async def _settle(self) -> int:
        """Wait until the batch before is stamped."""
        stamping, self._stamping = self._stamping, None
        return await stamping if stamping else 0

    async def _running_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            settings = self.runtime.settings
            producer = kafka.new_producer(settings, f"{self.runtime.service.name}.relay")
            try:
                await asyncio.wait_for(producer.start(), kafka.CALL_SECONDS)
            except BaseException:
                await kafka.close(producer)
                raise
            self._producer = producer
        return self._producer

    async def _drop_producer(self) -> None:
        for task in (self._ahead, self._stamping):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._ahead = self._stamping = None
        producer, self._producer = self._producer, None
        await kafka.close(producer)

    async def _unstamped(self, in_flight: Sequence[int] = ()) -> list[Row]:
        """Unstamped rows in id order, without keys that are held and topics that are not there."""
        now = time.monotonic()
        self._missing = {topic: until for topic, until in self._missing.items() if until > now}
        rows = await self.pool.fetch(
            """SELECT o.id, o.topic, o.key, o.headers, o.data FROM outbox o
               WHERE o.published_at IS NULL AND o.held_reason IS NULL
                 AND o.topic <> ALL($1::text[]) AND o.id <> ALL($3::bigint[])
                 AND NOT EXISTS (
                   SELECT 1 FROM outbox h WHERE h.topic = o.topic AND h.key = o.key
                     AND h.held_reason IS NOT NULL AND h.published_at IS NULL AND h.id < o.id)
               ORDER BY o.id LIMIT $2""",
            list(self._missing),
            BATCH,
            in_flight,
        )
        return [Row(*row) for row in rows]

    async def _pipelined(self, producer: AIOKafkaProducer, rows: list[Row]) -> int:
        sent: list[tuple[Batch, asyncio.Future[RecordMetadata]]] = []
        async with asyncio.timeout(ACK_SECONDS):
            for batch in await self._batches(producer, rows):
                sent.append((batch, await batch.send(producer)))
                failpoint("relay.in_sends")
            failpoint("relay.after_send")
            stamped = await self._settle()
            if sum(len(batch.rows) for batch, _ in sent) == BATCH:
                self._ahead = asyncio.create_task(self._unstamped([row.id for row in rows]))
            results = [await _outcome(future) for _, future in sent]
        failpoint("relay.after_ack")
        acknowledged: list[Place] = []
        for (batch, _), result in zip(sent, results, strict=True):
            if not isinstance(result, BaseException):
                acknowledged += batch.places(result)
        if self._ahead is not None:
            self._stamping = asyncio.create_task(self._stamp(acknowledged))
        else:
            stamped += await self._stamp(acknowledged)
        for result in results:
            if isinstance(result, BaseException):
                stamped += await self._settle()
                raise _as_away(result)
        return stamped

    async def _batches(self, producer: AIOKafkaProducer, rows: list[Row]) -> list[Batch]:
        """The rows whose topic is there, in batches by partition; what cannot be sent is held."""
        there = {
            topic
            for topic in {row.topic for row in rows}
            if topic not in self._missing and await self._has_topic(producer, topic)
        }
        batches: list[Batch] = []
        newest: dict[tuple[str, int], Batch] = {}
        left_out: set[tuple[str, str]] = set()
        for row in rows:
            if row.topic not in there or (left_out and (row.topic, row.key) in left_out):
                continue
            partition = kafka.partition_of(row.key.encode(), self._partitions[row.topic])
            place = (row.topic, partition)
            try:
                batch = newest.get(place)
                if batch is None or not batch.takes(row):
                    batch = newest[place] = Batch(producer, row.topic, partition)
                    batch.takes(row)
                    batches.append(batch)
            except REFUSED as error:
                left_out.add((row.topic, row.key))
                await self._hold(row, error)
        return batches

    async def _one_by_one(self, producer: AIOKafkaProducer, rows: list[Row]) -> None:
        """After a failure: each record alone, so that the one that is refused shows itself."""
        left_out: set[tuple[str, str]] = set()
        for row in rows[:100]:
            if (row.topic, row.key) in left_out or row.topic in self._missing:
                continue
            if not await self._has_topic(producer, row.topic):
                continue
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    result = await (await self._send(producer, row))
            except REFUSED as error:
                left_out.add((row.topic, row.key))
                await self._hold(row, error)
                continue
            await self._stamp([(row.id, result.partition, result.offset)])
            await self.lease.renew()

    async def _send(self, producer: AIOKafkaProducer, row: Row) -> "asyncio.Future[RecordMetadata]":
        key = row.key.encode()
        partitions = self._partitions.get(row.topic)
        future: asyncio.Future[RecordMetadata] = await producer.send(
            row.topic,
            key=key,
            value=row.data,
            partition=kafka.partition_of(key, partitions) if partitions else None,
            headers=kafka.headers_for_kafka(row.headers),
        )
        return future

    async def _has_topic(self, producer: AIOKafkaProducer, topic: str) -> bool:
        """False when the topic is not there; its rows wait, the others go on."""
        if partitions := producer.client.cluster.partitions_for_topic(topic):
            self._partitions[topic] = len(partitions)
            return True
        with contextlib.suppress(
            UnknownTopicOrPartitionError,
            InvalidTopicError,
            TopicAuthorizationFailedError,
            asyncio.TimeoutError,
        ):
            if partitions := await asyncio.wait_for(producer.partitions_for(topic), TOPIC_SECONDS):
                self._partitions[topic] = len(partitions)
                return True
        if not producer.client.cluster.brokers():
            raise ConnectionError("no broker")
        log.warning("topic is not there", topic=topic)
        self._missing[topic] = time.monotonic() + MISSING_TOPIC_SECONDS
        return False

    async def _hold(self, row: Row, error: Exception) -> None:
        """Keep a refused record and those behind it of the same key; the partition goes on."""
        reason = type(error).__name__
        log.error("record refused", topic=row.topic, key=row.key, outbox_id=row.id, code=reason)
        await self.pool.execute(
            "UPDATE outbox SET held_reason = $2 WHERE id = $1 AND published_at IS NULL",
            row.id,
            reason,
        )

    async def _stamp(self, acknowledged: list[Place]) -> int:
        """Write where each row stands; of two copies the first place counts. Answers how many."""
        if not acknowledged:
            return 0
        await self.pool.execute(
            """UPDATE outbox o SET published_at = coalesce(o.published_at, clock_timestamp()),
                 partition = s.partition, "offset" = s."offset", held_reason = NULL
               FROM unnest($1::bigint[], $2::int[], $3::bigint[]) AS s(id, partition, "offset")
               WHERE o.id = s.id AND (o.published_at IS NULL
                 OR (o.partition = s.partition AND o."offset" > s."offset"))""",
            *map(list, zip(*acknowledged, strict=True)),
        )
        failpoint("relay.after_stamp")
        EVENTS_PUBLISHED.labels(self.runtime.service.name).inc(len(acknowledged))
        self.runtime.progress["last_publication_monotonic"] = time.monotonic()
        return len(acknowledged)

    async def _republish_directory(self, producer: AIOKafkaProducer) -> None:
        """Send the last value of each directory key again: after a takeover and once a day.

        A former relay may have sent an older value late, and compaction keeps the last one.
        """
        self._republish_at = time.monotonic() + REPUBLISH_SECONDS
        rows = await self.pool.fetch(
            """SELECT DISTINCT ON (key) id, topic, key, headers, data FROM outbox
               WHERE topic = $1 AND published_at IS NOT NULL ORDER BY key, id DESC""",
            kafka.DIRECTORY,
        )
        if not rows or not await self._has_topic(producer, kafka.DIRECTORY):
            return
        async with asyncio.timeout(ACK_SECONDS):
            await asyncio.gather(*[await self._send(producer, Row(*row)) for row in rows])
        log.info("directory published again", entries=len(rows))


async def _outcome(future: "asyncio.Future[RecordMetadata]") -> RecordMetadata | BaseException:
    """Where the record stands, or why it does not; most are done when the first is."""
    if not future.done():
        await asyncio.wait([future])
    return future.exception() or future.result()


def _as_away(error: BaseException) -> BaseException:
    """A refusal that came for a whole batch is looked at record by record in the next round."""
    if isinstance(error, REFUSED):
        return ConnectionError(type(error).__name__)
    return error


async def release_held(db: asyncpg.Connection | asyncpg.Pool, topic: str, key: str) -> int:
    """Try the held records of a key again; how many there were."""
    status: str = await db.execute(
        """UPDATE outbox SET held_reason = NULL
           WHERE topic = $1 AND key = $2 AND held_reason IS NOT NULL AND published_at IS NULL""",
        topic,
        key,
    )
    return int(status.rsplit(" ", 1)[-1])


async def oldest_unpublished(db: asyncpg.Connection | asyncpg.Pool) -> dict[str, Any]:
    """Count and age of what waits for the relay."""
    row = await db.fetchrow(
        """SELECT count(*) AS rows, count(held_reason) AS held,
             coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float AS seconds
           FROM outbox WHERE published_at IS NULL"""
    )
    return dict(row) if row else {}


async def run_relay(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Run this process's relay; it waits for the lease while another process holds it."""
    await Relay(runtime).run(stop)
