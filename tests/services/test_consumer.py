"""The consumer on real servers: one effect per event, whatever dies and whatever comes twice."""

import asyncio

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from services.errors import Poison, Transient
from services.events.intake import CaseClosed, CaseRegistered
from services.ids import new_id
from services.messaging import failpoints
from services.messaging.consumer import CaseConsumer, Limits, Stopped, consume_cases
from services.messaging.handling import is_transient
from services.messaging.inbox import Head, Round, Verdict, judge
from services.messaging.relay import run_relay
from tests.fixtures.messaging import (
    Crash,
    a_change,
    a_runtime,
    a_service,
    another_process,
    consuming,
    crash,
    effects,
    emit,
    read_topic,
    running,
    until,
)
from tests.services.test_parking import an_event

real = [pytest.mark.postgres, pytest.mark.kafka]


def marked(function):
    for mark in real:
        function = mark(function)
    return function


# -- what a sequence means ------------------------------------------------------------------------


def test_the_next_sequence_is_next_and_the_first_is_one():
    assert judge(None, 1, new_id()) is Verdict.NEXT
    assert judge(Head(4, new_id()), 5, new_id()) is Verdict.NEXT


def test_a_sequence_not_higher_is_a_duplicate():
    seen = new_id()

    assert judge(Head(4, seen), 4, seen) is Verdict.DUPLICATE
    assert judge(Head(4, seen), 3, new_id()) is Verdict.DUPLICATE


def test_a_sequence_beyond_the_next_is_a_gap():
    assert judge(None, 2, new_id()) is Verdict.GAP
    assert judge(Head(4, new_id()), 6, new_id()) is Verdict.GAP


def test_the_last_sequence_under_another_id_is_a_fork():
    assert judge(Head(4, new_id()), 4, new_id()) is Verdict.FORK


def test_an_event_of_an_older_episode_or_a_closed_case_is_over():
    assert Round(2, closed=False).is_over_for(1)
    assert Round(2, closed=True).is_over_for(2)
    assert not Round(2, closed=False).is_over_for(2)
    assert not Round(2, closed=True).is_over_for(3)


# -- what stops a bad deploy ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_sequence", "\\xff"),
        ("ce_sequence", "0"),
        ("ce_episode", "first"),
        ("ce_id", "7"),
        ("ce_recordedtime", "yesterday"),
    ],
)
def test_a_header_that_is_not_what_it_must_be_is_poison(name, value):
    record = an_event(new_id(), 1)
    record.headers[:] = [[n, value if n == name else v] for n, v in record.headers]

    with pytest.raises(Poison):
        record.envelope()


def test_ten_cases_in_a_row_stop_the_consumer_and_nine_do_not():
    limits = Limits()
    limits.went_well(200)
    for number in range(9):
        limits.parked(str(number))

    with pytest.raises(Stopped):
        limits.parked("9")


def test_a_share_of_more_than_a_fifth_stops_the_consumer_from_twenty_on():
    limits = Limits()
    for number in range(19):
        limits.parked(str(number % 5))
        limits.went_well(3)

    with pytest.raises(Stopped, match="20 of the last"):
        limits.parked("5")


def test_a_poisoned_case_now_and_then_stops_nothing():
    limits = Limits()
    for number in range(100):
        limits.parked(str(number))
        limits.went_well(5)


def test_failures_that_time_mends_are_told_from_others():
    assert is_transient(Transient())
    assert is_transient(asyncpg.DeadlockDetectedError())
    assert is_transient(asyncpg.SerializationError())
    assert is_transient(ConnectionResetError())
    assert is_transient(asyncpg.InterfaceError("connection is closed"))
    assert is_transient(asyncpg.InterfaceError("another operation is in progress"))
    assert is_transient(asyncpg.InternalClientError('the protocol is in the "failed" state'))
    assert not is_transient(asyncpg.UniqueViolationError())
    assert not is_transient(asyncpg.InterfaceError("the server expects 2 arguments"))
    assert not is_transient(Poison("x"))
    assert not is_transient(KeyError())


# -- real servers ---------------------------------------------------------------------------------


class World:
    """Intake that emits, mediation that hears, and a topic between them."""

    def __init__(self, sender, hearer, kafka, topic):
        self.sender, self.hearer, self.kafka, self.topic = sender, hearer, kafka, topic

    def relay(self):
        return running(lambda stop: run_relay(self.sender, stop))

    def consumer(self, runtime=None):
        return consuming(runtime or self.hearer)

    async def heard(self, count, case_id=None):
        await until(lambda: self._count(count, case_id))

    async def _count(self, count, case_id):
        return len(await effects(self.hearer, case_id)) >= count

    async def published(self):
        await until(
            lambda: self.sender.pool.fetchval(
                "SELECT count(*) = 0 FROM outbox WHERE published_at IS NULL"
            )
        )

    async def positions(self):
        rows = await self.hearer.pool.fetch("SELECT partition, next_offset FROM position")
        return {row["partition"]: row["next_offset"] for row in rows}


