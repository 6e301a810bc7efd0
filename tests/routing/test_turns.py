"""Offer, return, objection, recall, override, settlement: one turn at a time, never two."""

from typing import Any, Literal

import asyncpg
import pytest

from routing.wiring import ROUTING
from services.events.envelope import Party
from services.events.intake import (
    CaseCorrected,
    CaseReopened,
    PartyChanged,
    PartyLeft,
    ReferralReceived,
    WithdrawalSettled,
)
from services.events.mediation import AgreementEffective, AssignmentEnded
from services.ids import new_id
from tests.routing.world import (
    CENTRE,
    COMMITTEE,
    CONVENOR,
    COORDINATOR,
    COURT,
    POLICE,
    Case,
    World,
)

pytestmark = pytest.mark.postgres


async def test_a_registered_case_is_offered_with_its_reasons(world: World) -> None:
    case = await world.registered()

    assert await world.names(case) == [
        "participant.joined",
        "participant.joined",
        "assignment.offered",
        "deadline.started",
    ]
    source, handler, offered, clock = await world.told(case)
    assert (source["organisation"], source["role"]) == (COURT, "source")
    assert source["reference"] == "（2026）浙0681民诉前调1234号"
    assert (handler["organisation"], handler["role"]) == (COMMITTEE, "handler")
    assert (offered["organisation"], offered["ordinal"]) == (COMMITTEE, 1)
    assert offered["on_silence"] == "reoffer"
    assert clock["deadline"]["rule"] == "DL-CT-03"
    assert clock["deadline"]["due_at"] == offered["accept_by"]
    decision = await world.ok("GET", f"/v1/decisions/{offered['decision_id']}")
    assert decision["chosen"] == COMMITTEE
    assert decision["runners_up"] == [CENTRE]
    assert "暨阳" in decision["reasons"]["zh"][0]
    assert any("nearest" in sentence for sentence in decision["reasons"]["en"])
    refused = {c["organisation"]: c["failed"] for c in decision["candidates"]}
    assert refused["330681-CC-0001"] == ["commercial-by-both"]


@pytest.mark.parametrize("chosen", [COMMITTEE, None])
async def test_a_partys_own_committee_is_asked_when_the_other_side_chose_it(
    world: World, chosen: str | None
) -> None:
    founder = {"kind": "organisation", "organisation": "330681-GO-0001"}
    case = await world.registered(
        parties=[
            {"party_id": new_id(), "role": "applicant", "kind": "person"},
            {"party_id": new_id(), "role": "respondent", **founder},
        ],
        legal_context={"own_committee_chosen": chosen} if chosen else {},
    )

    turn = await world.turn(case)

    assert turn["organisation"] == (COMMITTEE if chosen else CENTRE)
    decision = await world.ok("GET", f"/v1/decisions/{turn['decision_id']}")
    assert decision["inputs"].get("own_committee_chosen") == chosen
    failed = {c["organisation"]: c["failed"] for c in decision["candidates"]}
    assert ("no-party-conflict" in failed[COMMITTEE]) is (chosen is None)


async def test_hearing_it_twice_changes_nothing(world: World) -> None:
    case = await world.registered()

    await world.give_back(case, again=3)

    names = await world.names(case)
    assert names.count("assignment.offered") == 2
    assert names.count("participant.left") == 1


async def test_who_is_asked_next_is_told_of_those_who_have_not_left(world: World) -> None:
    roles = ("applicant", "applicant", "respondent")
    parties = [{"party_id": new_id(), "role": role, "kind": "person"} for role in roles]
    case = await world.registered(parties=parties)
    for party in (parties[0], parties[2]):
        left = PartyLeft(
            case_id=case.case_id,
            party_id=party["party_id"],
            role=party["role"],
            left_at=await world.now(),
            told_by="party",
        )
        await world.hear(case, "intake", left)

    await world.give_back(case)

    told = [party["party_id"] for party in (await world.turn(case))["parties"]]
    # The last of a side is kept: its leaving ends the case, which is not routing's to say.
    assert told == [str(parties[1]["party_id"]), str(parties[2]["party_id"])]


