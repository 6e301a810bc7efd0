"""The consumer of ``cases``: batches behind the position row, parking, and when to stop."""

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import asyncpg
import structlog
from aiokafka import TopicPartition

from services.errors import Poison
from services.messaging import kafka
from services.messaging.failpoints import failpoint
from services.messaging.group import GroupConsumer
from services.messaging.handling import (
    OWNER_OF_CASES,
    CaseEvents,
    Tally,
    error_code,
    error_place,
    is_transient,
)
from services.messaging.inbox import Fence, Memory, Moved
from services.messaging.kafka import Incoming
from services.messaging.parking import replay
from services.messaging.transaction import transaction
from services.messaging.waiting import pause
from services.telemetry import EVENTS_HANDLED

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
BATCH_RECORDS: Final = 200
BATCH_SECONDS: Final = 0.05
WINDOW: Final = 200
LIMIT_RATIO: Final = 0.2
LIMIT_LEAST: Final = 20
LIMIT_CONSECUTIVE: Final = 10


class Stopped(Exception):
    """The consumer gave up because it was parking the world; a person must look first."""


class Limits:
    """Stops a bad deploy from parking the world: too large a share, or too many cases in a row."""

    def __init__(self) -> None:
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._keys_in_a_row: set[str] = set()
        self.reason: str | None = None

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
            self.reason = f"{len(self._keys_in_a_row)} cases in a row could not be handled"
        if failed >= LIMIT_LEAST and failed > LIMIT_RATIO * len(self._window):
            self.reason = f"{failed} of the last {len(self._window)} records could not be handled"
        self.check()

    def check(self) -> None:
        """Raise ``Stopped`` when the limit was reached."""
        if self.reason:
            raise Stopped(self.reason)


class CaseConsumer(GroupConsumer):
    """One member of the group ``<service>.cases``."""

    batch_records = BATCH_RECORDS

    def __init__(self, runtime: "Runtime") -> None:
        self.events = CaseEvents(runtime)
        super().__init__(runtime, self.events.consumer)
        self.limits = Limits()
        self.gather_seconds = runtime.service.gather_seconds
        self._parking = asyncio.Lock()

    def wants(self, record: Incoming) -> bool:
        """True for what has a handler, what intake says of rounds, a case somebody waits for."""
        try:
            envelope = record.envelope()
        except Poison:
            return True
        return (
            envelope.source == OWNER_OF_CASES
            or self.events.hears(envelope.type)
            or self.runtime.consumed.waits_for(envelope.case_id)
        )

    async def handle(self, place: TopicPartition, records: list[Incoming]) -> int:
        """Handle records in one transaction, or one by one when that fails; how many."""
        try:
            return await self.transaction(place, records)
        except Moved:
            raise
        except Exception as error:
            if len(records) == 1 or is_transient(error):
                await self._one(place, records[0], error)
                return 1
            log.info("batch failed, going one by one", partition=place.partition)
        for record in records:
            await self._one(place, record)
        return len(records)

    async def _one(
        self, place: TopicPartition, record: Incoming, error: Exception | None = None
    ) -> None:
        """Do one record, or park its case. Raises ``Stopped`` at the limit."""
        failure = await self.patiently(place, record, error)
        if failure is not None:
            async with self._parking:
                self.limits.check()
                await self._park(place, record, failure)

    async def transaction(self, place: TopicPartition, records: list[Incoming]) -> int:
        """One transaction: fence, inbox, effects, position. Answers how many records it took."""
        return (await self.handle_together({place: records}))[place]

    async def handle_together(
        self, batch: dict[TopicPartition, list[Incoming]]
    ) -> dict[TopicPartition, int]:
        """The same for one or several partitions; a failure leaves nothing behind."""
        events, tally = self.events, Tally()
        topic = next(iter(batch)).topic
        done: dict[TopicPartition, int] = {}
        expected = {place.partition: records[0].offset for place, records in batch.items()}
        fence = Fence(topic, self.positions.generation, expected)
        everything = [record for records in batch.values() for record in records]
        failpoint("consumer.before_lock")
        async with self.runtime.pool.acquire() as proxy, proxy.transaction():
            db = cast(asyncpg.Connection, proxy)
            memory, now = await events.remember(db, everything, fence)
            failpoint("consumer.after_lock")
            until = time.monotonic() + BATCH_SECONDS
            for place, records in batch.items():
                for count, record in enumerate(records, 1):
                    await events.take(db, memory, record, now, tally)
                    done[place] = count
                    if time.monotonic() > until:
                        break
                if time.monotonic() > until:
                    break
            fence.expected = {p.partition: batch[p][n - 1].offset + 1 for p, n in done.items()}
            await memory.save(fence)
            failpoint("consumer.before_commit")
        failpoint("consumer.after_commit")
        await self._committed(tally, memory)
        return done

    async def _committed(self, tally: Tally, memory: Memory) -> None:
        self.limits.went_well(tally.handled + tally.skipped + tally.duplicates)
        for result, count in (
            ("done", tally.handled),
            ("unknown", tally.skipped),
            ("duplicate", tally.duplicates),
            ("parked", tally.queued + tally.gaps + tally.forks),
        ):
            if count:
                labels = (self.events.service.name, self.consumer, result)
                EVENTS_HANDLED.labels(*labels).inc(count)
        unit = memory.unit
        self.runtime.wake(
            events=unit is not None and unit.wrote_events, jobs=unit is not None and unit.wrote_jobs
        )
        self.runtime.notify_consumed(memory.cases)
        for key in tally.mended:
            try:
                await replay(self.runtime, key)
            except Exception as error:  # the effect is committed; mend_gaps tries again
                log.warning("replay after a gap failed", key=key, code=error_code(error))

    async def _park(self, place: TopicPartition, record: Incoming, error: Exception) -> None:
        """Put the record aside and its case with it. Raises ``Stopped`` at the limit."""
        code = error_code(error)
        log.error(
            "case parked",
            consumer=self.consumer,
            key=record.key,
            partition=record.partition,
            offset=record.offset,
            code=code,
            place=error_place(error),
        )
        async with transaction(self.runtime) as (db, _):
            await self.positions.lock(db, place.topic, place.partition, record.offset)
            await self.events.park(db, record, code)
            await self.positions.move(db, place.topic, place.partition, record.offset + 1)
        failpoint("consumer.after_parking")
        EVENTS_HANDLED.labels(self.events.service.name, self.consumer, "parked").inc()
        self.limits.parked(record.key)


async def consume_cases(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Run the consumer; come back after a failure of the broker, stay away after ``Stopped``."""
    consumer = CaseConsumer(runtime)
    runtime.state["case_consumer"] = consumer
    wait_seconds = 0.2
    while not stop.is_set():
        started = time.monotonic()
        try:
            await consumer.run(stop, [runtime.settings.cases_topic])
        except Stopped as error:
            runtime.progress["stopped"] = str(error)
            log.critical("consumer stopped", consumer=consumer.consumer, reason=str(error))
            await stop.wait()
        except kafka.AWAY as error:
            log.warning("consumer starts again", code=type(error).__name__)
            if time.monotonic() - started > 30:
                wait_seconds = 0.2
            await pause(stop, wait_seconds)
            wait_seconds = min(wait_seconds * 2, 5)
