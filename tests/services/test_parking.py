"""Parked cases on a real PostgreSQL: replayed in order, overtaken by nothing."""

import asyncio

import pytest

from services.clock import wire
from services.errors import NotFound
from services.events.envelope import payload
from services.ids import new_id
from services.messaging import failpoints, parking
from services.messaging.handling import CaseEvents, Tally
from services.messaging.kafka import Incoming
from services.messaging.transaction import transaction
from tests.fixtures.messaging import Crash, a_change, a_runtime, crash, effects

pytestmark = pytest.mark.postgres
OFFSETS = iter(range(1_000_000))


def an_event(case_id, sequence, *, source="/intake", event_id=None):
    """A record of the topic as the consumer would have it."""
    import orjson

    event = a_change(case_id)
    headers = {
        "ce_id": str(event_id or new_id()),
        "ce_source": source,
        "ce_type": event.spec.type,
        "ce_subject": str(case_id),
        "ce_time": wire(event.changed_at),
        "ce_recordedtime": wire(event.changed_at),
        "ce_sequence": f"{sequence:010d}",
        "ce_episode": "1",
    }
    data = orjson.dumps(payload(event))
    pairs = [[name, value] for name, value in headers.items()]
    return Incoming("cases", 0, next(OFFSETS), str(case_id), pairs, data)


@pytest.fixture
async def runtime(postgres_server):
    async with a_runtime(postgres_server) as made:
        yield made


async def take(runtime, *records):
    """What the consumer does with records of one batch."""
    events, tally = CaseEvents(runtime), Tally()
    async with transaction(runtime) as (db, _):
        memory, now = await events.remember(db, list(records))
        for record in records:
            await events.take(db, memory, record, now, tally)
        await memory.save()
    return tally


async def park(runtime, record):
    events = CaseEvents(runtime)
    async with transaction(runtime) as (db, _):
        await events.park(db, record, "KeyError")


async def test_a_replay_does_everything_in_order_and_unparks(runtime):
    case_id = new_id()
    await park(runtime, an_event(case_id, 1))
    await take(runtime, *(an_event(case_id, n) for n in range(2, 121)))
    assert await effects(runtime) == []

    done = await parking.replay(runtime, str(case_id))

    assert (done.done, done.left) == (120, 0)
    assert await effects(runtime, case_id) == list(range(1, 121))
    assert await parking.list_parked(runtime) == []


async def test_a_replay_that_fails_again_keeps_the_rest_in_order(runtime):
    case_id = new_id()
    trouble = runtime.state["trouble"].by_case
    await park(runtime, an_event(case_id, 1))
    await take(runtime, an_event(case_id, 2))
    trouble[case_id] = ValueError()

    done = await parking.replay(runtime, str(case_id))
    assert (done.done, done.left, done.code) == (0, 2, "ValueError")

    trouble.clear()
    assert (await parking.replay(runtime, str(case_id))).left == 0
    assert await effects(runtime, case_id) == [1, 2]


async def test_a_replay_that_dies_before_its_commit_has_done_nothing(runtime):
    case_id = new_id()
    await park(runtime, an_event(case_id, 1))
    failpoints.arm("replay.before_commit", 1, crash)
    with pytest.raises(Crash):
        await parking.replay(runtime, str(case_id))
    assert await effects(runtime) == []

    await parking.replay(runtime, str(case_id))
    assert await effects(runtime) == [1]


async def test_an_event_that_comes_during_a_replay_waits_and_overtakes_nothing(runtime):
    case_id = new_id()
    await park(runtime, an_event(case_id, 1))
    events = CaseEvents(runtime)
    async with transaction(runtime) as (db, _):
        await parking._lock(db, events.consumer, str(case_id))
        late = asyncio.create_task(take(runtime, an_event(case_id, 2)))
        await asyncio.sleep(0.3)
        assert not late.done()
        row = await db.fetchrow("SELECT * FROM parked_event")
        record = parking._incoming(row)
        memory, now = await events.remember(db, [record])
        await events.apply(db, memory, record, record.envelope(), now, Tally())
        await memory.save()
        await db.execute("DELETE FROM parked_event")
        await parking._unpark(db, events.consumer, str(case_id))
    await late

    assert await effects(runtime, case_id) == [1, 2]


async def test_two_replays_at_once_have_one_effect(runtime):
    case_id = new_id()
    await park(runtime, an_event(case_id, 1))
    await take(runtime, *(an_event(case_id, n) for n in range(2, 20)))

    await asyncio.gather(
        *(parking.replay(runtime, str(case_id)) for _ in range(3)), return_exceptions=True
    )

    assert await effects(runtime, case_id) == list(range(1, 20))


async def test_a_copy_of_a_waiting_event_has_no_second_effect(runtime):
    case_id, event_id = new_id(), new_id()
    await park(runtime, an_event(case_id, 1, event_id=event_id))
    await take(runtime, an_event(case_id, 1, event_id=event_id), an_event(case_id, 2))

    await parking.replay(runtime, str(case_id))

    assert await effects(runtime, case_id) == [1, 2]