async def test_who_is_asked_next_is_told_of_a_party_that_was_named_later(world: World) -> None:
    case = await world.registered()
    late = Party(party_id=new_id(), role="third_party", kind="person")
    naming = PartyChanged(
        case_id=case.case_id,
        party_id=late.party_id,
        changed=("added",),
        added=late,
        changed_at=await world.now(),
    )
    await world.hear(case, "intake", naming)

    await world.give_back(case)

    told = [party["party_id"] for party in (await world.turn(case))["parties"]]
    assert told.count(str(late.party_id)) == 1


async def test_a_returned_case_goes_to_the_county_centre(world: World) -> None:
    case = await world.registered()

    await world.give_back(case)

    turn = await world.turn(case)
    assert (turn["organisation"], turn["ordinal"]) == (CENTRE, 2)
    assert (await world.names(case))[4:] == [
        "deadline.stopped",
        "participant.left",
        "participant.joined",
        "assignment.offered",
        "deadline.started",
    ]


async def test_the_police_case_never_comes_back_to_its_sender(world: World) -> None:
    case = await world.registered("police-boundary-wall")
    assert (await world.turn(case))["organisation"] == "330681-CM-0017"

    await world.give_back(case)

    undecided = await world.last(case, "case.routing-undecided")
    assert undecided["reason"] == "nobody_competent"
    assert undecided["holder"] == POLICE
    assert undecided["coordinator"] == "330681-GO-0004"


async def test_a_second_return_is_settled_in_its_order(world: World) -> None:
    case = await world.registered()
    await world.give_back(case)
    await world.give_back(case)
    undecided = await world.last(case, "case.routing-undecided")
    assert (undecided["reason"], undecided["holder"]) == ("second_return", COURT)
    assert undecided["coordinator"] == COORDINATOR
    body = {"case_id": str(case.case_id), "outcome": "lead_named", "lead": CENTRE}

    for stage in ("superior", "conference"):
        assert (await world.refused("POST", "/v1/conferences", {**body, "stage": stage}))[0] == 409
    no = {"case_id": str(case.case_id), "stage": "agreement", "outcome": "no_agreement"}
    await world.ok("POST", "/v1/conferences", no)
    # A committee of the bureau and a centre have no common superior: a conference follows.
    assert (await world.refused("POST", "/v1/conferences", {**body, "stage": "superior"}))[0] == 409
    other = await world.call("POST", "/v1/conferences", no, by="330681-CM-0008")
    assert other.status_code == 404
    settled = await world.ok(
        "POST",
        "/v1/conferences",
        {**body, "stage": "conference"},
        by=CONVENOR,
        scopes="conference:write",
    )

    assert settled["binding"] is True
    turn = await world.turn(case)
    assert (turn["organisation"], turn["returnable"], turn["ordinal"]) == (CENTRE, False, 3)
    names = await world.names(case)
    assert names.count("conference.convened") == names.count("conference.resolved") == 2
    clocks = await world.ok("GET", "/v1/clocks", case_id=str(case.case_id), kind="settlement")
    assert [clock["state"] for clock in clocks["items"]] == ["stopped"]


async def test_a_settlement_cannot_name_a_body_without_a_mediator(world: World) -> None:
    case = await world.registered("police-boundary-wall")
    await world.give_back(case)
    body = {"case_id": str(case.case_id), "stage": "agreement", "outcome": "lead_named"}

    answer = await world.refused(
        "POST", "/v1/conferences", {**body, "lead": "330681-CM-0018"}, by=POLICE
    )

    assert answer == (422, "has_a_mediator")


async def test_accepting_stops_the_window_and_starts_the_term_once(world: World) -> None:
    case = await world.registered()

    await world.accept(case)
    await world.accept(case)

    names = await world.names(case)
    assert names[4:] == ["deadline.stopped", "deadline.started"]
    term = (await world.told(case))[-1]["deadline"]
    assert (term["kind"], term["rule"], term["citation"]) == ("term", "DL-CT-05", "L-08")


