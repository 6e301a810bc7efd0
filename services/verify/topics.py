"""Kafka, read only: every record from the beginning, by a consumer without a group."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from services.verify.report import CannotLook

CALL_SECONDS: Final = 30
CHUNK: Final = 2_000

Places = dict[TopicPartition, tuple[int, int]]


class Topics:
    """The topics as they were when ``places`` was asked for."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client

    async def places(self, *prefixes: str) -> Places:
        """Begin and end of each partition of the topics that begin so."""
        cluster = await asyncio.wait_for(self._client._client.fetch_all_metadata(), CALL_SECONDS)
        wanted = [
            TopicPartition(topic, partition)
            for topic in sorted(cluster.topics())
            if topic.startswith(prefixes)
            for partition in sorted(cluster.partitions_for_topic(topic) or ())
        ]
        if not wanted:
            return {}
        # All at once: the client would ask for the leaders of each topic by itself, one by one.
        await asyncio.wait_for(
            self._client._client.set_topics({place.topic for place in wanted}), CALL_SECONDS
        )
        begins = await asyncio.wait_for(self._client.beginning_offsets(wanted), CALL_SECONDS)
        ends = await asyncio.wait_for(self._client.end_offsets(wanted), CALL_SECONDS)
        return {place: (begins[place], ends[place]) for place in wanted}

    async def records(
        self, place: TopicPartition, begin: int, end: int
    ) -> AsyncIterator[ConsumerRecord]:
        """The records of a partition from ``begin`` up to ``end``, in order."""
        if begin >= end:
            return
        self._client.assign([place])
        self._client.seek(place, begin)
        while await self._client.position(place) < end:
            batch = await asyncio.wait_for(
                self._client.getmany(place, timeout_ms=2_000, max_records=CHUNK), CALL_SECONDS
            )
            for record in batch.get(place, ()):
                if record.offset >= end:
                    return
                yield record
            if not batch:
                # Nothing came: either slow, or gone; a broker that is away says so here.
                await asyncio.wait_for(self._client.end_offsets([place]), CALL_SECONDS)


@contextlib.asynccontextmanager
async def opened(options: Mapping[str, Any]) -> AsyncIterator[Topics]:
    """A client for reading. Raises ``CannotLook``."""
    client = AIOKafkaConsumer(
        **options,
        client_id="liandiao-verify",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        # A fetch that waits at the end of one partition holds up the next one.
        fetch_max_wait_ms=20,
        fetch_max_bytes=16 * 1024 * 1024,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    try:
        await asyncio.wait_for(client.start(), CALL_SECONDS)
        yield Topics(client)
    except (KafkaError, OSError, TimeoutError) as error:
        raise CannotLook(f"Kafka cannot be read: {type(error).__name__} {error}") from error
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.stop(), 5)
