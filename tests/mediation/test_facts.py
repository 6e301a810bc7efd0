"""Facts from outside, and lists: clocks, corrections, the next round, pages."""

from datetime import timedelta
from uuid import UUID

import pytest

from services.events.intake import CaseClosed, CaseCorrected, CaseReopened
from services.events.routing import (
    DeadlineMissed,
    DeadlineMissWithdrawn,
    DeadlinePaused,
    DeadlineResumed,
    DeadlineStarted,
    DeadlineStopped,
)
from services.ids import new_id
from tests.mediation.world import COURT, Case, World

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]


async def test_a_term_is_paused_missed_taken_back_and_stopped(world: World) -> None:
    case = await world.accepted()
    due_at = world.now + timedelta(days=20)
    told = {
        "case_id": case.case_id,
        "deadline": world.clock("term", case.assignment_id, due_at),
    }

    async def term() -> dict[str, object]:
        view = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")
        [found] = view["terms"]
        return {**found, "term_missed": view["term_missed"]}

    await world.hear(case, "routing", DeadlineStarted(**told, started_at=world.now))
    await world.hear(
        case, "routing", DeadlinePaused(**told, ground="appraisal", paused_at=world.now)
    )
    assert (await term())["paused"] == "appraisal"
    await world.hear(case, "routing", DeadlineResumed(**told, resumed_at=world.now))
    assert (await term())["paused"] is None
    await world.hear(case, "routing", DeadlineMissed(**told, on_expiry="x", missed_at=due_at))
    assert (await term())["term_missed"] is True
    await world.hear(
        case,
        "routing",
        DeadlineMissWithdrawn(**told, act_at=world.now, withdrawn_at=world.now),
    )
    assert (await term())["term_missed"] is False
    await world.hear(case, "routing", DeadlineStopped(**told, reason="ended", stopped_at=world.now))
    assert (await term())["stopped"] is True


async def test_until_when_an_agreement_can_be_confirmed_is_shown(world: World) -> None:
    case, agreement = await world.agreed("pm")
    due_at = world.now + timedelta(days=30)
    deadline = world.clock("confirmation", UUID(agreement["agreement_id"]), due_at)

    await world.hear(
        case,
        "routing",
        DeadlineStarted(case_id=case.case_id, deadline=deadline, started_at=world.now),
    )

    view = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")
    assert view["agreement"]["confirm_by_on"] == deadline.due_on


async def test_corrected_facts_reach_the_queue(world: World) -> None:
    case = await world.offered()

    await world.hear(
        case,
        "intake",
        CaseCorrected(
            case_id=case.case_id,
            referral_id=new_id(),
            changed=("claim_fen", "place"),
            claim_fen=5_000_000,
            place="330681106000",
            corrected_at=world.now,
        ),
    )

    item = await world.ok("GET", f"/v1/queue/{case.assignment_id}")
    assert (item["claim_fen"], item["place"], item["dispute_type"]) == (
        5_000_000,
        "330681106000",
        "contract",
    )


async def test_the_next_round_starts_afresh_and_the_former_one_stays_as_it_was(
    world: World,
) -> None:
    case = await world.accepted()
    await world.consent(case, case.respondent, "refused")
    await world.hear(
        case, "intake", CaseClosed(case_id=case.case_id, outcome="refused", closed_at=world.now)
    )
    await world.hear(
        case,
        "intake",
        CaseReopened(
            case_id=case.case_id,
            referral_id=new_id(),
            organisation=COURT,
            lane="pm",
            dispute_type="contract",
            place="330681001000",
            parties=case.parties,
            ground="new_facts",
            received_at=world.now,
            reopened_at=world.now,
        ),
        episode=2,
    )
    again = Case(case.case_id, "pm", case.applicant, case.respondent, sequences=case.sequences)
    again.offset = case.offset

    await world.hear(again, "routing", _offer(world, again), episode=2)
    item = await world.ok("POST", f"/v1/queue/{again.assignment_id}/accept", {}, version=1)

    assert item["episode"] == 2
    row = await world.runtime.pool.fetchrow(
        "SELECT headers FROM outbox WHERE type LIKE '%assignment.accepted%' ORDER BY id DESC"
    )
    assert ["ce_episode", "2"] in row["headers"]
    old = await world.refused(
        "POST",
        f"/v1/mediations/{case.mediation_id}/endings",
        {"outcome": "no_agreement", "remedies_told": True},
        version=(await world.ok("GET", f"/v1/mediations/{case.mediation_id}"))["version"],
    )
    assert old == (409, "case-closed")


def _offer(world: World, case: Case) -> object:
    from services.events.routing import AssignmentOffered

    return AssignmentOffered(
        case_id=case.case_id,
        assignment_id=case.assignment_id,
        decision_id=new_id(),
        organisation="330681-CE-0001",
        source_organisation=COURT,
        ordinal=1,
        on_silence="escalate",
        accept_by=world.now + timedelta(days=3),
        window={"n": 3, "unit": "workday"},
        offered_at=world.now - timedelta(minutes=1),
        lane="pm",
        dispute_type="contract",
        place="330681001000",
        parties=case.parties,
        received_at=world.now,
        registered_at=world.now,
    )


async def test_lists_are_paged(world: World) -> None:
    for number in range(3):
        await world.agreed("pm" if number else "court_pre")

    for address in ("/v1/mediations", "/v1/obligations", "/v1/mediators"):
        seen: list[str] = []
        cursor = None
        while True:
            page = await world.ok("GET", address, limit=2, **({"cursor": cursor} if cursor else {}))
            seen += [str(item) for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) >= 3, address
        assert await world.refused("GET", address, cursor="e30") == (400, "cursor-invalid")


async def test_replays_answer_as_the_first_did(world: World) -> None:
    case = await world.appointed()
    address = f"/v1/mediations/{case.mediation_id}"
    key = "replayed-key-0001"
    body = world.session_body(case)

    first = await world.call("POST", f"{address}/sessions", body, key=key)
    again = await world.call("POST", f"{address}/sessions", body, key=key)
    other = await world.refused("POST", f"{address}/sessions", {**body, "room": "B"}, key=key)
    listed = await world.ok("GET", f"{address}/sessions")
    notes = f"/v1/sessions/{first.json()['session_id']}/notes"
    note = {"text": "一句话"}
    written = [
        await world.call("POST", notes, note, key=key, acted_by="330681-CE-0001-s5")
        for _ in range(2)
    ]
    draft = world.agreement_body(case)
    drafts = [await world.call("POST", f"{address}/agreements", draft, key=key) for _ in range(2)]

    assert first.json()["session_id"] == again.json()["session_id"]
    assert len(listed["items"]) == 1
    assert other == (422, "idempotency-key-reused")
    assert written[0].json() == written[1].json()
    assert drafts[0].json()["agreement_id"] == drafts[1].json()["agreement_id"]
