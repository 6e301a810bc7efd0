"""The consumer of ``cases``: batches behind the position row, parking, and when to stop."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from services.messaging import kafka
from services.messaging.failpoints import failpoint
from services.messaging.handling import CaseEvents, Tally, error_code, is_transient
from services.messaging.kafka import Incoming
from services.messaging.parking import replay
from services.messaging.waiting import pause
from services.telemetry import EVENTS_HANDLED

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
BATCH_RECORDS: Final = 100
BATCH_SECONDS: Final = 0.05
FETCH_RECORDS: Final = 1_000
PARTITIONS_AT_ONCE: Final = 3
WINDOW: Final = 200
LIMIT_RATIO: Final = 0.2
LIMIT_LEAST: Final = 20
LIMIT_CONSECUTIVE: Final = 10


class Stopped(Exception):
    """The consumer gave up because it was parking the world; a person must look first."""


class Moved(Exception):
    """Somebody else moved the position row: the batch is not ours."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(next_offset)
        self.next_offset = next_offset


class Limits:
    """Stops a bad deploy from parking the world: too large a share, or too many cases in a row."""

    def __init__(self) -> None:
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._keys_in_a_row: set[str] = set()

    def went_well(self, records: int) -> None:
        """Count records that were handled."""
        if records:
            self._keys_in_a_row.clear()
        self._window.extend([False] * min(records, WINDOW))

    def parked(self, key: str) -> None:
        """Count a parked record. Raises ``Stopped`` when it is one too many."""
        self._window.append(True)
        self._keys_in_a_row.add(key)
        failed = sum(self._window)
        if len(self._keys_in_a_row) >= LIMIT_CONSECUTIVE:
            raise Stopped(f"{len(self._keys_in_a_row)} cases in a row could not be handled")
        if failed >= LIMIT_LEAST and failed > LIMIT_RATIO * len(self._window):
            raise Stopped(f"{failed} of the last {len(self._window)} records could not be handled")


