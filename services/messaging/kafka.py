"""The Kafka client as used here: options that hold, closing that ends, a decoded record."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.clock import read
from services.errors import Poison
from services.settings import ServiceSettings

CASES: Final = "cases"
DIRECTORY: Final = "directory"
CALL_SECONDS: Final = 10.0
CHUNK: Final = 1_000
_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_U32: Final = 0xFFFFFFFF
# No record of ours is larger before it is compressed; an event's data are 64 KiB at most.
RECORD_BYTES: Final = 262_144
# What a client raises when the broker or the way to it is at fault, never the record.
AWAY: Final = (KafkaError, OSError, asyncio.TimeoutError)


def new_producer(settings: ServiceSettings, name: str) -> AIOKafkaProducer:
    """An idempotent producer with every acknowledgement; not started."""
    return AIOKafkaProducer(
        **settings.kafka_client(),
        client_id=name,
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        linger_ms=0,
        max_batch_size=65_536,
        max_request_size=RECORD_BYTES,
        request_timeout_ms=15_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
    )


def new_consumer(
    settings: ServiceSettings, name: str, *, group: str | None = None, instance: str | None = None
) -> AIOKafkaConsumer:
    """A consumer that never commits by itself and never resets an offset silently; not started.

    With ``group`` it is a static member under round robin: the sticky assignor and members
    without a fixed name have known faults (aiokafka 1175, 1176, 848).
    """
    options: dict[str, Any] = {}
    if group:
        options = {
            "group_id": group,
            "group_instance_id": instance,
            "partition_assignment_strategy": (RoundRobinPartitionAssignor,),
            "session_timeout_ms": settings.session_seconds * 1_000,
            "heartbeat_interval_ms": settings.session_seconds * 200,
            "max_poll_interval_ms": 300_000,
            "rebalance_timeout_ms": 15_000,
        }
    return AIOKafkaConsumer(
        **settings.kafka_client(),
        **options,
        client_id=name,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=500,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
        isolation_level="read_committed",
    )


async def partitions_there(client: AIOKafkaConsumer) -> dict[str, list[int]]:
    """Every topic that may be seen, with its partitions.

    The client's public way knows partitions only of topics it is assigned.
    """
    cluster = await asyncio.wait_for(client._client.fetch_all_metadata(), CALL_SECONDS)
    return {topic: sorted(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}


def leave_at_close(client: AIOKafkaConsumer) -> None:
    """Let a static member leave its group when it is closed, at which the others do not wait."""
    client._coordinator._group_instance_id = None


async def close(client: AIOKafkaConsumer | AIOKafkaProducer | None) -> None:
    """Stop a client, or abandon it: ``stop()`` can wait for ever (aiokafka 1101)."""
    if client is None:
        return
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.stop(), CALL_SECONDS / 2)


@lru_cache(maxsize=4096)  # cases come together; more would be memory that grows for hours
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key as Kafka's own default partitioner gives it (murmur2, positive).

    The client computes it byte by byte in Python, a quarter of the cost of sending; here four bytes
    are read at a time, and the keys of running cases come again and again.
    """
    length = len(key)
    hash_ = _SEED ^ length
    for word in struct.unpack(f"<{length // 4}I", key[: length & ~3]):
        word = word * _M & _U32
        word = (word ^ word >> 24) * _M & _U32
        hash_ = hash_ * _M & _U32 ^ word
    if tail := key[length & ~3 :]:
        hash_ = (hash_ ^ int.from_bytes(tail, "little")) * _M & _U32
    hash_ = (hash_ ^ hash_ >> 13) * _M & _U32
    hash_ ^= hash_ >> 15
    return (hash_ & 0x7FFFFFFF) % partitions


def headers_for_kafka(headers: Iterable[Iterable[str]]) -> list[tuple[str, bytes]]:
    """The pairs stored with an outbox row, as the client wants them."""
    return [(name, value.encode()) for name, value in headers]