async def test_the_source_recalls_and_holds_the_case_again(world: World) -> None:
    case = await world.registered()
    turn = await world.accept(case)
    path = f"/v1/assignments/{turn['assignment_id']}/recalls"
    assert (await world.call("POST", path, by=COMMITTEE)).status_code == 403
    assert (await world.call("POST", path, by="330681-CM-0008")).status_code == 404

    key = "k" * 20
    first = await world.ok("POST", path, {"ground": "source-withdrew"}, key=key)
    again = await world.call("POST", path, {"ground": "source-withdrew"}, key=key)

    assert first["state"] == "recalling"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await world.names(case)).count("assignment.recalled") == 1
    await world.end(case, "recalled")
    undecided = await world.last(case, "case.routing-undecided")
    assert undecided["reason"] == "returned_to_source"
    assert "coordinator" not in undecided
    assert (await world.turn(case))["ordinal"] == 1
    # The source sends it on by naming a body that agreed.
    body = {"case_id": str(case.case_id), "stage": "agreement", "outcome": "lead_named"}
    await world.ok("POST", "/v1/conferences", {**body, "lead": CENTRE})
    assert (await world.turn(case))["organisation"] == CENTRE


async def test_an_agreed_case_is_not_taken_back(world: World) -> None:
    """人民调解法 31 (R-24): who mediated sees to the performance."""
    case = await world.registered()
    turn = await world.accept(case)
    await agree(world, case, turn)

    recall = f"/v1/assignments/{turn['assignment_id']}/recalls"
    assert (await world.call("POST", recall)).status_code == 409
    override = f"/v1/decisions/{turn['decision_id']}/overrides"
    body = {"organisation": CENTRE, "ground": "complex"}
    assert (await world.call("POST", override, body, by=COORDINATOR)).status_code == 409
    assert "assignment.recalled" not in await world.names(case)


@pytest.mark.parametrize("overridden", [False, True])
async def test_a_recall_that_crosses_an_agreement_has_no_effect(
    world: World, overridden: bool
) -> None:
    case = await world.registered()
    turn = await world.accept(case)
    if overridden:
        body = {"organisation": CENTRE, "ground": "complex"}
        path = f"/v1/decisions/{turn['decision_id']}/overrides"
        await world.ok("POST", path, body, by=COORDINATOR)
    else:
        await world.ok("POST", f"/v1/assignments/{turn['assignment_id']}/recalls", {})

    await agree(world, case, turn)
    kept = await world.ok("GET", f"/v1/assignments/{turn['assignment_id']}")
    await world.end(case, "completed")

    assert (kept["organisation"], kept["state"]) == (COMMITTEE, "accepted")
    assert (await world.names(case)).count("assignment.offered") == 1


async def agree(world: World, case: Case, turn: dict[str, Any]) -> None:
    """Mediation says that an agreement binds."""
    await world.hear(
        case,
        "mediation",
        AgreementEffective(
            case_id=case.case_id,
            agreement_id=new_id(),
            mediation_id=new_id(),
            assignment_id=turn["assignment_id"],
            organisation=turn["organisation"],
            form="written",
            effect_rule="both_parties_signed",
            sha256="a" * 64,
            confirmable=False,
            effective_at=await world.now(),
        ),
    )


@pytest.mark.parametrize("end", ["recalled", "returned"])
async def test_nobody_else_is_asked_when_the_case_ends_because_it_was_taken_back(
    world: World, end: str
) -> None:
    """Checklist 1.32: whatever crosses, the end of the turn asks nobody and is for intake."""
    case = await world.registered()
    if end == "recalled":
        await world.accept(case)

    await settle(world, case, "ends")
    await (world.end(case, end) if end == "recalled" else world.give_back(case))

    names = await world.names(case)
    assert names.count("assignment.offered") == 1
    assert "case.routing-undecided" not in names


async def test_a_case_that_was_to_end_goes_on_when_an_agreement_was_first(world: World) -> None:
    """Checklist 1.32."""
    case = await world.registered()
    turn = await world.accept(case)
    await settle(world, case, "ends")
    await agree(world, case, turn)

    await settle(world, case, "goes_on")

    kept = await world.ok("GET", f"/v1/assignments/{turn['assignment_id']}")
    assert kept["state"] == "accepted"
    state = await world.runtime.pool.fetchval(
        "SELECT state FROM routed_case WHERE case_id = $1", case.case_id
    )
    assert state == "held"


async def settle(world: World, case: Case, result: Literal["ends", "goes_on"]) -> None:
    """Intake says whether the case goes on after its referral was taken back."""
    await world.hear(
        case,
        "intake",
        WithdrawalSettled(
            case_id=case.case_id,
            withdrawal_id=new_id(),
            result=result,
            settled_at=await world.now(),
        ),
    )


