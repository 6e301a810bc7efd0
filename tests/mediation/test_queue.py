"""The queue on a real database: offers, acceptance, returns, objections, silence, recall."""

from datetime import timedelta
from typing import Any, Literal

import pytest

from services.events.intake import CaseClosed, CasesJoined, WithdrawalSettled
from services.events.routing import (
    AcceptanceWindowElapsed,
    AssignmentRecalled,
    DeadlineChanged,
    DeadlineMissed,
    DeadlineStarted,
    ObjectionDecided,
)
from services.ids import new_id
from tests.mediation.world import CENTRE, COMMITTEE, COURT, Case, World

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]


def path(case: Case, act: str = "") -> str:
    return f"/v1/queue/{case.assignment_id}{act}"


async def elapse(world: World, case: Case, on_silence: str, **more: Any) -> None:
    accept_by = more.get("accept_by", world.now + timedelta(days=3))
    await world.hear(
        case,
        "routing",
        AcceptanceWindowElapsed(
            case_id=case.case_id,
            assignment_id=case.assignment_id,
            organisation=CENTRE,
            on_silence=on_silence,
            accept_by=accept_by,
            elapsed_at=accept_by,
        ),
    )


async def test_an_offer_heard_twice_is_one_item(world: World) -> None:
    case = await world.offered(again=2)

    queue = await world.ok("GET", "/v1/queue")

    assert [i["assignment_id"] for i in queue["items"]] == [str(case.assignment_id)]
    assert queue["items"][0]["next_act"]["act"] == "accept_or_refuse"
    assert queue["items"][0]["next_act"]["owner"] == CENTRE


async def test_another_organisation_sees_nothing_and_cannot_act(world: World) -> None:
    case = await world.offered()

    assert (await world.ok("GET", "/v1/queue", by=COMMITTEE))["items"] == []
    assert await world.refused("GET", path(case), by=COMMITTEE) == (404, "not-found")
    refused = await world.refused("POST", path(case, "/accept"), {}, by=COMMITTEE, version=1)
    assert refused == (404, "not-found")


async def test_the_queue_is_filtered_sorted_and_paged(world: World) -> None:
    late = await world.offered(accept_by=world.now + timedelta(days=9))
    soon = await world.offered(accept_by=world.now + timedelta(days=1), lane="court_pre")

    first = await world.ok("GET", "/v1/queue", limit=1)
    second = await world.ok("GET", "/v1/queue", limit=1, cursor=first["next"])

    assert first["items"][0]["assignment_id"] == str(soon.assignment_id)
    assert second["items"][0]["assignment_id"] == str(late.assignment_id)
    assert second["next"] is None
    for filters, found in (
        ({"lane": "court_pre"}, 1),
        ({"place": "330681000000"}, 2),
        ({"place": "330726000000"}, 0),
        ({"state": "accepted"}, 0),
        ({"dispute_type": "contract"}, 2),
        ({"due_before": (world.now + timedelta(days=2)).isoformat()}, 1),
    ):
        assert len((await world.ok("GET", "/v1/queue", **filters))["items"]) == found, filters
    other = await world.refused("GET", "/v1/queue", lane="pm", cursor=first["next"])
    assert other == (400, "cursor-invalid")
    counts = await world.ok("GET", "/v1/queue/counts")
    assert (counts["total"], counts["overdue"]) == (2, 0)


async def test_accepting_opens_the_mediation_and_tells_the_term(world: World) -> None:
    case = await world.offered("court_pre")

    answer = await world.call("POST", path(case, "/accept"), {}, version=1, key="k" * 20)
    again = await world.call("POST", path(case, "/accept"), {}, version=1, key="k" * 20)

    item = answer.json()
    assert answer.headers["Case-Sequence"] == "mediation=0000000001"
    assert (item["state"], item["basis"], item["term_starts"]["n"]) == ("accepted", "accepted", 30)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["mediation_id"] == item["mediation_id"]
    [(type_, data)] = await world.emitted(case)
    assert type_ == "assignment.accepted"
    assert data["mediation_id"] == item["mediation_id"]
    jobs = await world.runtime.pool.fetch("SELECT kind FROM job")
    assert [job["kind"] for job in jobs] == ["party-sheet"]


async def test_accepting_needs_version_and_key_and_staff_of_the_house(world: World) -> None:
    case = await world.offered()
    accept = path(case, "/accept")

    assert await world.refused("POST", accept, {}) == (428, "version-required")
    assert (await world.refused("POST", accept, {}, version=1, key=False))[0] == 400
    assert await world.refused("POST", accept, {}, version=2) == (412, "version-mismatch")
    stranger = await world.refused("POST", accept, {}, version=1, acted_by="330726-CE-0001-s1")
    assert stranger == (422, "unknown-staff")
    assert await world.ok("POST", accept, {}, version=1, acted_by="330681-CE-0001-s1")


