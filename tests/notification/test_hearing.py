import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from notification import repository
from notification.repository import Entry
from notification.wiring import NOTIFICATION
from services.events import intake, mediation
from services.ids import new_id
from services.messaging import failpoints
from services.messaging.inbox import Memory
from services.messaging.kafka import Incoming
from services.runtime import Runtime
from services.service import Received
from services.unit_of_work import Actor, UnitOfWork
from tests.notification.builders import (
    ANNA,
    AT,
    CENTRE,
    COMMITTEE,
    COURT,
    NUMBER,
    POLICE,
    Stream,
    a_deadline,
    a_referral,
    a_registration,
    a_session,
    accepted,
    an_offer,
    joined,
    left,
    returned,
    started,
)
from tests.notification.conftest import Case, feed_types

pytestmark = pytest.mark.postgres


async def _registered(case: Case) -> None:
    await case.hear(a_referral(case.case_id))
    await case.hear(a_registration(case.case_id))
    await case.hear(joined(case.case_id, COURT, "source"))


async def test_a_source_hears_its_case_from_its_referral_on(case: Case, runtime: Runtime) -> None:
    await _registered(case)

    assert await feed_types(runtime, "o-court") == [
        "referral.received",
        "case.registered",
        "case.snapshot",
        "participant.joined",
    ]
    assert await feed_types(runtime, "o-centre") == []


@pytest.mark.parametrize(("days", "is_told"), [(0, False), (1, True)])
async def test_an_offer_numbered_on_a_later_day_is_told_to_be_late(
    case: Case, runtime: Runtime, days: int, is_told: bool
) -> None:
    await _registered(case)
    await case.hear(joined(case.case_id, CENTRE, "handler"))

    offered_at = datetime.now(UTC) - timedelta(days=days)
    offer = await case.hear(an_offer(case.case_id, offered_at=offered_at))

    rows = await runtime.pool.fetch("SELECT type, data FROM outbox")
    late = [orjson.loads(row["data"]) for row in rows if "offer-numbered-late" in row["type"]]
    assert [each["assignment_id"] for each in late] == [str(offer.data.assignment_id)] * is_told


