"""A member of a Kafka group whose truth is the position row: fetch, fence, seek, give way."""

import asyncio
import contextlib
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from services.messaging import kafka
from services.messaging.handling import error_code, is_transient
from services.messaging.inbox import Moved
from services.messaging.kafka import Incoming
from services.messaging.transaction import transaction

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
# A poll's worth: small enough that no partition waits long for its turn in a backlog.
FETCH_RECORDS: Final = 300
PARTITIONS_AT_ONCE: Final = 3
POLL_SECONDS: Final = 0.5
# Records that nobody here has a use for wait so long for one that is of use, or for company.
HOLD_SECONDS: Final = 0.5


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

    async def lock(self, db: asyncpg.Connection, topic: str, partition: int, expected: int) -> None:
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


class GroupConsumer(ConsumerRebalanceListener, ABC):  # type: ignore[misc]
    """Kafka shares out the partitions; the position row is the truth and the fence."""

    batch_records = 1
    # After a batch, so long for more to come: fewer, larger transactions while there is much to do.
    # What comes after quiet is handled at once, and while somebody waits nothing is gathered.
    gather_seconds = 0.0

    def __init__(self, runtime: "Runtime", consumer: str) -> None:
        self.runtime = runtime
        self.consumer = consumer
        self.positions = Positions(consumer, runtime.settings.generation)
        self.expected: dict[TopicPartition, int] = {}
        self._client: AIOKafkaConsumer | None = None
        self._sought: dict[TopicPartition, int] = {}
        self._commit_at = 0.0
        self._uncommitted: dict[TopicPartition, int] = {}
        self._held: dict[TopicPartition, list[Incoming]] = {}
        self._held_since = 0.0

    def wants(self, record: Incoming) -> bool:
        """Whether somebody waits for this record; the others may be handled a little later."""
        return True

    @abstractmethod
    async def handle(self, place: TopicPartition, records: list[Incoming]) -> int:
        """Handle some of the records, from the first on, and move the row. Answers how many."""

    def topics_changed(self) -> bool:
        """Whether the member should join again with other topics."""
        return False

    # -- the client ---------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, topics: list[str]) -> None:
        """Consume until told to stop, or until the topics change. Raises what Kafka raises."""
        name = f"{self.consumer}.{self.runtime.settings.instance}"
        # Kafka gives a static member that comes back what it had, whatever it asks for now: under
        # other topics it is another member.
        member = f"{name}.{zlib.crc32(' '.join(sorted(topics)).encode()):08x}"
        client = kafka.new_consumer(
            self.runtime.settings, name, group=self.consumer, instance=member
        )
        self.expected.clear()
        self._held.clear()
        self._client = client
        client.subscribe(topics, listener=self)
        try:
            await asyncio.wait_for(client.start(), 30)
            while not stop.is_set():
                if self.topics_changed():
                    kafka.leave_at_close(client)
                    break
                await self._poll(client)
        finally:
            self._client = None
            self.expected.clear()
            await self._commit_to_kafka(client, force=True)
            await kafka.close(client)

    async def _poll(self, client: AIOKafkaConsumer) -> None:
        timeout_ms = int(1000 * (HOLD_SECONDS / 4 if self._held else POLL_SECONDS))
        try:
            batches = await client.getmany(timeout_ms=timeout_ms, max_records=FETCH_RECORDS)
        except NoOffsetForPartitionError:
            await self._seek(client, client.assignment())
            return
        except OffsetOutOfRangeError:
            log.error("position outside of the topic", hint="see recover and rebuild-topic")
            raise
        left = self._to_do(
            {place: [Incoming.of(r) for r in records] for place, records in batches.items()}
        )
        if not left:
            return
        many = sum(map(len, left.values())) >= FETCH_RECORDS / 2
        slots = asyncio.Semaphore(PARTITIONS_AT_ONCE)
        await self._together(left)

        async def consume(place: TopicPartition, records: list[Incoming]) -> None:
            async with slots:
                await self._partition(client, place, records)

        results = await asyncio.gather(
            *(consume(place, records) for place, records in left.items()),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        await self._commit_to_kafka(client)
        if self.gather_seconds and not many and not self.runtime.consumed.anybody():
            await asyncio.sleep(self.gather_seconds)

    def _to_do(
        self, fetched: dict[TopicPartition, list[Incoming]]
    ) -> dict[TopicPartition, list[Incoming]]:
        """What to handle now, in order: everything held and fetched, or nothing yet.

        A transaction for an event that only moves a head is a waste; it goes with the next one
        that is wanted, or with the others after a moment. Nothing is skipped: the position moves
        with it.
        """
        together = {place: list(records) for place, records in self._held.items()}
        for place, records in fetched.items():
            together.setdefault(place, []).extend(records)
        if not together:
            return {}
        now = time.monotonic()
        if not self._held:
            self._held_since = now
        if (
            now - self._held_since >= HOLD_SECONDS
            or sum(len(records) for records in together.values()) >= FETCH_RECORDS
            or any(self.wants(record) for records in together.values() for record in records)
        ):
            self._held = {}
            return together
        self._held = together
        return {}

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing rests on this: the position row is the fence."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go where the position rows say; begin at the beginning where there is none."""
        self.expected.clear()
        self._held.clear()
        if self._client is not None:
            await self._seek(self._client, assigned)

    async def _seek(self, client: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        places = [place for place in places if place in client.assignment()]
        for place in places:
            self._held.pop(place, None)
        for topic in {place.topic for place in places}:
            known = await self.positions.read(self.runtime.pool, topic)
            here = [place for place in places if place.topic == topic]
            new = [place for place in here if place.partition not in known]
            if new:
                for place, offset in (await client.beginning_offsets(new)).items():
                    await self.positions.start(self.runtime.pool, topic, place.partition, offset)
                known = await self.positions.read(self.runtime.pool, topic)
            for place in here:
                self.expected[place] = known[place.partition]
                client.seek(place, known[place.partition])
        log.info("partitions assigned", consumer=self.consumer, partitions=len(places))

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
                done = await self.handle(place, records[: self.batch_records])
            except Moved as moved:
                log.warning("position row moved", partition=place.partition, to=moved.next_offset)
                await self._seek(client, [place])
                return
            if place in self.expected:
                self.expected[place] = records[done - 1].offset + 1
                self._uncommitted[place] = records[done - 1].offset + 1
            records = records[done:]
            await asyncio.sleep(0)

    async def _together(self, left: dict[TopicPartition, list[Incoming]]) -> None:
        """Handle what was fetched of several partitions in common transactions, while that goes.

        Takes what is done out of ``left``. Whatever is not plain (a record that fails, a row that
        moved, a hole) is left to the way of its partition, which sorts it out.
        """
        while True:
            batch: dict[TopicPartition, list[Incoming]] = {}
            room = self.batch_records
            for place, records in left.items():
                if room and self._is_next(place, records[0]):
                    batch[place] = records[:room]
                    room -= len(batch[place])
            if len(batch) < 2:
                return
            try:
                done = await self.handle_together(batch)
            except Exception as error:
                log.info("partitions go one by one", code=error_code(error))
                return
            if not done:
                return
            for place, count in done.items():
                if place in self.expected:
                    self.expected[place] = left[place][count - 1].offset + 1
                    self._uncommitted[place] = self.expected[place]
                left[place] = left[place][count:]
                if not left[place]:
                    del left[place]
            await asyncio.sleep(0)

    def _is_next(self, place: TopicPartition, record: Incoming) -> bool:
        return self.expected.get(place) == record.offset

    async def handle_together(
        self, batch: dict[TopicPartition, list[Incoming]]
    ) -> dict[TopicPartition, int]:
        """Handle records of several partitions in one transaction; how many of each were done."""
        return {}

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
        async with transaction(self.runtime) as (db, _):
            await self.positions.lock(db, place.topic, place.partition, expected)
            await self.positions.move(db, place.topic, place.partition, record.offset)
        return True

    async def patiently(
        self, place: TopicPartition, record: Incoming, error: Exception | None = None
    ) -> Exception | None:
        """Do one record, again and again while the failure is one that time mends.

        Answers the failure that remains, or nothing. Raises ``Moved``.
        """
        wait_seconds = 0.05
        while True:
            if error is not None:
                if not is_transient(error):
                    return error
                log.warning("retrying in place", consumer=self.consumer, code=error_code(error))
                self.runtime.progress["retrying_monotonic"] = time.monotonic()
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(wait_seconds * 2, 5)
            try:
                await self.transaction(place, [record])
            except Moved:
                raise
            except Exception as again:
                error = again
            else:
                return None

    @abstractmethod
    async def transaction(self, place: TopicPartition, records: list[Incoming]) -> int:
        """One transaction: fence, effects, position. Answers how many records it took."""