async def test_a_return_needs_a_ground_of_the_list_and_keeps_its_note_sealed(world: World) -> None:
    case = await world.offered()

    unknown = await world.refused("POST", path(case, "/return"), {"ground": "no_wish"}, version=1)
    item = await world.ok(
        "POST",
        path(case, "/return"),
        {"ground": "conflict_of_interest", "note": "楼样明是本会成员"},
        version=1,
    )

    assert unknown == (422, "ground")
    assert item["state"] == "returned"
    [(type_, data)] = await world.emitted(case)
    assert (type_, data["ground"]) == ("assignment.returned", "conflict_of_interest")
    sealed = await world.runtime.pool.fetchval("SELECT note_sealed FROM assignment")
    assert "楼样明".encode() not in sealed
    assert await world.refused("POST", path(case, "/accept"), {}, version=2) == (409, "state")


async def test_at_accept_by_a_return_is_too_late_but_acceptance_still_possible(
    world: World,
) -> None:
    case = await world.offered(accept_by=world.now)

    late = await world.refused("POST", path(case, "/return"), {"ground": "safety"}, version=1)

    assert late == (409, "acceptance-window-elapsed")
    assert (await world.ok("POST", path(case, "/accept"), {}, version=1))["state"] == "accepted"


async def test_a_binding_offer_cannot_be_returned(world: World) -> None:
    case = await world.offered(returnable=False)

    refused = await world.refused("POST", path(case, "/return"), {"ground": "safety"}, version=1)

    assert refused == (409, "binding")


@pytest.mark.parametrize(
    ("on_silence", "type_", "member", "value"),
    [
        ("deemed_accepted", "assignment.deemed-accepted", "basis", "deemed_accepted"),
        ("held_to_it", "assignment.deemed-accepted", "basis", "held_to_it"),
        ("reoffer", "assignment.ended", "end", "not_confirmed"),
        ("return_to_source", "assignment.ended", "end", "not_confirmed"),
        ("escalate", "assignment.ended", "end", "escalated"),
    ],
)
async def test_silence_means_what_the_lane_says(
    world: World, on_silence: str, type_: str, member: str, value: str
) -> None:
    case = await world.offered()

    await elapse(world, case, on_silence)

    [(emitted, data)] = await world.emitted(case)
    assert (emitted, data[member]) == (type_, value)


async def test_an_answer_before_the_window_was_heard_to_end_stands(world: World) -> None:
    case = await world.accepted()

    await elapse(world, case, "reoffer")

    assert await world.types(case) == ["assignment.accepted"]


async def test_only_a_later_accept_by_is_taken_over(world: World) -> None:
    case = await world.offered(accept_by=world.now + timedelta(days=3))
    for days, expected in ((2, 3), (5, 5)):
        due_at = world.now + timedelta(days=days)
        await world.hear(
            case,
            "routing",
            DeadlineChanged(
                case_id=case.case_id,
                deadline=world.clock("acceptance", case.assignment_id, due_at),
                reason="numbered_later",
                previous_due_at=world.now,
                changed_at=world.now,
            ),
        )
        row = await world.runtime.pool.fetchrow("SELECT accept_by, due_at FROM assignment")
        assert row["accept_by"] - world.now == timedelta(days=expected) == row["due_at"] - world.now

    await elapse(world, case, "reoffer", accept_by=world.now + timedelta(days=3))
    assert await world.types(case) == []


@pytest.mark.parametrize(
    ("upheld", "state", "last"),
    [(True, "returned", "assignment.ended"), (False, "accepted", "assignment.deemed-accepted")],
)
async def test_an_objection_waits_for_the_sender(
    world: World, upheld: bool, state: str, last: str
) -> None:
    case = await world.offered("petition", refusal_kind="objection", on_silence="held_to_it")
    body = {"ground": "not_competent"}

    wrong = await world.refused("POST", path(case, "/return"), body, version=1)
    item = await world.ok("POST", path(case, "/object"), body, version=1)
    waiting = await world.refused("POST", path(case, "/accept"), {}, version=2)
    await world.hear(
        case,
        "routing",
        ObjectionDecided(
            case_id=case.case_id,
            assignment_id=case.assignment_id,
            organisation=CENTRE,
            upheld=upheld,
            decided_by=COURT,
            decided_at=world.now,
        ),
    )

    assert wrong == (409, "objection-only")
    assert item["next_act"] == {
        "act": "decide_objection", "owner": COURT, "due_at": None, "due_on": None, "overdue": False,
    }  # fmt: skip
    assert waiting == (409, "state")
    assert (await world.ok("GET", path(case)))["state"] == state
    assert await world.types(case) == ["assignment.objected", last]


