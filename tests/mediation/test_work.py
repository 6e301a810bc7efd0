"""Sessions, notes, agreements, obligations, party sheet and commands on a real database."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from mediation.commands import COMMANDS
from mediation.jobs import fetch_party_sheet
from services.auth import Caller
from services.clock import wire
from services.errors import AcceptanceWindowElapsed, Invalid, NotFound, Transient
from services.events.intake import PartyChanged
from services.events.routing import DeadlineMissed
from services.ids import new_id
from services.service import Command
from tests.mediation.world import CENTRE, COMMITTEE, COURT, Case, World

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]
ANNE, BEN = "330681-CE-0001-s5", "330681-CE-0001-s6"


def path(case: Case, part: str = "") -> str:
    return f"/v1/mediations/{case.mediation_id}{part}"


# -- sessions ----------------------------------------------------------------------------------


async def test_the_database_refuses_a_mediator_or_room_that_is_taken(world: World) -> None:
    one, two = await world.appointed(), await world.appointed(mediator=1)
    same_mediator = await world.appointed()
    await world.ok("POST", path(one, "/sessions"), world.session_body(one))

    room = await world.refused("POST", path(two, "/sessions"), world.session_body(two))
    mediator = await world.refused(
        "POST", path(same_mediator, "/sessions"), world.session_body(same_mediator, room="B")
    )

    assert room == mediator == (409, "double-booked")
    starts = world.now + timedelta(days=1, hours=2)
    right_after = {"starts_at": wire(starts), "ends_at": wire(starts + timedelta(hours=1))}
    assert await world.ok("POST", path(two, "/sessions"), world.session_body(two, **right_after))


async def test_of_many_bookings_at_once_exactly_one_wins(world: World) -> None:
    cases = [await world.appointed() for _ in range(4)]

    answers = await asyncio.gather(
        *(world.call("POST", path(c, "/sessions"), world.session_body(c)) for c in cases)
    )

    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
    assert await world.runtime.pool.fetchval("SELECT count(*) FROM session") == 1


async def test_of_many_acceptances_at_once_exactly_one_is_told(world: World) -> None:
    case = await world.offered()
    accept = f"/v1/queue/{case.assignment_id}/accept"

    answers = await asyncio.gather(*(world.call("POST", accept, {}, version=1) for _ in range(5)))

    assert sorted(a.status_code for a in answers) == [200, 412, 412, 412, 412]
    assert await world.types(case) == ["assignment.accepted"]


async def test_the_last_signatures_at_once_put_it_into_effect_once(world: World) -> None:
    case = await world.appointed("court_pre")
    agreement = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
    address = f"/v1/agreements/{agreement['agreement_id']}/signatures"

    answers = await asyncio.gather(
        *(
            world.call("POST", address, world.signature_body(agreement, "party", str(p)), key=False)
            for p in (case.applicant, case.respondent, case.applicant, case.respondent)
        )
    )

    assert [a.status_code for a in answers] == [201] * 4
    types = await world.types(case)
    assert types.count("agreement.effective") == types.count("mediation.ended") == 1


async def test_a_session_is_moved_cancelled_and_its_time_is_free_again(world: World) -> None:
    one, two = await world.appointed(), await world.appointed()
    session = await world.ok("POST", path(one, "/sessions"), world.session_body(one))
    address = f"/v1/sessions/{session['session_id']}"
    new = {k: v for k, v in world.session_body(one, day=2).items() if k.endswith("_at")}

    moved = await world.ok("POST", f"{address}/moves", new, version=1)
    await world.ok("POST", path(two, "/sessions"), world.session_body(two))
    clash = await world.refused("POST", path(two, "/sessions"), world.session_body(two, day=2))
    cancelled = await world.ok(
        "POST", f"{address}/cancellations", {"reason": "party_ill"}, version=moved["version"]
    )
    await world.ok("POST", path(two, "/sessions"), world.session_body(two, day=2))

    assert clash == (409, "double-booked")
    assert cancelled["state"] == "cancelled"
    gone = await world.refused("POST", f"{address}/moves", new, version=cancelled["version"])
    assert gone == (409, "state")
    assert (await world.types(one))[-3:] == [
        "session.scheduled",
        "session.moved",
        "session.cancelled",
    ]


async def test_a_session_counts_as_held_with_rights_told_and_consent_of_all_who_came(
    world: World,
) -> None:
    case = await world.accepted("court_pre")
    mediator = (await world.mediators())[0]["mediator_id"]
    early = await world.refused("POST", path(case, "/sessions"), world.session_body(case))
    await world.ok("POST", path(case, "/mediators"), {"mediator_id": mediator}, version=1)
    await world.consent(case, case.applicant)
    session = await world.ok("POST", path(case, "/sessions"), world.session_body(case))
    held = f"/v1/sessions/{session['session_id']}/held"
    body: dict[str, Any] = {
        "attended": [str(case.applicant), str(case.respondent)],
        "attendance": {"applicant": 1, "respondent": 2},
        "rights_told": True,
        "identity_checked": True,
        "false_mediation_warned": True,
    }

    silent = await world.refused("POST", held, body, version=1)
    untold = await world.refused("POST", held, {**body, "rights_told": False}, version=1)
    done = await world.ok(
        "POST", held, {**body, "attended": [str(case.applicant)]}, version=1, acted_by=ANNE
    )

    assert early == (409, "no-mediator")
    assert silent == (409, "consent-missing")
    assert untold == (422, "rights-not-told")
    assert done["absent"] == [str(case.respondent)]
    assert (await world.types(case))[-1] == "session.held"


async def test_notes_are_read_by_their_author_alone(world: World) -> None:
    case = await world.appointed()
    session = await world.ok("POST", path(case, "/sessions"), world.session_body(case))
    notes = f"/v1/sessions/{session['session_id']}/notes"

    await world.ok("POST", notes, {"text": "私下说可以接受三万"}, acted_by=ANNE)
    mine = await world.ok("GET", notes, acted_by=ANNE)
    manager = await world.ok("GET", notes, acted_by="330681-CE-0001-s3")
    nobody = await world.refused("GET", notes)

    assert [n["text"] for n in mine["items"]] == ["私下说可以接受三万"]
    assert manager["items"] == []
    assert nobody == (409, "author-needed")
    assert (await world.refused("GET", notes, by=COMMITTEE))[0] == 404
    async with world.runtime.unit_of_work() as uow:  # the service itself sees none either
        assert await uow.db.fetchval("SELECT count(*) FROM session_note") == 0
    async with world.runtime.unit_of_work(organisation=CENTRE) as uow:
        await uow.db.execute("SELECT set_config('liandiao.staff', $1, true)", ANNE)
        sealed = await uow.db.fetchval("SELECT sealed FROM session_note")
        assert "三万".encode() not in sealed


# -- agreements --------------------------------------------------------------------------------


async def test_signatures_in_any_order_and_effect_to_the_instant(world: World) -> None:
    case = await world.appointed("pm")
    agreement = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
    last = world.now - timedelta(minutes=1)
    signers = [(m["signer_kind"], m["signer"]) for m in agreement["missing"]]
    assert [kind for kind, _ in signers] == ["party", "party", "mediator", "seal"]

    for (kind, signer), minutes in zip(reversed(signers), (1, 7, 30, 2), strict=True):
        assert agreement["state"] == "draft"
        at = world.now - timedelta(minutes=minutes)
        agreement = await world.sign(agreement, kind, signer, at)

    assert agreement["effective_at"] == wire(last)
    emitted = dict(await world.emitted(case))
    assert emitted["agreement.effective"]["effective_at"] == wire(last)
    assert emitted["agreement.effective"]["confirmable"] is True
    assert emitted["mediation.ended"]["outcome"] == "agreed_written"
    [promise] = emitted["obligation.changed"]["obligations"]
    assert (promise["amount_fen"], promise["state"]) == (4_200_000, "open")
    assert (await world.types(case))[-3:] == [
        "agreement.effective",
        "obligation.changed",
        "mediation.ended",
    ]
    view = await world.ok("GET", path(case))
    assert (view["state"], view["next_act"]["act"]) == ("agreed", "perform_obligation")


async def test_effect_is_told_and_kept_to_the_millisecond(world: World) -> None:
    case = await world.appointed("court_pre")
    agreement = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
    at = world.now - timedelta(minutes=1)
    for party in (case.applicant, case.respondent):
        body = world.signature_body(agreement, "party", str(party))
        body["signed_at"] = (at + timedelta(microseconds=827_421)).isoformat()
        address = f"/v1/agreements/{agreement['agreement_id']}/signatures"
        await world.ok("POST", address, body, key=False)

    await world.leave(case, at + timedelta(milliseconds=827))

    assert (await world.ok("GET", path(case)))["state"] == "agreed"


async def test_another_text_voids_the_signatures_given(world: World) -> None:
    case = await world.appointed("court_pre")
    first = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
    await world.sign(first, "party", str(case.applicant))
    body = world.agreement_body(case, text="改过的协议书")
    second = await world.ok("POST", path(case, "/agreements"), body)
    address = f"/v1/agreements/{second['agreement_id']}/signatures"

    stale = world.signature_body(first, "party", str(case.respondent))
    wrong = await world.refused("POST", address, stale, key=False)
    await world.sign(second, "party", str(case.respondent))
    again = await world.sign(second, "party", str(case.respondent))
    effective = await world.sign(second, "party", str(case.applicant))

    assert wrong == (409, "text-changed")
    assert len(again["signatures"]) == 1
    assert effective["state"] == "effective"
    assert (await world.ok("GET", f"/v1/agreements/{first['agreement_id']}"))["state"] == "void"


async def test_an_oral_agreement_binds_from_the_word_where_the_lane_allows(world: World) -> None:
    case, court = await world.appointed("pm"), await world.appointed("court_pre", mediator=1)
    agreed_at = world.now - timedelta(hours=1)
    oral = {"form": "oral", "agreed_at": wire(agreed_at)}

    agreement = await world.ok(
        "POST", path(case, "/agreements"), world.agreement_body(case, **oral)
    )
    refused = await world.refused(
        "POST", path(court, "/agreements"), world.agreement_body(court, **oral)
    )

    assert (agreement["state"], agreement["effective_at"]) == ("effective", wire(agreed_at))
    assert refused == (422, "written-form")
    assert dict(await world.emitted(case))["agreement.effective"]["form"] == "oral"


async def test_after_filing_the_court_acts_not_we(world: World) -> None:
    case = await world.appointed("court_post")
    agreement = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
    end = path(case, "/endings")
    body = {"outcome": "agreed_written", "remedies_told": True}
    version = (await world.ok("GET", path(case)))["version"]

    unsigned = await world.refused("POST", end, body, version=version)
    for party in (case.applicant, case.respondent):
        agreement = await world.sign(agreement, "party", str(party))
    view = await world.ok("POST", end, body, version=version)

    assert unsigned == (409, "not-signed")
    assert (agreement["state"], agreement["effective_at"]) == ("signed", None)
    assert (view["succeeded"], view["remedies"]) == (True, ["court_judgment_or_withdrawal"])
    types = await world.types(case)
    assert "agreement.effective" not in types
    assert types[-2:] == ["mediation.ended", "assignment.ended"]


async def test_what_cannot_be_confirmed_is_told_before_it_is_signed(world: World) -> None:
    case = await world.appointed("pm")
    flagged = [{"kind": "other", "text": "房屋归申请人", "flags": ["real_right"]}]
    body = world.agreement_body(case, clauses=flagged)

    untold = await world.refused("POST", path(case, "/agreements"), body)
    told = await world.ok("POST", path(case, "/agreements"), {**body, "flags_told": True})

    assert untold == (409, "flags-not-told")
    assert told["confirmable"] is False


async def test_who_refused_to_sign_electronically_does_not(world: World) -> None:
    case = await world.appointed("court_pre")
    body = world.agreement_body(case, form="online")
    agreement = await world.ok("POST", path(case, "/agreements"), body)
    refusal = {"party_id": str(case.applicant), "step": "e_sign", "state": "refused"}
    await world.ok("POST", path(case, "/consents"), {**refusal, "channel": "phone"}, key=False)
    address = f"/v1/agreements/{agreement['agreement_id']}/signatures"

    signature = world.signature_body(agreement, "party", str(case.applicant))
    refused = await world.refused("POST", address, signature, key=False)
    signed = await world.sign(agreement, "party", str(case.respondent))

    assert refused == (409, "e-sign-refused")
    assert signed["next_act"]["act"] == "sign_agreement"


# -- obligations -------------------------------------------------------------------------------


async def obligation_of(world: World, case: Case) -> dict[str, Any]:
    [listed] = [
        o
        for o in (await world.ok("GET", "/v1/obligations"))["items"]
        if o["case_id"] == str(case.case_id)
    ]
    found: dict[str, Any] = listed
    return found


async def test_the_last_fen_completes_the_turn(world: World) -> None:
    case, _ = await world.agreed("court_pre")
    promise = await obligation_of(world, case)
    address = f"/v1/obligations/{promise['obligation_id']}/performances"

    part = await world.ok(
        "POST", address, {"amount_fen": 4_199_999, "proved_by": "debtor"}, version=1
    )
    more = await world.refused("POST", address, {"amount_fen": 2, "proved_by": "debtor"}, version=2)
    whole = await world.ok("POST", address, {"amount_fen": 1, "proved_by": "creditor"}, version=2)

    assert (part["state"], part["paid_fen"]) == ("open", 4_199_999)
    assert more == (422, "amount")
    assert (whole["state"], len(whole["performances"])) == ("performed", 2)
    assert (await world.types(case))[-2:] == ["obligation.performed", "assignment.ended"]
    ended = (await world.emitted(case))[-1][1]
    assert (ended["end"], ended["outcome"]) == ("completed", "agreed_written")


async def test_without_obligations_the_turn_is_completed_at_effect(world: World) -> None:
    case, _ = await world.agreed(
        "court_pre", clauses=[{"kind": "other", "text": "互相道歉，当场履行"}]
    )

    assert (await world.types(case))[-3:] == [
        "agreement.effective",
        "mediation.ended",
        "assignment.ended",
    ]


async def test_a_missed_day_is_a_breach_with_remedies_and_late_payment_still_performs(
    world: World,
) -> None:
    case, _ = await world.agreed("pm")
    promise = await obligation_of(world, case)
    due_at = world.now + timedelta(days=30)
    deadline = world.clock("obligation", UUID(promise["obligation_id"]), due_at)

    early = await world.refused(
        "POST", f"/v1/obligations/{promise['obligation_id']}/breaches", {}, version=1
    )
    await world.hear(
        case,
        "routing",
        DeadlineMissed(
            case_id=case.case_id, deadline=deadline, on_expiry="remedies", missed_at=due_at
        ),
    )
    broken = await obligation_of(world, case)
    paid = await world.ok(
        "POST",
        f"/v1/obligations/{promise['obligation_id']}/performances",
        {"proved_by": "creditor"},
        version=broken["version"],
    )

    assert early == (409, "not-due")
    assert (broken["state"], broken["remedies"]) == ("breached", ["sue_on_performance"])
    assert paid["state"] == "performed"
    assert (await world.types(case))[-3:] == [
        "obligation.breached",
        "obligation.performed",
        "assignment.ended",
    ]


async def test_a_broken_agreement_can_be_handed_on(world: World) -> None:
    case, _ = await world.agreed("court_pre")
    promise = await obligation_of(world, case)
    end = path(case, "/endings")
    body = {
        "outcome": "transferred_court",
        "remedies_told": True,
        "report": {"basics": "未履行", "cause": "被申请人拒绝付款"},
    }
    version = (await world.ok("GET", path(case)))["version"]

    open_ = await world.refused("POST", end, body, version=version)
    await world.ok(
        "POST",
        f"/v1/obligations/{promise['obligation_id']}/breaches",
        {"declared": True},
        version=1,
    )
    await world.ok("POST", end, body, version=version)

    assert open_ == (409, "obligations-open")
    assert (await world.emitted(case))[-1][1]["outcome"] == "transferred_court"


async def test_a_creditor_may_waive(world: World) -> None:
    case, _ = await world.agreed("pm")
    promise = await obligation_of(world, case)

    waived = await world.ok(
        "POST",
        f"/v1/obligations/{promise['obligation_id']}/performances",
        {"proved_by": "creditor", "waived": True},
        version=1,
    )

    assert waived["state"] == "waived"
    assert (await world.types(case))[-2:] == ["obligation.changed", "assignment.ended"]


# -- party sheet -------------------------------------------------------------------------------


async def fetch(world: World, case: Case, answer: httpx.Response) -> None:
    async def token() -> str:
        return "token"

    world.runtime.service_token = token  # type: ignore[method-assign]
    world.runtime.http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))
    payload = {"assignment_id": str(case.assignment_id), "case_id": str(case.case_id)}
    await fetch_party_sheet(new_id(), payload, world.runtime)


async def test_the_party_sheet_is_sealed_shown_for_a_purpose_and_dropped_at_the_end(
    world: World,
) -> None:
    case = await world.accepted()
    address = path(case, "/party-sheet")
    waiting = await world.call("GET", address, purpose="contact")
    with pytest.raises(Transient):
        await fetch(world, case, httpx.Response(404))

    await fetch(world, case, httpx.Response(200, json={"parties": [{"name": "楼样明"}]}))
    shown = await world.ok("GET", address, purpose="contact")
    aimless = await world.refused("GET", address)

    assert (waiting.status_code, aimless[0]) == (503, 422)
    assert shown["sheet"]["parties"][0]["name"] == "楼样明"
    async with world.runtime.unit_of_work() as uow:
        sealed = await uow.db.fetchval("SELECT sealed FROM party_sheet")
        assert "楼样明".encode() not in sealed
    async with world.runtime.unit_of_work(organisation=COMMITTEE) as uow:
        assert await uow.db.fetchval("SELECT count(*) FROM party_sheet") == 0
    reads = await world.runtime.pool.fetch(
        "SELECT purpose FROM audit_entry WHERE action = 'party-sheet.read'"
    )
    assert [r["purpose"] for r in reads] == ["contact"]

    await world.consent(case, case.respondent, "refused")
    assert (await world.refused("GET", address, purpose="contact"))[0] == 404


async def test_a_changed_party_has_the_sheet_fetched_anew(world: World) -> None:
    case = await world.accepted()

    await world.hear(
        case,
        "intake",
        PartyChanged(
            case_id=case.case_id, party_id=case.applicant, changed=("phone",), changed_at=world.now
        ),
    )

    assert await world.runtime.pool.fetchval("SELECT count(*) FROM job") == 2


# -- commands ----------------------------------------------------------------------------------


async def command(world: World, type_: str, data: dict[str, Any], by: str = CENTRE) -> Any:
    caller = Caller("c", f"o-{by.lower()}", by, (by,), frozenset({"queue:write"}))
    async with world.runtime.unit_of_work(caller=caller) as uow:
        sent = Command("o-x", new_id(), type_, None, data, None, "agency.o-x.in", 0, 1)
        return await COMMANDS[type_](sent, uow)


async def test_a_desk_accepts_and_returns_over_kafka(world: World) -> None:
    one, two = await world.offered(), await world.offered()

    answer = await command(world, "assignment.accept", {"assignment_id": str(one.assignment_id)})
    await command(
        world,
        "assignment.return",
        {"assignment_id": str(two.assignment_id), "ground": "no_mediator"},
    )

    assert answer["case_id"] == one.case_id
    assert await world.types(one) == ["assignment.accepted"]
    assert await world.types(two) == ["assignment.returned"]
    with pytest.raises(NotFound):
        await command(
            world, "assignment.accept", {"assignment_id": str(two.assignment_id)}, COMMITTEE
        )


async def test_what_is_wrong_with_a_command_is_said(world: World) -> None:
    case = await world.offered(accept_by=world.now)
    id_ = str(case.assignment_id)

    for data, problem in (
        ({}, Invalid),
        ({"assignment_id": "x"}, Invalid),
        ({"assignment_id": id_}, Invalid),
        ({"assignment_id": id_, "ground": "safety"}, AcceptanceWindowElapsed),
    ):
        with pytest.raises(problem):
            await command(world, "assignment.return", data)
    with pytest.raises(Invalid):
        await command(
            world, "assignment.accept", {"assignment_id": id_, "occurred_at": "2026-11-20T09:00:00"}
        )


# -- invariants that the database holds --------------------------------------------------------


async def test_the_database_allows_one_open_turn_per_round(world: World) -> None:
    case = await world.offered()
    second = Case(case.case_id, "pm", case.applicant, case.respondent, sequences=case.sequences)

    with pytest.raises(asyncpg.UniqueViolationError):
        await world.offer(second, to=COMMITTEE, ordinal=2)


async def test_the_doctor_finds_nothing_wrong(world: World) -> None:
    from mediation.doctor import doctor

    await world.agreed("pm")
    await world.offered()

    assert await doctor(world.runtime) == []
    assert COURT
