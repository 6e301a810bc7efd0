"""Twelve kinds of poison; death while parking and while replaying; an event in mid-replay.

The long form also measures how much later the other cases' events are handled beside poison than
in a quiet run.
"""

import asyncio
import json
import os
import random
import signal
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from services.errors import Conflict
from services.ids import new_id
from services.messaging import failpoints, parking
from services.messaging.consumer import consume_cases
from tests.crash.checks import Pair, a_pair, size
from tests.crash.part import ended, frozen, start
from tests.fixtures.messaging import Crash, a_change, crash, effects, emit, read_topic, until
from tests.fixtures.servers import KafkaServer, PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
Spoil = Callable[[list[tuple[str, bytes]], bytes], tuple[list[tuple[str, bytes]], bytes | None]]
LARGE = 2 * 1024 * 1024 + 1
EVENTS = 16
UNFIT = "the data does not fit its schema"
# `parked drop`, each followed by a `parked replay`: of the record itself; of one that does not say
# where it stood, first the record, then the place that is empty now.
ONCE, TWICE = 1, 2


@dataclass(frozen=True)
class Kind:
    """A poison at the sixth event of its case, and what must become of the case."""

    # The record as a broken sender would have written it; without: the handler's fault.
    spoil: Spoil | None = None
    error: Exception | None = None
    code: str | None = UNFIT  # how it is parked; None: it is passed over
    drops: int = 0  # how often a person must let go of something
    begun: bool = True  # whether what comes before it is there


def with_data(change: Callable[[bytes], bytes | None]) -> Spoil:
    return lambda headers, data: (headers, change(data))


def with_type(change: Callable[[bytes], bytes]) -> Spoil:
    return lambda headers, data: (
        [(n, change(v) if n == "ce_type" else v) for n, v in headers],
        data,
    )


def member(name: str, value: Any) -> Spoil:
    return with_data(lambda data: json.dumps({**json.loads(data), name: value}).encode())


KINDS = {
    "bad JSON": Kind(with_data(lambda data: data[:-5]), drops=ONCE),
    "bad UTF-8": Kind(with_data(lambda data: data.replace(b"phone", b"ph\xff\xfee")), drops=ONCE),
    "against the schema": Kind(member("changed_at", "yesterday"), drops=ONCE),
    "over two megabytes": Kind(with_data(lambda data: b"x" * LARGE), drops=ONCE),
    "null": Kind(with_data(lambda data: None), drops=ONCE),
    "deeply nested": Kind(with_data(lambda data: b"[" * 30_000 + b"]" * 30_000), drops=ONCE),
    "no sequence": Kind(
        lambda headers, data: ([h for h in headers if h[0] != "ce_sequence"], data),
        code="header missing or broken: KeyError",
        drops=TWICE,
    ),
    "an unknown version": Kind(with_type(lambda type_: type_.replace(b".v1", b".v2")), code=None),
    "an unknown type": Kind(with_type(lambda type_: b"liandiao.party.wed.v1"), code=None),
    "a stream that never began": Kind(code="gap", begun=False),
    "a bug of the handler": Kind(error=KeyError("a bug"), code="KeyError"),
    "a constraint": Kind(
        error=asyncpg.UniqueViolationError("duplicate key"), code="UniqueViolationError"
    ),
}


def sequence(record: Any) -> int:
    return int(dict(record.headers)["ce_sequence"])


def spoiled(record: Any, kind: Kind | None) -> tuple[list[tuple[str, bytes]], bytes | None]:
    """Headers and data of the record as its kind has it."""
    headers, data = list(record.headers), record.value
    if kind and kind.spoil and sequence(record) == 6:
        return kind.spoil(headers, data)
    return headers, data


async def emitted(pair: Pair, bad: Iterable[UUID], good: Iterable[UUID]) -> list[Any]:
    """What each case's events are in a topic that nobody spoiled."""
    for case_id in bad:
        await emit(pair.sender, case_id, EVENTS)
    for case_id in good:
        await emit(pair.sender, case_id, 2)
    await pair.publish()
    return await read_topic(pair.kafka, pair.topic)