def headers_for_table(headers: Iterable[tuple[str, bytes | None]]) -> list[list[str]]:
    """Headers of a record as text pairs; bytes that are no UTF-8 stay visible as escapes."""
    return [[name, (value or b"").decode("utf-8", "backslashreplace")] for name, value in headers]


def key_text(key: bytes | None) -> str:
    """A record key as text, also when it is missing or broken."""
    return (key or b"").decode("utf-8", "backslashreplace").replace("\0", "\\0")


async def read_through(
    client: AIOKafkaConsumer, stretches: Mapping[TopicPartition, tuple[int, int]]
) -> AsyncIterator[list[ConsumerRecord]]:
    """The records of each partition from the first offset to before the second, in chunks.

    The client belongs to no group. Raises what Kafka raises while it is away.
    """
    for place, (start, end) in stretches.items():
        if start >= end:
            continue
        client.assign([place])
        client.seek(place, start)
        while start < end:
            batch = await client.getmany(place, timeout_ms=2_000, max_records=CHUNK)
            records = batch.get(place, [])
            if records:
                start = records[-1].offset + 1
                yield records
            else:
                await asyncio.wait_for(client.end_offsets([place]), CALL_SECONDS)


# The headers that an envelope is made of.
ENVELOPE: Final = frozenset(
    {"ce_id", "ce_source", "ce_type", "ce_subject", "ce_sequence", "ce_episode", "ce_time"}
    | {"ce_recordedtime", "ce_correlationid", "ce_traceparent"}
)


class Envelope(NamedTuple):
    """What the headers of an event say (contracts section 1)."""

    event_id: UUID
    source: str
    type: str
    case_id: UUID
    sequence: int
    episode: int
    occurred_at: datetime
    recorded_at: datetime
    correlation_id: str | None = None
    traceparent: str | None = None


@lru_cache(4096)  # the events of a case come together
def _case_id(text: str) -> UUID:
    """A case's id from its one canonical writing. Raises ``ValueError``."""
    found = UUID(text)
    if str(found) != text:
        raise ValueError("a case id that is not written as we write it")
    return found


class Incoming:
    """One record as it came in, with everything needed to handle it now or later.

    What most services never ask for, every header as text, is made when it is asked for.
    """

    __slots__ = ("_envelope", "_headers", "_raw", "data", "key", "offset", "partition", "topic")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: str,
        headers: list[list[str]],
        data: bytes,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.key = key
        self.data = data
        self._headers: list[list[str]] | None = headers
        self._raw: Iterable[tuple[str, bytes]] = ()
        self._envelope: Envelope | None = None

    @classmethod
    def of(cls, record: ConsumerRecord) -> "Incoming":
        """The record of the client, without the client."""
        self = cls(
            record.topic,
            record.partition,
            record.offset,
            key_text(record.key),
            [],
            record.value or b"",
        )
        self._headers, self._raw = None, record.headers
        return self

    @property
    def headers(self) -> list[list[str]]:
        """The headers as text pairs, in their order."""
        if self._headers is None:
            self._headers = headers_for_table(self._raw)
        return self._headers

    def envelope(self) -> Envelope:
        """The headers, checked. Raises ``Poison`` when one is missing or not what it must be."""
        if self._envelope is None:
            self._envelope = self._checked()
        return self._envelope

    def _checked(self) -> Envelope:
        try:
            if self._headers is None:
                found = {name: value.decode() for name, value in self._raw if name in ENVELOPE}
            else:
                found = {name: value for name, value in self._headers}
            envelope = Envelope(
                UUID(found["ce_id"]),
                found["ce_source"],
                found["ce_type"],
                _case_id(found["ce_subject"]),
                int(found["ce_sequence"]),
                int(found.get("ce_episode", "1")),
                read(found["ce_time"]),
                read(found["ce_recordedtime"]),
                found.get("ce_correlationid"),
                found.get("ce_traceparent"),
            )
        except (KeyError, ValueError, AttributeError) as error:
            raise Poison(f"header missing or broken: {type(error).__name__}") from error
        if self.key != found["ce_subject"] or envelope.sequence < 1:
            raise Poison("the record key is not the subject, or the sequence is below 1")
        return envelope