async def test_what_is_said_of_a_turn_that_is_over_changes_nothing(world: World) -> None:
    """Mediation says an end once; whoever has the next turn must not feel a second."""
    case = await world.registered()
    first = await world.turn(case)
    await world.give_back(case)
    told = await world.names(case)

    for end in ("completed", "recalled"):
        await world.hear(
            case,
            "mediation",
            AssignmentEnded(
                case_id=case.case_id,
                assignment_id=first["assignment_id"],
                organisation=first["organisation"],
                ordinal=1,
                end=end,
                ended_at=await world.now(),
            ),
        )

    assert await world.names(case) == told
    gone = await world.ok("GET", f"/v1/assignments/{first['assignment_id']}")
    assert gone["state"] == "returned"
    second = (await world.turn(case))["assignment_id"]
    assert (await world.ok("GET", f"/v1/assignments/{second}"))["state"] == "offered"


async def test_an_override_follows_the_end_of_the_turn_it_took_back(world: World) -> None:
    case = await world.registered()
    turn = await world.turn(case)
    path = f"/v1/decisions/{turn['decision_id']}/overrides"
    body = {"organisation": CENTRE, "ground": "complex"}
    assert (await world.call("POST", path, body)).status_code == 403  # scope
    assert (await world.call("POST", path, body, by="330681-GO-0004")).status_code == 404

    await world.ok("POST", path, body, by=COORDINATOR)
    assert (await world.names(case))[-1] == "assignment.recalled"
    assert (await world.turn(case))["organisation"] == COMMITTEE
    await world.end(case, "recalled")

    turn = await world.turn(case)
    assert (turn["organisation"], turn["ordinal"]) == (CENTRE, 2)
    decision = await world.ok("GET", f"/v1/decisions/{turn['decision_id']}")
    assert (decision["kind"], decision["decided_by"]) == ("override", COORDINATOR)
    assert decision["ground"] == "complex"


@pytest.mark.parametrize("upheld", [True, False])
async def test_the_sender_decides_an_objection(world: World, upheld: bool) -> None:
    case = await world.registered("petition-demolition-compensation")
    turn = await world.object_to(case)
    assert (turn["refusal_kind"], turn["on_silence"]) == ("objection", "held_to_it")
    path = f"/v1/assignments/{turn['assignment_id']}/objection-decisions"

    answer = await world.ok("POST", path, {"upheld": upheld}, by=case.source)

    assert answer["state"] == "objected"
    assert (await world.last(case, "assignment.objection-decided"))["upheld"] is upheld
    if upheld:
        await world.end(case, "objection_upheld")
        assert "participant.left" in await world.names(case)
    else:
        await world.accept(case)
        assert (await world.last(case, "deadline.started"))["deadline"]["rule"] == "DL-PT-04"


async def test_there_are_never_two_turns(world: World) -> None:
    case = await world.registered()

    with pytest.raises(asyncpg.UniqueViolationError):
        await world.runtime.pool.execute(
            """INSERT INTO assignment SELECT (jsonb_populate_record(a, jsonb_build_object(
                 'id', gen_random_uuid(), 'ordinal', 9))).* FROM assignment a
               WHERE case_id = $1""",
            case.case_id,
        )


async def test_decisions_are_never_rewritten(world: World) -> None:
    case = await world.registered()

    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await world.runtime.pool.execute(
            "UPDATE decision SET chosen = NULL WHERE case_id = $1", case.case_id
        )


async def test_closing_stops_every_clock_and_lets_helpers_go(world: World) -> None:
    case = await world.registered()
    await world.accept(case)
    await world.end(case, "completed")

    await world.close(case)

    clocks = await world.ok("GET", "/v1/clocks", case_id=str(case.case_id))
    assert {clock["state"] for clock in clocks["items"]} == {"stopped"}
    rows = await world.runtime.pool.fetch(
        "SELECT role FROM participation WHERE case_id = $1 AND left_at IS NULL", case.case_id
    )
    assert {row["role"] for row in rows} == {"source", "handler"}