def move(pair: Pair) -> None:
    """To a topic whose broker takes what the ordinary one refuses."""
    pair.topic = pair.kafka.fresh_topic(4, max_bytes=2 * LARGE)
    settings = {"cases_topic": pair.topic}
    for runtime in (pair.sender, pair.hearer):
        runtime.settings = runtime.settings.model_copy(update=settings)


def a_producer(pair: Pair) -> AIOKafkaProducer:
    """One that sends whatever it is given."""
    return AIOKafkaProducer(**pair.kafka.client(), max_request_size=2 * LARGE)


@pytest.mark.timeout(400)
async def test_a_poisoned_case_waits_in_order_and_every_other_flows(pair: Pair) -> None:
    bad = {kind: new_id() for kind in KINDS}
    good = [new_id() for _ in range(size(100, 1_000) - len(bad))]
    quiet = await emitted(pair, bad.values(), good)
    whose = {str(case_id).encode(): KINDS[kind] for kind, case_id in bad.items()}
    move(pair)
    late: list[Any] = []
    async with a_producer(pair) as producer:
        for record in quiet:
            kind = whose.get(record.key)
            if kind and not kind.begun and sequence(record) < 6:
                late.append(record)
                continue
            headers, data = spoiled(record, kind)
            await producer.send(pair.topic, data, key=record.key, headers=headers)
        await producer.flush()
    trouble = pair.hearer.state["trouble"].by_case
    trouble.update({bad[name]: kind.error for name, kind in KINDS.items() if kind.error})

    for place in ("consumer.after_park", "consumer.after_parking"):
        failpoints.arm(place, 2, crash)
        with pytest.raises(Crash):
            await asyncio.wait_for(consume_cases(pair.hearer, asyncio.Event()), 60)
    async with pair.relay(), pair.consumer():
        await pair.level(120)
        for case_id in good:
            assert await effects(pair.hearer, case_id) == [1, 2]
        parked = {
            row["key"]: row["code"]
            for row in await parking.list_parked(pair.hearer, waiting_too=True)
        }
        assert parked == {str(bad[name]): kind.code for name, kind in KINDS.items() if kind.code}
        for name, kind in KINDS.items():
            healthy = 5 if kind.spoil else 0
            after = [] if kind.code else list(range(7, EVENTS + 1))
            assert await effects(pair.hearer, bad[name]) == [*range(1, healthy + 1), *after], name

        trouble.clear()
        await _replayed_though_it_dies(pair, bad["a constraint"])
        await _replayed_while_a_new_event_comes(pair, bad["a bug of the handler"])
        async with a_producer(pair) as producer:
            for record in late:
                await producer.send_and_wait(
                    pair.topic, record.value, key=record.key, headers=list(record.headers)
                )
        for name, kind in KINDS.items():
            for _ in range(kind.drops):
                await parking.drop_parked(pair.hearer, str(bad[name]), "a broken record")
                await parking.replay(pair.hearer, str(bad[name]))
        begun = bad["a stream that never began"]
        await until(lambda: _done(pair, begun, EVENTS))
    for name, kind in KINDS.items():
        last = EVENTS + (name == "a bug of the handler")
        wanted = [n for n in range(1, last + 1) if n != 6 or not kind.spoil]
        assert await effects(pair.hearer, bad[name]) == wanted, name
    assert await parking.list_parked(pair.hearer, waiting_too=True) == []
    assert await pair.hearer.pool.fetchval("SELECT count(*) FROM parked_event") == 0


async def _done(pair: Pair, case_id: UUID, count: int) -> bool:
    return len(await effects(pair.hearer, case_id)) == count


async def _replayed_though_it_dies(pair: Pair, case_id: UUID) -> None:
    """It dies at the fifth event and has done nothing; the next replay does everything."""
    failpoints.arm("consumer.after_effect", 5, crash)
    with pytest.raises(Crash):
        await parking.replay(pair.hearer, str(case_id))
    assert await effects(pair.hearer, case_id) == []
    assert (await parking.replay(pair.hearer, str(case_id))).left == 0