async def test_the_missing_event_is_taken_from_further_back_in_the_queue(runtime):
    case_id = new_id()
    await park(runtime, an_event(case_id, 1))
    await take(runtime, an_event(case_id, 3), an_event(case_id, 2))

    await parking.replay(runtime, str(case_id))

    assert await effects(runtime, case_id) == [1, 2, 3]


async def test_a_gap_is_not_shown_before_a_minute_is_over(runtime):
    case_id = new_id()
    await take(runtime, an_event(case_id, 2))
    assert await parking.list_parked(runtime) == []
    assert len(await parking.list_parked(runtime, waiting_too=True)) == 1

    await runtime.pool.execute("UPDATE parked_case SET parked_at = now() - interval '61 s'")

    assert [row["code"] for row in await parking.list_parked(runtime)] == ["gap"]
    assert await parking.mend_gaps(runtime) == 0


async def test_sources_of_one_case_are_counted_apart_and_queue_together(runtime):
    case_id = new_id()
    await take(
        runtime,
        an_event(case_id, 1, source="/routing"),
        an_event(case_id, 2, source="/intake"),
        an_event(case_id, 2, source="/routing"),
    )
    assert await effects(runtime, case_id) == [1]

    tally = await take(runtime, an_event(case_id, 1, source="/intake"))
    assert tally.mended == {str(case_id)}
    await parking.replay(runtime, str(case_id))

    rows = await runtime.pool.fetch("SELECT source, sequence FROM effect ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("/routing", 1),
        ("/intake", 1),
        ("/intake", 2),
        ("/routing", 2),
    ]


async def test_the_second_gap_of_a_case_is_mended_as_soon_as_the_first(runtime):
    case_id = new_id()
    await take(
        runtime,
        an_event(case_id, 2, source="/intake"),
        an_event(case_id, 2, source="/routing"),
    )
    tally = await take(runtime, an_event(case_id, 1, source="/intake"))
    assert tally.mended
    assert (await parking.replay(runtime, str(case_id))).code == "gap"

    tally = await take(runtime, an_event(case_id, 1, source="/routing"))

    assert tally.mended == {str(case_id)}


async def test_a_dropped_event_is_audited_and_the_next_one_is_next(runtime):
    case_id = new_id()
    await park(runtime, an_event(case_id, 1))
    await take(runtime, an_event(case_id, 2))

    answer = await parking.drop_parked(runtime, str(case_id), "sent by mistake")
    assert answer["left"] == 1
    await parking.replay(runtime, str(case_id))

    assert await effects(runtime, case_id) == [2]
    assert await runtime.pool.fetchval("SELECT action FROM audit_entry") == "event.dropped"


async def test_a_drop_gives_up_what_never_came_and_nothing_that_waits(runtime):
    case_id = new_id()
    await take(runtime, an_event(case_id, 1), an_event(case_id, 5), an_event(case_id, 4))

    answer = await parking.drop_parked(runtime, str(case_id), "the sender lost them")
    assert answer == {"source": "/intake", "missing": {"first": 2, "last": 3}, "left": 2}
    assert (await parking.replay(runtime, str(case_id))).left == 0

    assert await effects(runtime, case_id) == [1, 4, 5]
    detail = await runtime.pool.fetchval("SELECT detail FROM audit_entry")
    assert detail["missing"] == {"first": 2, "last": 3}


async def test_a_drop_takes_the_event_at_which_the_replay_stops(runtime):
    case_id = new_id()
    await take(runtime, an_event(case_id, 2))
    poison = an_event(case_id, 1)
    await park(runtime, Incoming(*(*_fields(poison)[:5], b"{")))
    assert (await parking.replay(runtime, str(case_id))).left == 2

    await parking.drop_parked(runtime, str(case_id), "nobody can read it")
    assert (await parking.replay(runtime, str(case_id))).left == 0

    assert await effects(runtime, case_id) == [2]


async def test_behind_a_record_without_a_place_nothing_else_is_let_go(runtime):
    case_id = new_id()
    await take(runtime, an_event(case_id, 1))
    broken = an_event(case_id, 2)
    await park(runtime, Incoming(*(*_fields(broken)[:4], [], broken.data)))
    await take(runtime, an_event(case_id, 3), an_event(case_id, 4))

    await parking.drop_parked(runtime, str(case_id), "its headers are gone")
    assert (await parking.replay(runtime, str(case_id))).code == "gap"
    await parking.drop_parked(runtime, str(case_id), "it was the second")
    await parking.replay(runtime, str(case_id))

    assert await effects(runtime, case_id) == [1, 3, 4]


def _fields(record):
    return record.topic, record.partition, record.offset, record.key, record.headers, record.data


async def test_what_is_not_parked_cannot_be_replayed(runtime):
    with pytest.raises(NotFound):
        await parking.replay(runtime, str(new_id()))
