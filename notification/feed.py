"""The rows of each connection's feed, mirrored to its topic."""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from notification import repository
from notification.rules import binary
from services.messaging.failpoints import failpoint

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
MISSING_TOPIC_SECONDS: Final = 10.0
SEND_SECONDS: Final = 20.0
AWAY: Final = (KafkaError, OSError, TimeoutError, asyncio.TimeoutError)


class Feeder:
    """Mirrors numbered entries to ``agency.<connection>.out``: at least once, numbers stable.

    Each connection's entries go in order; what was acknowledged is stamped as one number per
    connection. After any failure the producer is dropped and sending resumes behind the stamp, so
    a reader may see an entry twice, never a gap; ``ld-feed-sequence`` tells the copy.
    """

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self._producer: AIOKafkaProducer | None = None
        self._missing: dict[str, float] = {}

    async def step(self) -> int:
        """Send what is not acknowledged yet. Answers how many entries were."""
        now = time.monotonic()
        connections = [
            c for c in self.runtime.directory.kafka_connections() if self._missing.get(c, 0.0) < now
        ]
        batch = getattr(self.runtime.settings, "feeder_batch", 200)
        rows = await repository.undelivered(self.runtime.pool, connections, batch)
        if not rows:
            return 0
        by_connection: dict[str, list[Any]] = {}
        for row in rows:
            by_connection.setdefault(row["connection"], []).append(row)
        try:
            producer = await self._running_producer()
            done = await asyncio.gather(
                *(self._feed(producer, name, part) for name, part in by_connection.items()),
                return_exceptions=True,
            )
        except AWAY as error:
            done = [error]
        except asyncio.CancelledError:
            await self.close()
            raise
        faults = [fault for fault in done if isinstance(fault, BaseException)]
        if faults:
            log.warning("feeder starts again", code=type(faults[0]).__name__)
            await self.close()
            if not isinstance(faults[0], AWAY):
                raise faults[0]
        return sum(count for count in done if isinstance(count, int))

    async def _feed(self, producer: AIOKafkaProducer, connection: str, rows: list[Any]) -> int:
        topic = f"agency.{connection}.out"
        if not await self._has_topic(producer, topic):
            self._missing[connection] = time.monotonic() + MISSING_TOPIC_SECONDS
            log.warning("topic missing", topic=topic)
            return 0
        failpoint("feeder.before_send")
        last: tuple[int, Any] | None = None
        fault: BaseException | None = None
        async with asyncio.timeout(SEND_SECONDS):
            sent = [
                (
                    row["feed_sequence"],
                    await producer.send(
                        topic,
                        orjson.dumps(row["event"]["data"]),
                        key=str(row["case_id"]).encode(),
                        headers=headers(row),
                    ),
                )
                for row in rows
            ]
        acknowledged = 0
        for sequence, future in sent:
            try:
                last = (sequence, await asyncio.wait_for(future, SEND_SECONDS))
                acknowledged += 1
            except AWAY as error:
                fault = error
                break
        failpoint("feeder.after_ack")
        if last is not None:
            sequence, metadata = last
            await repository.stamp_delivered(
                self.runtime.pool, connection, sequence, metadata.partition, metadata.offset
            )
        if fault is not None:
            raise fault
        return acknowledged

    async def _has_topic(self, producer: AIOKafkaProducer, topic: str) -> bool:
        try:
            return bool(await asyncio.wait_for(producer.partitions_for(topic), 3))
        except AWAY:
            return False

    async def _running_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self.runtime.settings.kafka_client(),
                client_id=f"{self.runtime.service.name}.feeder",
                acks="all",
                enable_idempotence=True,
                compression_type=None,
                linger_ms=0,
                max_batch_size=65_536,
                max_request_size=131_072,
                request_timeout_ms=15_000,
                retry_backoff_ms=50,
                metadata_max_age_ms=30_000,
            )
            try:
                await asyncio.wait_for(producer.start(), 10)
            except BaseException:
                await _stop(producer)
                raise
            self._producer = producer
        return self._producer

    async def close(self) -> None:
        """Give the producer up; the next step makes a new one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)


async def _stop(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer.stop(), 5)


def headers(row: Any) -> list[tuple[str, bytes]]:
    """Binary CloudEvents with the feed's own three headers."""
    answer = binary(row["event"])
    answer.append(("ld-feed-sequence", f"{row['feed_sequence']:010d}".encode()))
    if row["reference"] is not None:
        answer.append(("ld-reference", row["reference"].encode()))
    answer.append(("ld-read-after", row["read_after"].encode()))
    return answer


async def feed_topics(runtime: "Runtime") -> int:
    """One round of this process's feeder; run under a lease."""
    feeder: Feeder = runtime.state.setdefault("feeder", Feeder(runtime))
    return await feeder.step()
