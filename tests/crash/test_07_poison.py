"""Twelve kinds of poison; death while parking and while replaying; a late event."""

import asyncio
import json
import time
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from services.errors import NotFound
from services.ids import new_id
from services.messaging import failpoints, parking
from services.messaging.consumer import consume_cases
from tests.crash.checks import Pair, size
from tests.fixtures.messaging import Crash, crash, effects, emit, read_topic, until

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
Header = tuple[str, bytes]


def with_header(name: str, value: bytes) -> Any:
    return lambda headers, data: ([(n, value if n == name else v) for n, v in headers], data)


def with_data(change: Any) -> Any:
    return lambda headers, data: (headers, change(data))


def member(name: str, value: Any) -> Any:
    return with_data(lambda data: json.dumps({**json.loads(data), name: value}).encode())


# Each is the sixth event of its case, in the topic as a broken sender would have written it.
BYTES = {
    "bad JSON": with_data(lambda data: data[:-5]),
    "bad UTF-8": with_data(lambda data: data.replace(b"phone", b"ph\xff\xfee")),
    "against the schema": member("changed_at", "yesterday"),
    "large": with_data(lambda data: b"x" * 100_000),
    "null": with_data(lambda data: None),
    "deeply nested": with_data(lambda data: b"[" * 30_000 + b"]" * 30_000),
    "no sequence": lambda headers, data: ([h for h in headers if h[0] != "ce_sequence"], data),
    "broken header": with_header("ce_sequence", b"\xff"),
    "an episode that is no number": with_header("ce_episode", b"first"),
    "another version": member("party_id", {"v2": True}),
}
HANDLER = {
    "a bug of the handler": KeyError("a bug"),
    "a constraint": asyncpg.UniqueViolationError("duplicate key"),
}


@pytest.mark.timeout(400)
async def test_a_poisoned_case_waits_in_order_and_every_other_flows(pair: Pair) -> None:
    kinds = [*BYTES, *HANDLER]
    bad = {kind: new_id() for kind in kinds}
    good = [new_id() for _ in range(size(100, 1_000) - len(bad))]
    for case_id in bad.values():
        await emit(pair.sender, case_id, 16)
    for case_id in good:
        await emit(pair.sender, case_id, 2)
    await pair.publish()
    quiet = await read_topic(pair.kafka, pair.topic)
    whose = {str(case_id).encode(): kind for kind, case_id in bad.items()}
    fresh = pair.kafka.fresh_topic(4)
    producer = AIOKafkaProducer(**pair.kafka.client())
    await producer.start()
    for record in quiet:
        headers, data = list(record.headers), record.value
        kind = whose.get(record.key)
        if kind in BYTES and dict(headers)["ce_sequence"].lstrip(b"0") == b"6":
            headers, data = BYTES[kind](headers, data)
        await producer.send(fresh, data, key=record.key, headers=headers)
    await producer.flush()
    await producer.stop()
    trouble = pair.hearer.state["trouble"].by_case
    trouble.update({bad[kind]: error for kind, error in HANDLER.items()})
    pair.topic = fresh
    settings = {"cases_topic": fresh}
    pair.sender.settings = pair.sender.settings.model_copy(update=settings)
    pair.hearer.settings = pair.hearer.settings.model_copy(update=settings)

    began = time.monotonic()
    for place in ("consumer.after_park", "consumer.after_parking"):
        failpoints.arm(place, 2, crash)
        with pytest.raises(Crash):
            await asyncio.wait_for(consume_cases(pair.hearer, asyncio.Event()), 60)
    async with pair.consumer():
        await pair.level(120)
        print(f"with poison: {time.monotonic() - began:.1f} s for {len(quiet)} records")
        for case_id in good:
            assert await effects(pair.hearer, case_id) == [1, 2]
        parked = {row["key"] for row in await parking.list_parked(pair.hearer, waiting_too=True)}
        assert parked == {str(case_id) for case_id in bad.values()}
        for kind, case_id in bad.items():
            healthy = 5 if kind in BYTES else 0
            assert await effects(pair.hearer, case_id) == list(range(1, healthy + 1)), kind
            assert len(await parking.show_parked(pair.hearer, str(case_id))) == 16 - healthy

        trouble.clear()
        for kind in HANDLER:
            await _replayed_though_it_dies(pair, bad[kind])
        for kind in BYTES:
            await parking.drop_parked(pair.hearer, str(bad[kind]), "a broken record")
            await _heal(pair, bad[kind])
    for kind, case_id in bad.items():
        wanted = list(range(1, 18)) if kind in HANDLER else [*range(1, 6), *range(7, 17)]
        assert await effects(pair.hearer, case_id) == wanted, kind
    assert await parking.list_parked(pair.hearer, waiting_too=True) == []


async def _heal(pair: Pair, case_id: UUID) -> None:
    """A record whose place in its source is unknown leaves a gap: the inbox is stepped by hand."""
    left = await _replay(pair, case_id)
    if left:
        await pair.hearer.pool.execute(
            "UPDATE inbox SET sequence = 6 WHERE case_id = $1 AND sequence = 5", case_id
        )
        assert await _replay(pair, case_id) == 0


async def _replay(pair: Pair, case_id: UUID) -> int:
    try:
        return (await parking.replay(pair.hearer, str(case_id))).left
    except NotFound:
        return 0


async def _replayed_though_it_dies(pair: Pair, case_id: UUID) -> None:
    """Dies at the fifth event; a new one comes in the middle of the next replay."""
    failpoints.arm("consumer.after_effect", 5, crash)
    with pytest.raises(Crash):
        await parking.replay(pair.hearer, str(case_id))
    assert await effects(pair.hearer, case_id) == []
    late = asyncio.create_task(_late(pair, case_id))
    async with pair.relay():
        await parking.replay(pair.hearer, str(case_id))
        await late
        await until(lambda: _done(pair, case_id, 17))


async def _late(pair: Pair, case_id: UUID) -> None:
    await emit(pair.sender, case_id)


async def _done(pair: Pair, case_id: UUID, count: int) -> bool:
    await _replay(pair, case_id)
    return len(await effects(pair.hearer, case_id)) == count