class Positions:
    """The rows that tell what was consumed; read on assignment, compared in every batch."""

    def __init__(self, consumer: str, generation: int) -> None:
        self.consumer = consumer
        self.generation = generation

    async def read(self, db: asyncpg.Connection | asyncpg.Pool, topic: str) -> dict[int, int]:
        """Partition -> next offset of one topic."""
        rows = await db.fetch(
            """SELECT partition, next_offset FROM position
               WHERE consumer = $1 AND topic = $2 AND generation = $3""",
            self.consumer,
            topic,
            self.generation,
        )
        return {row["partition"]: row["next_offset"] for row in rows}

    async def start(
        self, db: asyncpg.Connection | asyncpg.Pool, topic: str, partition: int, offset: int
    ) -> None:
        """Write the first row of a partition, unless there is one."""
        await db.execute(
            """INSERT INTO position (consumer, topic, generation, partition, next_offset)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
            self.consumer,
            topic,
            self.generation,
            partition,
            offset,
        )

    async def lock(
        self, db: asyncpg.Connection, topic: str, partition: int, expected: int
    ) -> None:
        """Lock the row and compare. Raises ``Moved`` when it is not where this batch begins."""
        found = await db.fetchval(
            """SELECT next_offset FROM position
               WHERE consumer = $1 AND topic = $2 AND generation = $3 AND partition = $4
               FOR UPDATE""",
            self.consumer,
            topic,
            self.generation,
            partition,
        )
        if found != expected:
            raise Moved(found if found is not None else -1)

    async def move(
        self, db: asyncpg.Connection, topic: str, partition: int, next_offset: int
    ) -> None:
        """Write where the next batch begins; the row is locked."""
        await db.execute(
            """UPDATE position SET next_offset = $5, updated_at = clock_timestamp()
               WHERE consumer = $1 AND topic = $2 AND generation = $3 AND partition = $4""",
            self.consumer,
            topic,
            self.generation,
            partition,
            next_offset,
        )


class CaseConsumer(ConsumerRebalanceListener):
    """One member of the group ``<service>.cases``."""

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.events = CaseEvents(runtime)
        self.topic = runtime.settings.cases_topic
        self.positions = Positions(self.events.consumer, self.events.generation)
        self.limits = Limits()
        self.expected: dict[TopicPartition, int] = {}
        self._client: AIOKafkaConsumer | None = None
        self._sought: dict[TopicPartition, int] = {}
        self._commit_at = 0.0
        self._uncommitted: dict[TopicPartition, int] = {}

    # -- the client ---------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop. Raises ``Stopped`` at the limit, and what Kafka raises."""
        name = f"{self.events.consumer}.{self.runtime.settings.instance}"
        client = kafka.new_consumer(
            self.runtime.settings, name, group=self.events.consumer, instance=name
        )
        self.expected.clear()
        self._client = client
        client.subscribe([self.topic], listener=self)
        try:
            await asyncio.wait_for(client.start(), 30)
            while not stop.is_set():
                await self._poll(client)
        finally:
            self._client = None
            self.expected.clear()
            await self._commit_to_kafka(client, force=True)
            await kafka.close(client)

    async def _poll(self, client: AIOKafkaConsumer) -> None:
        try:
            batches = await client.getmany(timeout_ms=500, max_records=FETCH_RECORDS)
        except NoOffsetForPartitionError:
            await self._seek(client, client.assignment())
            return
        except OffsetOutOfRangeError:
            log.error("position outside of the topic", hint="see recover and rebuild-topic")
            raise
        slots = asyncio.Semaphore(PARTITIONS_AT_ONCE)

        async def consume(place: TopicPartition, records: list[Any]) -> None:
            async with slots:
                await self._partition(client, place, [Incoming.of(r) for r in records])

        results = await asyncio.gather(
            *(consume(place, records) for place, records in batches.items()),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        await self._commit_to_kafka(client)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing rests on this: the position row is the fence."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go where the position rows say; begin at the beginning where there is none."""
        self.expected.clear()
        if self._client is not None:
            await self._seek(self._client, assigned)

    async def _seek(self, client: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        places = [place for place in places if place in client.assignment()]
        known = await self.positions.read(self.runtime.pool, self.topic)
        new = [place for place in places if place.partition not in known]
        if new:
            for place, offset in (await client.beginning_offsets(new)).items():
                await self.positions.start(
                    self.runtime.pool, place.topic, place.partition, offset
                )
            known = await self.positions.read(self.runtime.pool, self.topic)
        for place in places:
            self.expected[place] = known[place.partition]
            client.seek(place, known[place.partition])
        log.info("partitions assigned", consumer=self.events.consumer, partitions=len(places))

    async def _commit_to_kafka(self, client: AIOKafkaConsumer, *, force: bool = False) -> None:
        """For lag tools only, so a failure does not matter."""
        if not self._uncommitted or (time.monotonic() < self._commit_at and not force):
            return
        self._commit_at = time.monotonic() + 1
        offsets, self._uncommitted = self._uncommitted, {}
        with contextlib.suppress(*kafka.AWAY):
            await asyncio.wait_for(client.commit(offsets), 5)

    # -- records ------------------------------------------------------------------------------

    async def _partition(
        self, client: AIOKafkaConsumer, place: TopicPartition, records: list[Incoming]
    ) -> None:
        """Everything that was fetched of one partition, batch by batch."""
        expected = self.expected.get(place)
        if expected is None or records[0].offset < expected:
            await self._seek(client, [place])
            return
        if records[0].offset > expected and not await self._skip_hole(client, place, records[0]):
            return
        while records:
            try:
                done = await self._batch(place, records[:BATCH_RECORDS])
            except Moved as moved:
                log.warning("position row moved", partition=place.partition, to=moved.next_offset)
                await self._seek(client, [place])
                return
            if place in self.expected:
                self.expected[place] = records[done - 1].offset + 1
                self._uncommitted[place] = records[done - 1].offset + 1
            records = records[done:]
            await asyncio.sleep(0)

    async def _skip_hole(
        self, client: AIOKafkaConsumer, place: TopicPartition, record: Incoming
    ) -> bool:
        """A first record beyond the position: fetched before a seek, or the topic has a hole.

        Seeks once; when the same record comes again there is nothing before it any more.
        """
        expected = self.expected[place]
        if self._sought.get(place) != expected:
            self._sought[place] = expected
            client.seek(place, expected)
            return False
        log.error("records are gone", partition=place.partition, first=expected, to=record.offset)
        async with self.runtime.pool.acquire() as db, db.transaction():
            await self.positions.lock(db, place.topic, place.partition, expected)
            await self.positions.move(db, place.topic, place.partition, record.offset)
        return True

    async def _batch(self, place: TopicPartition, records: list[Incoming]) -> int:
        """Handle some records in one transaction, or one by one when that fails; how many."""
        try:
            return await self._transaction(place, records)
        except Moved:
            raise
        except Exception as error:
            if len(records) == 1 or is_transient(error):
                return await self._patiently(place, records[0], error)
            log.info("batch failed, going one by one", partition=place.partition)
        for record in records:
            try:
                await self._transaction(place, [record])
            except Moved:
                raise
            except Exception as error:
                await self._patiently(place, record, error)
        return len(records)

    async def _patiently(self, place: TopicPartition, record: Incoming, error: Exception) -> int:
        """Retry one record while the failure is one that time mends, else park its case."""
        wait_seconds = 0.05
        while is_transient(error):
            log.warning("retrying in place", code=error_code(error), partition=place.partition)
            self.runtime.progress["retrying"] = time.monotonic()
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, 5)
            try:
                return await self._transaction(place, [record])
            except Moved:
                raise
            except Exception as again:
                error = again
        return await self._park(place, record, error)

    async def _transaction(self, place: TopicPartition, records: list[Incoming]) -> int:
        """One transaction: fence, inbox, effects, position. Answers how many records it took."""
        events, tally, done = self.events, Tally(), 0
        until = time.monotonic() + BATCH_SECONDS
        async with self.runtime.pool.acquire() as db, db.transaction():
            now = await events.begin(db)
            await self.positions.lock(db, place.topic, place.partition, records[0].offset)
            memory = await events.remember(db, records)
            for record in records:
                await events.take(db, memory, record, now, tally)
                done += 1
                if time.monotonic() > until:
                    break
            await memory.save()
            next_offset = records[done - 1].offset + 1
            await self.positions.move(db, place.topic, place.partition, next_offset)
            failpoint("consumer.after_effect")
        failpoint("consumer.after_commit")
        await self._committed(tally)
        return done

    async def _committed(self, tally: Tally) -> None:
        self.limits.went_well(tally.handled + tally.skipped + tally.duplicates)
        for result, count in (
            ("done", tally.handled),
            ("unknown", tally.skipped),
            ("duplicate", tally.duplicates),
            ("parked", tally.queued + tally.gaps + tally.forks),
        ):
            if count:
                labels = (self.events.service.name, self.events.consumer, result)
                EVENTS_HANDLED.labels(*labels).inc(count)
        self.runtime.wake()
        await self.runtime.notify_consumed()
        for key in tally.mended:
            await replay(self.runtime, key)

    async def _park(self, place: TopicPartition, record: Incoming, error: Exception) -> int:
        """Put the record aside and its case with it. Raises ``Stopped`` at the limit."""
        code = error_code(error)
        log.error(
            "case parked",
            consumer=self.events.consumer,
            key=record.key,
            partition=record.partition,
            offset=record.offset,
            code=code,
            exc_info=error,
        )
        async with self.runtime.pool.acquire() as db, db.transaction():
            await self.events.begin(db)
            await self.positions.lock(db, place.topic, place.partition, record.offset)
            await self.events.park(db, record, code)
            await self.positions.move(db, place.topic, place.partition, record.offset + 1)
        EVENTS_HANDLED.labels(self.events.service.name, self.events.consumer, "parked").inc()
        self.limits.parked(record.key)
        return 1


async def consume_cases(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Run the consumer; come back after every failure of the broker, stay away after ``Stopped``."""
    consumer = CaseConsumer(runtime)
    runtime.state["case_consumer"] = consumer
    wait_seconds = 0.2
    while not stop.is_set():
        started = time.monotonic()
        try:
            await consumer.run(stop)
        except Stopped as error:
            runtime.progress["stopped"] = str(error)
            log.critical("consumer stopped", consumer=consumer.events.consumer, reason=str(error))
            await stop.wait()
        except kafka.AWAY as error:
            log.warning("consumer starts again", code=type(error).__name__)
            if time.monotonic() - started > 30:
                wait_seconds = 0.2
            await pause(stop, wait_seconds)
            wait_seconds = min(wait_seconds * 2, 5)