@pytest.fixture
async def world(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic(6)
    async with (
        a_runtime(postgres_server, kafka_server, service=a_service("intake"), topic=topic) as one,
        a_runtime(postgres_server, kafka_server, topic=topic, instance=topic) as two,
    ):
        yield World(one, two, kafka_server, topic)


@marked
async def test_each_event_takes_effect_once_in_order(world):
    cases = [new_id() for _ in range(8)]
    async with world.relay(), world.consumer():
        for _ in range(5):
            for case_id in cases:
                await emit(world.sender, case_id)
        await world.heard(40)

    for case_id in cases:
        assert await effects(world.hearer, case_id) == [1, 2, 3, 4, 5]
    assert sum((await world.positions()).values()) == 40


@marked
@pytest.mark.parametrize("place", ["consumer.before_commit", "consumer.after_commit"])
async def test_a_consumer_that_dies_around_the_commit_has_one_effect(world, place):
    case_id = new_id()
    await emit(world.sender, case_id, 6)
    async with world.relay():
        await world.published()
    failpoints.arm(place, 1, crash)
    with pytest.raises(Crash):
        await asyncio.wait_for(consume_cases(world.hearer, asyncio.Event()), 20)

    async with world.consumer():
        await world.heard(6)
        await asyncio.sleep(0.5)

    assert await effects(world.hearer) == [1, 2, 3, 4, 5, 6]


@marked
async def test_the_whole_topic_twice_has_no_second_effect(world):
    cases = [new_id() for _ in range(4)]
    for case_id in cases:
        await emit(world.sender, case_id, 5)
    async with world.relay():
        await world.published()
    producer = AIOKafkaProducer(**world.kafka.client())
    await producer.start()
    for record in await read_topic(world.kafka, world.topic):
        await producer.send_and_wait(
            world.topic, record.value, key=record.key, headers=list(record.headers)
        )
    await producer.stop()

    async with world.consumer():
        await until(lambda: positions_are(world, 40))

    for case_id in cases:
        assert await effects(world.hearer, case_id) == [1, 2, 3, 4, 5]


async def positions_are(world, total):
    return sum((await world.positions()).values()) == total


@marked
async def test_a_batch_behind_a_moved_position_row_is_dropped(world):
    """A zombie: another process consumed meanwhile, and this one still holds old records."""
    case_id = new_id()
    await emit(world.sender, case_id, 3)
    async with world.relay():
        await world.published()
    zombie = await another_process(world.hearer)
    consumer = CaseConsumer(zombie)
    records = await records_of(world)
    async with world.consumer():
        await world.heard(3)

    with pytest.raises(Exception, match="3"):
        await consumer.transaction(records[0].place, [r.incoming for r in records])

    assert await effects(world.hearer) == [1, 2, 3]
    await zombie.close()


class Fetched:
    """A record in the shape of the consumer."""

    def __init__(self, record):
        from aiokafka import TopicPartition

        from services.messaging.kafka import Incoming

        self.place = TopicPartition(record.topic, record.partition)
        self.incoming = Incoming.of(record)


async def records_of(world):
    return [Fetched(record) for record in await read_topic(world.kafka, world.topic)]


@marked
async def test_two_consumers_share_the_partitions_and_one_takes_over_when_the_other_dies(world):
    cases = [new_id() for _ in range(12)]
    other = await another_process(world.hearer)
    other.settings = other.settings.model_copy(update={"instance": "other"})
    async with world.relay(), world.consumer():
        stop = asyncio.Event()
        second = asyncio.create_task(consume_cases(other, stop))
        for _ in range(3):
            for case_id in cases:
                await emit(world.sender, case_id)
        await world.heard(36)
        stop.set()
        await asyncio.wait_for(second, 15)
        for case_id in cases:
            await emit(world.sender, case_id)
        await until(lambda: world._count(48, None), 40)

    for case_id in cases:
        assert await effects(world.hearer, case_id) == [1, 2, 3, 4]
    await other.close()


@marked
async def test_a_poisoned_event_parks_its_case_alone(world):
    bad, good = new_id(), new_id()
    world.hearer.state["trouble"].by_case[bad] = KeyError("a bug of the handler")
    async with world.relay(), world.consumer():
        await emit(world.sender, bad, 2)
        await emit(world.sender, good, 3)
        await emit(world.sender, bad)
        await world.heard(3, good)
        await until(lambda: positions_are(world, 6))

    assert await effects(world.hearer, bad) == []
    parked = await world.hearer.pool.fetch("SELECT key, code FROM parked_case")
    assert [tuple(row) for row in parked] == [(str(bad), "KeyError")]
    waiting = "SELECT reason FROM parked_event WHERE key = $1 ORDER BY id"
    rows = await world.hearer.pool.fetch(waiting, str(bad))
    assert [row["reason"] for row in rows] == ["KeyError", "behind", "behind"]


@marked
async def test_a_transient_failure_is_retried_in_place_and_never_parked(world):
    case_id = new_id()
    trouble = world.hearer.state["trouble"]
    trouble.always = Transient()
    async with world.relay(), world.consumer():
        await emit(world.sender, case_id, 3)
        await until(lambda: trouble.times >= 3)
        trouble.always = None
        await world.heard(3)

    assert await effects(world.hearer) == [1, 2, 3]
    assert await world.hearer.pool.fetchval("SELECT count(*) FROM parked_case") == 0


@marked
async def test_a_handler_that_always_fails_stops_the_consumer(world):
    world.hearer.state["trouble"].always = RuntimeError("a bad deploy")
    for _ in range(15):
        await emit(world.sender, new_id())
    async with world.relay(), world.consumer():
        await until(lambda: world.hearer.progress.get("stopped"))

    assert await world.hearer.pool.fetchval("SELECT count(*) FROM parked_case") == 10


async def send_raw(world, key, headers, data):
    producer = AIOKafkaProducer(**world.kafka.client())
    await producer.start()
    await producer.send_and_wait(world.topic, data, key=key, headers=headers)
    await producer.stop()


@marked
@pytest.mark.parametrize(
    ("key", "headers", "data"),
    [
        (b"\xff\xfe", [], b"\x00"),
        (b"", [("ce_id", b"x")], None),
        (b"no uuid", [("ce_id", b"\xff")], b"{}"),
    ],
)
async def test_bytes_that_nobody_can_read_are_parked_by_their_key(world, key, headers, data):
    case_id = new_id()
    await send_raw(world, key, headers, data)
    async with world.relay(), world.consumer():
        await emit(world.sender, case_id)
        await world.heard(1)
        await until(lambda: positions_are(world, 2))

    assert await world.hearer.pool.fetchval("SELECT count(*) FROM parked_event") == 1


@marked
async def test_an_unknown_type_is_skipped_and_its_sequence_counts(world):
    case_id = new_id()
    await emit(world.sender, case_id)
    await world.sender.pool.execute(
        """UPDATE outbox SET headers = replace(headers::text, 'party.changed.v1',
             'party.forgotten.v9')::jsonb"""
    )
    async with world.relay(), world.consumer():
        await emit(world.sender, case_id)
        await world.heard(1)

    assert await effects(world.hearer) == [2]


@marked
async def test_a_gap_is_held_and_mended_when_the_missing_event_comes(world):
    case_id = new_id()
    await emit(world.sender, case_id, 4)
    await world.sender.pool.execute(
        "UPDATE outbox SET topic = 'elsewhere', published_at = now() WHERE sequence = 2"
    )
    async with world.relay(), world.consumer():
        await until(lambda: positions_are(world, 3))
        assert await effects(world.hearer) == [1]
        assert await world.hearer.pool.fetchval("SELECT code FROM parked_case") == "gap"

        await world.sender.pool.execute(
            "UPDATE outbox SET topic = $1, published_at = NULL WHERE sequence = 2", world.topic
        )
        await world.heard(4)

    assert await effects(world.hearer) == [1, 2, 3, 4]
    assert await world.hearer.pool.fetchval("SELECT count(*) FROM parked_case") == 0


@marked
async def test_a_fork_is_parked(world):
    case_id = new_id()
    async with world.relay(), world.consumer():
        await emit(world.sender, case_id, 2)
        await world.heard(2)
        await world.sender.pool.execute("DELETE FROM outbox WHERE sequence = 2")
        await world.sender.pool.execute("UPDATE case_stream SET last_sequence = 1")
        await emit(world.sender, case_id, 2)
        await until(lambda: positions_are(world, 4))

    assert await effects(world.hearer) == [1, 2]
    assert await world.hearer.pool.fetchval("SELECT code FROM parked_case") == "fork"
    assert await world.hearer.pool.fetchval("SELECT count(*) FROM parked_event") == 2


def registered(case_id):
    return CaseRegistered.model_construct(case_id=case_id, case_number="LD2026-310105-0000123-G")


@marked
async def test_a_closed_case_hears_nothing_more_and_its_number_is_kept(world):
    case_id = new_id()
    async with world.relay(), world.consumer():
        async with world.sender.unit_of_work() as uow:
            await uow.lock_case(case_id, create=True, case_number="LD2026-310105-0000123-G")
            uow.emit(registered(case_id))
            uow.emit(a_change(case_id))
            uow.emit(
                CaseClosed(
                    case_id=case_id,
                    case_number="LD2026-310105-0000123-G",
                    outcome="settled",
                    closed_at=uow.now,
                )
            )
            uow.emit(a_change(case_id))
        await until(lambda: positions_are(world, 4))

    assert await effects(world.hearer) == [2]
    row = await world.hearer.pool.fetchrow("SELECT case_number, episode, closed FROM case_stream")
    assert tuple(row) == ("LD2026-310105-0000123-G", 1, True)


@marked
async def test_the_consumer_survives_lost_database_connections(world):
    case_id = new_id()
    async with world.relay(), world.consumer():
        await emit(world.sender, case_id)
        await world.heard(1)
        await world.hearer.pool.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await emit(world.sender, case_id, 2)
        await world.heard(3)

    assert await effects(world.hearer) == [1, 2, 3]