async def test_a_reopened_case_is_decided_anew_in_its_next_round(world: World) -> None:
    case = await world.registered()
    offered = await world.turn(case)
    await world.accept(case)
    await world.end(case, "completed")
    await world.close(case)
    now = await world.now()
    case.episode = 2

    await world.hear(
        case,
        "intake",
        CaseReopened(
            case_id=case.case_id,
            referral_id=new_id(),
            organisation=COURT,
            lane="court_pre",
            dispute_type="contract",
            place="330681001000",
            parties=offered["parties"],
            ground="set-aside",
            received_at=now,
            reopened_at=now,
        ),
    )

    turn = await world.turn(case)
    assert (turn["organisation"], turn["ordinal"]) == (COMMITTEE, 1)
    await world.accept(case)
    assert (await world.names(case)).count("deadline.started") == 4


async def test_a_correction_decides_an_undecided_case_anew(world: World) -> None:
    case = await world.registered("proc_civil-loan-guarantor")
    assert (await world.last(case, "case.routing-undecided"))["reason"] == "nobody_competent"
    event = CaseCorrected(
        case_id=case.case_id,
        referral_id=new_id(),
        changed=("place",),
        place="330681104000",
        corrected_at=await world.now(),
    )

    await world.hear(case, "intake", event)

    assert (await world.turn(case))["organisation"] == "330681-CM-0014"
    assert (await world.names(case))[-1] == "deadline.stopped"


async def test_a_second_source_takes_part_under_its_own_number(world: World) -> None:
    case = await world.registered()

    await world.hear(
        case,
        "intake",
        ReferralReceived(
            case_id=case.case_id,
            referral_id=new_id(),
            organisation=POLICE,
            reference="J330681",
            channel="api",
            received_at=await world.now(),
        ),
    )

    joined = await world.last(case, "participant.joined")
    assert (joined["organisation"], joined["role"]) == (POLICE, "source")
    assert joined["reference"] == "J330681"


async def test_a_full_body_is_passed_over(world: World) -> None:
    value = dict(world.runtime.directory.organisation(COMMITTEE) or {})
    world.runtime.directory.put(f"organisation:{COMMITTEE}", 2**60, {**value, "capacity": 2})

    offered = [(await world.turn(await world.registered()))["organisation"] for _ in range(3)]

    assert offered == [COMMITTEE, COMMITTEE, CENTRE]


async def test_the_doctor_names_what_waits_without_a_holder(world: World) -> None:
    fine, stuck = await world.registered(), await world.registered("proc_civil-loan-guarantor")
    assert ROUTING.doctor is not None

    lines = await ROUTING.doctor(world.runtime)

    assert [line for line in lines if fine.number in line] == []
    assert ["overrides" in line for line in lines if stuck.number in line] == [True]


async def test_strangers_see_nothing(world: World) -> None:
    case = await world.registered()
    turn = await world.turn(case)
    stranger = "330681-CM-0008"

    for path in (
        f"/v1/decisions/{turn['decision_id']}",
        f"/v1/assignments/{turn['assignment_id']}",
    ):
        assert (await world.call("GET", path, by=stranger)).status_code == 404
    for path in ("/v1/decisions", "/v1/assignments", "/v1/clocks", "/v1/linkages"):
        found = await world.ok("GET", path, by=stranger, case_id=str(case.case_id))
        assert found["items"] == []


async def test_many_new_cases_of_one_batch_are_written_together(world: World) -> None:
    value = dict(world.runtime.directory.organisation(COMMITTEE) or {})
    world.runtime.directory.put(f"organisation:{COMMITTEE}", 2**60, {**value, "capacity": 2})
    async with world.one_batch():
        cases = [await world.registered() for _ in range(3)]
        await world.hear(
            cases[0],
            "intake",
            CaseCorrected(
                case_id=cases[0].case_id,
                referral_id=new_id(),
                changed=("claim_fen",),
                claim_fen=1,
                corrected_at=await world.now(),
            ),
        )

    offered = [(await world.turn(case))["organisation"] for case in cases]
    assert offered == [COMMITTEE, COMMITTEE, CENTRE]
    rows = await world.runtime.pool.fetch(
        """SELECT c.case_id, c.facts, h.reference FROM routed_case c
           JOIN referral_heard h USING (case_id) JOIN decision USING (case_id)"""
    )
    facts = {row["case_id"]: row["facts"]["claim_fen"] for row in rows}
    assert [facts[case.case_id] for case in cases] == [1, 4_200_000, 4_200_000]
    source = (await world.told(cases[2]))[0]
    assert source["reference"] == rows[0]["reference"]