async def _replayed_while_a_new_event_comes(pair: Pair, case_id: UUID) -> None:
    """A process stands still at the fifth event; the consumer waits with the new one."""
    replaying = start(
        "replay", pair.hearer, fail="consumer.after_effect:5:freeze", key=str(case_id)
    )
    await frozen(replaying)
    await emit(pair.sender, case_id)
    await until(lambda: _the_consumer_waits(pair))
    assert await effects(pair.hearer, case_id) == []
    os.kill(replaying.pid, signal.SIGCONT)
    assert await ended(replaying) == 0
    await until(lambda: _done(pair, case_id, EVENTS + 1))


async def _the_consumer_waits(pair: Pair) -> bool:
    """Whether a transaction waits for the parked row that the replay has locked."""
    return bool(
        await pair.hearer.pool.fetchval(
            """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
               AND datname = current_database() AND query LIKE '%FROM parked_case%FOR UPDATE%'"""
        )
    )


async def test_what_is_over_two_megabytes_is_neither_emitted_nor_taken_by_the_broker(
    pair: Pair,
) -> None:
    case_id = new_id()
    async with pair.sender.unit_of_work() as uow:
        await uow.lock_case(case_id, create=True)
        with pytest.raises(Conflict):
            uow.emit(a_change(case_id, "x" * LARGE))
    async with a_producer(pair) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(pair.topic, b"x" * LARGE, key=str(case_id).encode())

    assert await pair.sender.pool.fetchval("SELECT count(*) FROM outbox") == 0
    assert await read_topic(pair.kafka, pair.topic) == []


# -- the other cases' delay beside a quiet run ----------------------------------------------------


async def _delays(postgres: PostgresServer, kafka: KafkaServer, *, poison: bool) -> list[float]:
    """Seconds from the broker's hand to the effect, of the last event of each good case."""
    async with a_pair(postgres, kafka) as pair:
        bad = {kind: new_id() for kind in KINDS}
        good = [new_id() for _ in range(1_000 - len(bad))]
        queues: dict[bytes, deque[Any]] = defaultdict(deque)
        for record in await emitted(pair, bad.values(), good):
            queues[record.key].append(record)
        turns = [key for key, records in queues.items() for _ in records]
        random.Random(7).shuffle(turns)
        whose = {str(bad[name]).encode(): kind for name, kind in KINDS.items() if poison}
        trouble = pair.hearer.state["trouble"].by_case
        trouble.update(
            {bad[name]: kind.error for name, kind in KINDS.items() if poison and kind.error}
        )
        move(pair)
        taken: dict[UUID, float] = {}
        async with pair.consumer(), a_producer(pair) as producer:
            await until(lambda: pair.hearer.pool.fetchval("SELECT count(*) = 4 FROM position"))
            for key in turns:
                record = queues[key].popleft()
                kind = whose.get(key)
                if kind and not kind.begun and sequence(record) < 6:
                    continue
                headers, data = spoiled(record, kind)
                place = await producer.send_and_wait(pair.topic, data, key=key, headers=headers)
                taken[UUID(key.decode())] = place.timestamp / 1_000
                await asyncio.sleep(0.004)
            await pair.level()
        rows = await pair.hearer.pool.fetch(
            "SELECT case_id, extract(epoch FROM at)::float AS at FROM inbox WHERE sequence = 2"
        )
        handled = {row["case_id"]: row["at"] for row in rows}
        return [handled[case_id] - taken[case_id] for case_id in good]


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_beside_poison_the_other_cases_wait_hardly_longer_than_in_a_quiet_run(
    postgres_server: PostgresServer, kafka_server: KafkaServer
) -> None:
    delays: dict[bool, list[float]] = {False: [], True: []}
    for poison in (False, True, True, False):
        delays[poison] += await _delays(postgres_server, kafka_server, poison=poison)
    for percentile, most in ((50, 2.0), (99, 5.0)):
        quiet, beside = (
            statistics.quantiles(delays[poison], n=100)[percentile - 1] for poison in (False, True)
        )
        ratio = beside / quiet
        print(f"\np{percentile}: {1000 * beside:.1f} ms / {1000 * quiet:.1f} ms = {ratio:.2f}")
        assert ratio < most