async def test_a_recall_ends_the_turn_and_calls_sessions_off(world: World) -> None:
    case = await world.appointed()
    await world.ok("POST", f"/v1/mediations/{case.mediation_id}/sessions", world.session_body(case))

    await world.hear(
        case,
        "routing",
        AssignmentRecalled(
            case_id=case.case_id,
            assignment_id=case.assignment_id,
            organisation=CENTRE,
            ground="override",
            recalled_at=world.now,
        ),
    )

    assert (await world.types(case))[-2:] == ["session.cancelled", "assignment.ended"]
    assert (await world.ok("GET", path(case)))["end"] == "recalled"
    assert (await world.refused("POST", path(case, "/accept"), {}, version=3))[0] == 409


async def test_the_turn_of_an_agreed_case_is_not_taken_back_and_completes(world: World) -> None:
    """人民调解法 31 (R-24): who mediated sees to the performance."""
    case, agreement = await world.agreed()
    before = await world.types(case)

    await world.hear(
        case,
        "routing",
        AssignmentRecalled(
            case_id=case.case_id,
            assignment_id=case.assignment_id,
            organisation=CENTRE,
            ground="source-withdrew",
            recalled_at=world.now,
        ),
    )

    assert await world.types(case) == before
    assert (await world.ok("GET", path(case)))["state"] == "accepted"
    owed = f"/v1/obligations/{agreement['obligations'][0]}"
    await world.ok("POST", f"{owed}/performances", {"proved_by": "creditor"}, version=1)
    name, ended = (await world.emitted(case))[-1]
    assert (name, ended["end"], ended["outcome"]) == (
        "assignment.ended",
        "completed",
        "agreed_written",
    )


@pytest.mark.parametrize(("side", "state"), [("joined", "ended"), ("surviving", "accepted")])
async def test_a_case_that_is_joined_to_another_rests(
    world: World, side: Literal["joined", "surviving"], state: str
) -> None:
    """Checklist 1.13: the joined file's turn is taken back, the surviving one's goes on."""
    case = await world.appointed()
    if side == "joined":
        closed = CaseClosed(case_id=case.case_id, outcome="joined", closed_at=world.now)
        await world.hear(case, "intake", closed)

    await world.hear(
        case,
        "intake",
        CasesJoined(
            case_id=case.case_id,
            join_id=new_id(),
            side=side,
            other_case_id=new_id(),
            other_case_number="LD2026-330681-0000123-G",
            holder=CENTRE,
            ground="same_dispute",
            decided_by=CENTRE,
            joined_at=world.now,
        ),
    )

    assert (await world.ok("GET", path(case)))["state"] == state
    assert ("assignment.ended" in await world.types(case)) == (side == "joined")


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize(("result", "state"), [("ends", "ended"), ("goes_on", "accepted")])
async def test_a_case_that_its_source_took_back_goes_on_or_is_taken_back_too(
    world: World, result: Literal["ends", "goes_on"], state: str, closed: bool
) -> None:
    """Checklist 1.32: also an offer that intake had not heard of when it closed the case."""
    case = await (world.offered() if closed else world.appointed())
    if closed:
        over = CaseClosed(case_id=case.case_id, outcome="recalled_by_source", closed_at=world.now)
        await world.hear(case, "intake", over)

    await world.hear(
        case,
        "intake",
        WithdrawalSettled(
            case_id=case.case_id, withdrawal_id=new_id(), result=result, settled_at=world.now
        ),
    )

    ended = [
        data["end"] for type_, data in await world.emitted(case) if type_ == "assignment.ended"
    ]
    assert ended == (["recalled"] if result == "ends" else [])
    if not closed:
        assert (await world.ok("GET", path(case)))["state"] == state


async def test_a_withdrawal_does_not_take_back_what_is_agreed(world: World) -> None:
    """Checklist 1.32: the agreement was first, so it binds (人民调解法 31: R-24)."""
    case, _ = await world.agreed()

    await world.hear(
        case,
        "intake",
        WithdrawalSettled(
            case_id=case.case_id, withdrawal_id=new_id(), result="ends", settled_at=world.now
        ),
    )

    assert (await world.ok("GET", path(case)))["state"] == "accepted"
    assert "assignment.ended" not in await world.types(case)


async def test_a_term_clock_is_shown_and_its_miss_flagged(world: World) -> None:
    case = await world.accepted()
    due_at = world.now + timedelta(days=20)
    deadline = world.clock("term", case.assignment_id, due_at)
    told = {"case_id": case.case_id, "deadline": deadline}

    await world.hear(case, "routing", DeadlineStarted(**told, started_at=world.now))
    before = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")
    await world.hear(
        case, "routing", DeadlineMissed(**told, on_expiry="terminate", missed_at=due_at)
    )
    after = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")

    assert before["term_due_on"] == deadline.due_on
    assert (before["term_missed"], after["term_missed"]) == (False, True)
    assert before["next_act"]["act"] == "appoint_mediator"
    assert after["next_act"]["overdue"] is True