async def test_a_source_reads_its_own_number_and_nobody_else_does(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    await case.hear(joined(case.case_id, CENTRE, "handler"))
    await case.hear(an_offer(case.case_id))

    rows = await runtime.pool.fetch(
        "SELECT DISTINCT connection, reference FROM feed_entry ORDER BY connection"
    )
    assert {r["connection"]: r["reference"] for r in rows} == {
        "o-centre": None,
        "o-court": "(2026)沪0105民诉前调1号",
    }


async def test_a_joining_begins_with_a_snapshot_and_a_leaving_ends_the_feed(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    joining = joined(case.case_id, CENTRE, "handler")
    offer = an_offer(case.case_id)
    for event in (joining, offer, returned(offer), left(joining)):
        await case.hear(event)
    await case.hear(joined(case.case_id, COMMITTEE, "handler"))
    await case.hear(an_offer(case.case_id, COMMITTEE, ordinal=2))

    assert await feed_types(runtime, "o-centre") == [
        "case.snapshot",
        "participant.joined",
        "assignment.offered",
        "assignment.returned",
        "participant.left",
        "participation.ended",
    ]
    assert (await feed_types(runtime, "o-committee"))[0] == "case.snapshot"
    assert "assignment.returned" not in await feed_types(runtime, "o-committee")


async def test_a_snapshot_tells_the_case_as_it_stands(case: Case, runtime: Runtime) -> None:
    await _registered(case)
    received = await case.hear(joined(case.case_id, CENTRE, "handler"))

    row = await runtime.pool.fetchrow(
        "SELECT read_after, event FROM feed_entry WHERE connection = 'o-centre' ORDER BY id"
    )
    assert row["read_after"] == f"routing={received.sequence:010d}"
    assert row["event"]["type"] == "liandiao.case.snapshot.v1"
    assert row["event"]["causationid"] == str(received.event_id)
    assert "sequence" not in row["event"]
    assert row["event"]["data"]["case_number"] == NUMBER
    assert row["event"]["data"]["holder"] == COURT


async def test_sessions_go_to_the_handler_alone(case: Case, runtime: Runtime) -> None:
    await _registered(case)
    await case.hear(joined(case.case_id, CENTRE, "handler"))
    await case.hear(a_session(case.case_id))

    assert "session.scheduled" in await feed_types(runtime, "o-centre")
    assert "session.scheduled" not in await feed_types(runtime, "o-court")


async def test_an_answer_goes_to_the_connection_that_asked_alone(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    await case.hear(
        intake.CommandAnswered(
            case_id=case.case_id,
            connection="o-police",
            command_id="c-1",
            outcome="rejected",
            answered_at=AT,
        )
    )

    assert await feed_types(runtime, "o-police") == ["command.answered"]
    assert "command.answered" not in await feed_types(runtime, "o-court")


async def test_the_same_event_twice_makes_one_entry_and_one_message(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    received = await case.hear(joined(case.case_id, CENTRE, "handler"))
    offered = await case.hear(an_offer(case.case_id))

    await case.again(received)
    await case.again(offered)

    entries = await runtime.pool.fetchval("SELECT count(*) FROM feed_entry")
    distinct = await runtime.pool.fetchval(
        "SELECT count(*) FROM (SELECT DISTINCT connection, event_id FROM feed_entry) t"
    )
    assert entries == distinct
    assert len(await feed_types(runtime, "o-centre")) == 3
    assert await runtime.pool.fetchval("SELECT count(*) FROM message") == 3


async def test_numbers_are_gapless_per_connection_and_in_order_of_the_case(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    other = Case(runtime)
    await _registered(other)
    await case.hear(joined(case.case_id, CENTRE, "handler"))

    rows = await runtime.pool.fetch(
        """SELECT connection, feed_sequence FROM feed_entry ORDER BY connection, id"""
    )
    by_connection: dict[str, list[int]] = {}
    for row in rows:
        by_connection.setdefault(row["connection"], []).append(row["feed_sequence"])
    assert by_connection["o-court"] == list(range(1, 10))
    assert by_connection["o-centre"] == [1, 2]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM feed_entry",
        "UPDATE feed_entry SET feed_sequence = 7",
        "UPDATE feed_entry SET event = '{}'",
        "UPDATE feed_entry SET feed_sequence = NULL",
    ],
)
async def test_an_entry_is_never_changed_nor_removed(
    case: Case, runtime: Runtime, statement: str
) -> None:
    await case.hear(a_referral(case.case_id))

    with pytest.raises(asyncpg.PostgresError):
        await runtime.pool.execute(statement)


async def test_events_after_a_closing_are_fed_but_make_no_messages(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    await case.hear(intake.CaseClosed(case_id=case.case_id, outcome="refused", closed_at=AT))
    before = await runtime.pool.fetchval("SELECT count(*) FROM message")
    await case.hear(started(case.case_id, a_deadline("term")))

    assert (await feed_types(runtime, "o-court"))[-1] == "deadline.started"
    assert await runtime.pool.fetchval("SELECT count(*) FROM message") == before


async def test_a_source_that_left_hears_again_from_a_reopening_on(
    case: Case, runtime: Runtime
) -> None:
    registration = a_registration(case.case_id)
    await case.hear(a_referral(case.case_id))
    await case.hear(registration)
    joining = joined(case.case_id, COURT, "source")
    await case.hear(joining)
    await case.hear(intake.CaseClosed(case_id=case.case_id, outcome="refused", closed_at=AT))
    await case.hear(left(joining, "closed"))
    await case.hear(a_session(case.case_id))
    await case.hear(
        intake.CaseReopened(
            case_id=case.case_id,
            referral_id=registration.referral_id,
            organisation=COURT,
            lane="court_pre",
            dispute_type="contract",
            place="310105001001",
            parties=registration.parties,
            ground="set_aside",
            received_at=AT,
            reopened_at=AT,
        ),
        episode=2,
    )

    assert (await feed_types(runtime, "o-court"))[-3:] == [
        "participant.left",
        "participation.ended",
        "case.reopened",
    ]


async def test_a_linked_body_hears_its_joining_and_the_closing(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    await case.hear(joined(case.case_id, POLICE, "linked"))
    await case.hear(joined(case.case_id, CENTRE, "handler"))
    offer = an_offer(case.case_id)
    await case.hear(offer)
    await case.hear(accepted(offer))
    await case.hear(intake.CaseClosed(case_id=case.case_id, outcome="refused", closed_at=AT))

    assert await feed_types(runtime, "o-police") == [
        "case.snapshot",
        "participant.joined",
        "case.closed",
    ]


async def test_the_copy_survives_a_second_service_process(case: Case, runtime: Runtime) -> None:
    await _registered(case)
    offer = an_offer(case.case_id)
    await case.hear(offer)
    await case.hear(accepted(offer))

    row = await runtime.pool.fetchrow("SELECT * FROM case_copy")
    assert (row["holder"], row["state"], row["parties"][0]["party_id"]) == (
        CENTRE,
        "accepted",
        str(ANNA),
    )


async def test_a_mediation_event_of_an_unknown_case_is_taken_and_heard_by_nobody(
    case: Case, runtime: Runtime
) -> None:
    await case.hear(
        mediation.ConsentGiven(
            case_id=case.case_id,
            consent_id=new_id(),
            mediation_id=new_id(),
            party_id=ANNA,
            step="mediation",
            given_at=AT,
        )
    )
    await asyncio.sleep(0)

    assert await runtime.pool.fetchval("SELECT count(*) FROM feed_entry") == 0


async def test_members_of_a_newer_release_are_passed_on(case: Case, runtime: Runtime) -> None:
    received = case.stream.heard(a_referral(case.case_id))
    newer = b'{"case_id": "x", "reference": "r", "colour_of_paper": "blue"}'
    old = received.record
    record = Incoming(old.topic, old.partition, old.offset, old.key, old.headers, newer)
    await case.again(replace(received, record=record))

    event = await runtime.pool.fetchval("SELECT event FROM feed_entry")
    assert event["data"]["colour_of_paper"] == "blue"


async def _in_one_batch(runtime: Runtime, events: list[Received[Any]]) -> None:
    """As the consumer does: one transaction, one memory, one writing at its end."""
    async with runtime.pool.acquire() as db, db.transaction():
        memory = Memory(db, "notification.cases")
        await memory.load([], {(e.source, e.case_id) for e in events})
        for received in events:
            for subscription in NOTIFICATION.consumes:
                if subscription.event is type(received.data):
                    uow = UnitOfWork(runtime, db, AT, Actor("test"))
                    uow.batch = memory
                    await subscription.handler(received, uow)
                    await uow.flush()
        await memory.save()


def _a_whole_story(stream: Stream) -> list[Received[Any]]:
    case_id = stream.case_id
    source, first = joined(case_id, COURT, "source"), joined(case_id, CENTRE, "handler")
    one, two = an_offer(case_id), an_offer(case_id, COMMITTEE, ordinal=2)
    second = joined(case_id, COMMITTEE, "handler")
    linked, again = joined(case_id, POLICE, "linked"), joined(case_id, POLICE, "linked")
    events = [
        *(a_referral(case_id), a_registration(case_id), source, first, one, returned(one)),
        *(left(first), second, two, accepted(two), started(case_id, a_deadline("term"))),
        *(linked, again, left(linked), a_session(case_id)),
        intake.CaseClosed(case_id=case_id, outcome="refused", closed_at=AT),
        *(left(source), left(second), left(again)),
    ]
    return [stream.heard(event) for event in events]


async def test_events_heard_together_leave_what_they_leave_one_by_one(
    case: Case, runtime: Runtime
) -> None:
    single, together = Case(runtime), Case(runtime)
    for received in _a_whole_story(single.stream):
        await single.again(received)
    await _in_one_batch(runtime, _a_whole_story(together.stream))

    feeds, messages, copies = [], [], []
    for each in (single, together):
        rows = await runtime.pool.fetch(
            """SELECT connection, type, reference, read_after FROM feed_entry WHERE case_id = $1
               ORDER BY connection, id""",
            each.case_id,
        )
        feeds.append([tuple(row) for row in rows])
        rows = await runtime.pool.fetch(
            "SELECT recipient, purpose FROM message WHERE case_id = $1 ORDER BY 1, 2", each.case_id
        )
        messages.append([tuple(row) for row in rows])
        copies.append(
            await runtime.pool.fetchrow(
                "SELECT holder, state, closed, parties FROM case_copy WHERE case_id = $1",
                each.case_id,
            )
        )
    assert feeds[0] == feeds[1]
    assert messages[0] == messages[1]
    assert copies[0] == copies[1]
    types = [t for c, t, *_ in feeds[1] if c == "o-police"]
    assert types.count("liandiao.participation.ended.v1") == 2
    assert "liandiao.case.closed.v1" in types


# -- numbers


async def _numbers(runtime: Runtime, connection: str) -> list[int]:
    rows = await runtime.pool.fetch(
        "SELECT feed_sequence FROM feed_entry WHERE connection = $1 ORDER BY id", connection
    )
    return [row["feed_sequence"] for row in rows]


async def test_the_numbers_of_a_feed_have_no_gap_also_when_events_are_repeated(
    case: Case, runtime: Runtime
) -> None:
    await _registered(case)
    joining = joined(case.case_id, CENTRE, "handler")
    await case.again(await case.hear(joining))
    await case.hear(an_offer(case.case_id))

    for connection in ("o-court", "o-centre"):
        numbers = await _numbers(runtime, connection)
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 3


async def _write_entry(uow: UnitOfWork, case: Case, connection: str) -> None:
    received = case.stream.heard(an_offer(case.case_id))
    entry = Entry(connection, new_id(), received.type, None, "routing=1", {"data": {}})
    await repository.write(uow.db, {}, {}, [(received, entry)], [])


async def _commit_entry(case: Case, connection: str) -> None:
    async with case.runtime.unit_of_work() as uow:
        await _write_entry(uow, case, connection)


class Died(BaseException):
    """The process ends here."""


def _die() -> None:
    raise Died


async def test_a_batch_that_dies_gives_its_numbers_back(case: Case, runtime: Runtime) -> None:
    failpoints.arm("unit_of_work.before_commit", 1, _die)
    with pytest.raises(Died):
        await _commit_entry(case, "o-court")
    await _commit_entry(case, "o-court")

    assert await _numbers(runtime, "o-court") == [1]


async def test_two_writers_of_a_feed_number_in_the_order_of_their_commits(
    case: Case, runtime: Runtime
) -> None:
    async with runtime.unit_of_work() as uow:
        await _write_entry(uow, case, "o-court")
        waiting = asyncio.create_task(_commit_entry(case, "o-court"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        assert await _numbers(runtime, "o-court") == []
    await waiting

    assert await _numbers(runtime, "o-court") == [1, 2]


async def test_a_missed_answer_comes_into_the_feed_of_who_must_answer_and_of_nobody_else(
    case: Case, runtime: Runtime
) -> None:
    """Checklist 1.5: a matter is no case, and nobody takes part in it."""
    await case.hear(
        intake.MatterAnswerMissed(
            case_id=case.case_id,
            matter_id=case.case_id,
            organisation=CENTRE,
            due_at=AT,
            missed_at=AT,
        )
    )

    assert await feed_types(runtime, "o-centre") == ["matter.answer-missed"]
    assert await runtime.pool.fetchval("SELECT count(*) FROM feed_entry") == 1
    assert await runtime.pool.fetchval("SELECT count(*) FROM case_copy") == 0
    assert await runtime.pool.fetchval("SELECT count(*) FROM message") == 0
