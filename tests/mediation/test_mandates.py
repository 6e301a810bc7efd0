"""Proxy filing (代办) inside mediation: each act is checked and marked; the party may act alone."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from joserfc.jwk import ECKey

from mediation.mandate import rules
from services import auth
from services.events.intake import CaseClosed, CaseReopened, MandateRevoked
from services.ids import new_id
from services.messaging.handling import Tally
from tests.mediation.world import CENTRE, COMMITTEE, COURT, Case, World

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]
MEDIATE = {"step": "mediate", "channel": "phone"}


def path(case: Case, part: str = "") -> str:
    return f"/v1/mediations/{case.mediation_id}{part}"


def word(party: UUID, state: str = "given", step: str = "mediate") -> dict[str, Any]:
    return {"party_id": str(party), "step": step, "state": state, "channel": "phone"}


def as_party(world: World, case: Case, party: UUID, **claims: str) -> dict[str, str]:
    """The head of a party's token, or with a claim more of its representative's."""
    key = ECKey.generate_key("P-256", {"kid": "party-key"}, private=True)
    entry = {"use": "party-token", "jwk": key.as_dict(private=False)}
    world.runtime.directory.put("key:party-key", world.runtime.clock.now().timestamp(), entry)
    said = {"sub": "party", "case_id": str(case.case_id), "party_id": str(party), **claims}
    return {"Authorization": f"Bearer {auth.sign(key, said)}"}


async def own_log(world: World, case: Case, party: UUID) -> list[dict[str, Any]]:
    """What the party reads of who opened its file and who acted for it."""
    head = as_party(world, case, party)
    answer = await world.http.get("/v1/party/mediation-access-log", headers=head)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def promise(world: World, case: Case) -> dict[str, Any]:
    found: dict[str, Any] = (await world.ok("GET", path(case)))["obligations"][0]
    return found


# -- marked on each act ------------------------------------------------------------------------


async def test_a_word_under_a_mandate_is_marked_in_the_ledger_the_event_and_the_partys_log(
    world: World,
) -> None:
    """Checklist 1.24: marked on each act, inside mediation too."""
    case = await world.accepted()
    under = await world.mandated(case, case.applicant)

    given = await world.ok(
        "POST", path(case, "/consents"), word(case.applicant), under=under, key=False
    )
    again = await world.ok(
        "POST", path(case, "/consents"), word(case.applicant), under=under, key=False
    )
    back = await world.ok(
        "POST", f"/v1/consents/{given['consent_id']}/withdrawals", {}, under=under, key=False
    )

    assert given["mandate_id"] == again["mandate_id"] == str(under)
    assert (given["withdrawn_mandate_id"], back["withdrawn_mandate_id"]) == (None, str(under))
    told = {t: e.get("mandate_id") for t, e in await world.emitted(case)}
    assert told["consent.given"] == told["consent.withdrawn"] == str(under)
    log = await own_log(world, case, case.applicant)
    assert {e["what"]: e["mandate_id"] for e in log} == {
        "consent.given": str(under),
        "consent.withdrawn": str(under),
    }
    assert {e["organisation"] for e in log} == {CENTRE}
    assert await own_log(world, case, case.respondent) == []


async def test_the_party_acts_alone_beside_its_mandate_and_nothing_is_marked(world: World) -> None:
    """Checklist 1.24: the person may still act alone."""
    case = await world.accepted()
    under = await world.mandated(case, case.applicant)

    given = await world.ok(
        "POST", path(case, "/consents"), word(case.applicant), under=under, key=False
    )
    back = await world.ok("POST", f"/v1/consents/{given['consent_id']}/withdrawals", {}, key=False)

    assert (back["mandate_id"], back["withdrawn_mandate_id"]) == (str(under), None)
    assert [e["what"] for e in await own_log(world, case, case.applicant)] == ["consent.given"]


async def test_a_chosen_mediator_and_a_wished_time_are_marked(world: World) -> None:
    """Checklist 1.24: choices, and when a party can come."""
    case = await world.accepted()
    under = await world.mandated(case, case.applicant)
    mediator = (await world.mediators())[0]["mediator_id"]
    body = {"mediator_id": mediator, "mode": "chosen"}

    view = await world.ok("POST", path(case, "/mediators"), body, version=1, under=under)
    session = await world.ok("POST", path(case, "/sessions"), world.session_body(case), under=under)
    other = await world.ok("POST", path(case, "/sessions"), world.session_body(case, 3))
    at = f"/v1/sessions/{other['session_id']}"
    times = {name: world.session_body(case, 5)[name] for name in ("starts_at", "ends_at")}
    moved = await world.ok("POST", f"{at}/moves", times, version=1, under=under)
    later = {name: world.session_body(case, 7)[name] for name in ("starts_at", "ends_at")}
    by_the_body = await world.ok("POST", f"{at}/moves", later, version=2)
    off = await world.ok(
        "POST", f"{at}/cancellations", {"reason": "cannot_come"}, version=3, under=under
    )

    assert view["appointments"][0]["mandate_id"] == str(under)
    assert session["mandate_id"] == moved["mandate_id"] == off["mandate_id"] == str(under)
    assert (other["mandate_id"], by_the_body["mandate_id"]) == (None, None)
    shown = (await world.ok("GET", path(case)))["sessions"]
    assert [s["mandate_id"] for s in shown] == [str(under), str(under)]
    assert sorted(e["what"] for e in await own_log(world, case, case.applicant)) == [
        "mediator.appoint", "session.cancel", "session.move", "session.schedule",
    ]  # fmt: skip


async def test_a_performance_is_reported_for_who_proves_it_and_a_breach_for_the_creditor(
    world: World,
) -> None:
    """Checklist 1.24: performance reports."""
    case, _ = await world.agreed()
    debtor = await world.mandated(case, case.respondent)
    creditor = await world.mandated(case, case.applicant)
    at = f"/v1/obligations/{(await promise(world, case))['obligation_id']}"
    part = {"amount_fen": 100, "proved_by": "debtor"}

    wrong = await world.refused("POST", f"{at}/performances", part, version=1, under=creditor)
    own = {"amount_fen": 100, "proved_by": "organisation"}
    nobodys = await world.refused("POST", f"{at}/performances", own, version=1, under=creditor)
    paid = await world.ok("POST", f"{at}/performances", part, version=1, under=debtor)
    refused = {"declared": True}
    not_its = await world.refused("POST", f"{at}/breaches", refused, version=2, under=debtor)
    broken = await world.ok("POST", f"{at}/breaches", refused, version=2, under=creditor)

    assert wrong == not_its == (422, "mandate_of_another_party")
    assert nobodys == (422, "act_of_the_organisation")
    assert [p["mandate_id"] for p in paid["performances"]] == [str(debtor)]
    assert broken["breached_mandate_id"] == str(creditor)
    assert [e["what"] for e in await own_log(world, case, case.respondent)] == [
        "obligation.perform"
    ]


# -- of this party, of this organisation, in force ---------------------------------------------


async def test_a_mandate_holds_for_its_own_case_organisation_and_party_alone(
    world: World,
) -> None:
    """Checklist 1.24: whoever did not record it does nothing under it, nor does the source."""
    case, other = await world.accepted(), await world.accepted()
    of_the_source = await world.mandated(case, case.applicant, by=COURT)
    of_a_stranger = await world.mandated(case, case.applicant, by=COMMITTEE)
    of_another_case = await world.mandated(other, other.applicant)
    of_the_other_side = await world.mandated(case, case.respondent)
    refusals = []

    for under in (of_the_source, of_a_stranger, of_another_case, new_id(), of_the_other_side):
        refusals.append(
            await world.refused(
                "POST", path(case, "/consents"), word(case.applicant), under=under, key=False
            )
        )

    assert refusals == [(422, "mandate_unknown")] * 4 + [(422, "mandate_of_another_party")]
    malformed = await world.call(
        "POST", path(case, "/consents"), word(case.applicant), under="x", key=False
    )
    assert malformed.status_code == 422
    assert (await world.ok("GET", path(case)))["consents"] == []


async def test_a_revoked_mandate_is_refused_at_once_and_what_stood_before_stands(
    world: World,
) -> None:
    """Checklist 1.24: revocable by one call. Whoever has the case first wins."""
    case = await world.accepted()
    under = await world.mandated(case, case.applicant, again=2)
    given = await world.ok(
        "POST", path(case, "/consents"), word(case.applicant), under=under, key=False
    )
    await world.revoked(case, under, case.applicant, again=2)

    again = await world.ok(
        "POST", path(case, "/consents"), word(case.applicant), under=under, key=False
    )
    another = await world.call(
        "POST", path(case, "/consents"), word(case.applicant, step="invite"), under=under, key=False
    )
    no = await world.refused(
        "POST", path(case, "/consents"), word(case.applicant, "refused"), under=under, key=False
    )
    back = await world.refused(
        "POST", f"/v1/consents/{given['consent_id']}/withdrawals", {}, under=under, key=False
    )
    alone = await world.ok("POST", f"/v1/consents/{given['consent_id']}/withdrawals", {}, key=False)

    assert again["consent_id"] == given["consent_id"]
    fault = another.json()["errors"][0]
    assert (another.status_code, fault["code"]) == (409, "mandate_revoked")
    assert fault["pointer"] == "#header/Mandate-Id"
    assert "撤回" in fault["message"]
    assert "revoked" in fault["message"]
    # To say no is never a conflict: the party itself may still do it.
    assert no == back == (422, "mandate_revoked")
    assert (alone["state"], alone["mandate_id"]) == ("withdrawn", str(under))


async def test_an_act_that_crosses_a_revocation_waits_for_it_and_is_refused(world: World) -> None:
    """Checklist 1.24: one of both has the case first, never half of each."""
    case = await world.accepted()
    under = await world.mandated(case, case.applicant)
    ended = MandateRevoked(
        case_id=case.case_id, mandate_id=under, party_id=case.applicant, organisation=CENTRE,
        revoked_at=world.now, told_by="party",
    )  # fmt: skip
    record = world.record(case, "intake", ended)

    async with world.runtime.pool.acquire() as db, db.transaction():
        memory, now = await world.events.remember(db, [record])
        await world.events.take(db, memory, record, now, Tally())
        await memory.save()
        act = asyncio.create_task(
            world.refused(
                "POST", path(case, "/consents"), word(case.applicant), under=under, key=False
            )
        )
        await asyncio.sleep(0.3)
        waits = not act.done()

    assert waits
    assert await act == (409, "mandate_revoked")


async def test_a_keyed_act_answers_again_as_it_did_before_the_revocation(world: World) -> None:
    """Checklist 1.24: a repeat is no second act."""
    case = await world.appointed()
    under, key = await world.mandated(case, case.applicant), f"k-{new_id()}"
    body = world.session_body(case)
    first = await world.ok("POST", path(case, "/sessions"), body, under=under, key=key)
    await world.revoked(case, under, case.applicant)

    again = await world.ok("POST", path(case, "/sessions"), body, under=under, key=key)

    assert again["session_id"] == first["session_id"]
    assert again["mandate_id"] == str(under)


async def test_a_mandate_is_known_before_the_offer_and_ends_also_while_the_case_rests(
    world: World,
) -> None:
    """Checklist 1.24: it is the party's, not a round's."""
    case = Case(new_id(), "pm")
    await world.register(case)
    early = await world.mandated(case, case.applicant)
    late = await world.mandated(case, case.applicant)
    await world.hear(
        case,
        "intake",
        CaseClosed(case_id=case.case_id, outcome="withdrawn", closed_at=world.now),
    )
    await world.revoked(case, late, case.applicant)
    reopened = CaseReopened(
        case_id=case.case_id, referral_id=new_id(), organisation=COURT, lane="pm",
        dispute_type="contract", place="330681001000", parties=case.parties,
        ground="parties_ask", received_at=world.now, reopened_at=world.now,
    )  # fmt: skip
    await world.hear(case, "intake", reopened, episode=2)
    rows = await world.runtime.pool.fetch(
        "SELECT mandate_id, revoked_at FROM mandate WHERE case_id = $1", case.case_id
    )

    assert {row["mandate_id"]: row["revoked_at"] is None for row in rows} == {
        early: True,
        late: False,
    }


# -- what a mandate to file does not carry -----------------------------------------------------


async def test_nobody_agrees_signs_waives_or_applies_under_a_mandate_to_file(world: World) -> None:
    """Checklist 1.24: special authority to admit, waive, change, settle (民诉法 62: N-19)."""
    case = await world.appointed()
    under = await world.mandated(case, case.applicant)
    drafting, body = path(case, "/agreements"), world.agreement_body(case)

    agreed = await world.refused("POST", drafting, body, under=under)
    draft = await world.ok("POST", drafting, body)
    signing = f"/v1/agreements/{draft['agreement_id']}/signatures"
    signature = world.signature_body(draft, "party", str(case.applicant))
    signed = await world.call("POST", signing, signature, under=under, key=False)
    for missing in draft["missing"]:
        draft = await world.sign(draft, missing["signer_kind"], missing["signer"])
    court = {"court": COURT, "applied_by": [str(case.applicant), str(case.respondent)]}
    applying = f"/v1/agreements/{draft['agreement_id']}/confirmations"
    applied = await world.refused("POST", applying, court, version=draft["version"], under=under)
    at = f"/v1/obligations/{(await promise(world, case))['obligation_id']}/performances"
    waiver = {"proved_by": "creditor", "waived": True}
    waived = await world.refused("POST", at, waiver, version=1, under=under)

    assert agreed == applied == waived == (422, "mandate_not_enough")
    fault = signed.json()["errors"][0]
    assert (signed.status_code, fault["code"]) == (422, "mandate_not_enough")
    assert "本人" in fault["message"]
    assert "N-19" in fault["message"]
    assert [s["signer"] for s in draft["signatures"]].count(str(case.applicant)) == 1


@pytest.mark.parametrize("step", sorted(rules.OWN_CONSENT))
async def test_to_some_steps_only_the_party_itself_says_yes_but_its_no_may_be_brought(
    world: World, step: str
) -> None:
    """Checklist 1.24: separate consent and a power of attorney are the person's own."""
    case = await world.accepted()
    under = await world.mandated(case, case.applicant)

    yes = await world.refused(
        "POST", path(case, "/consents"), word(case.applicant, step=step), under=under, key=False
    )
    no = await world.ok(
        "POST",
        path(case, "/consents"),
        word(case.applicant, "refused", step),
        under=under,
        key=False,
    )

    assert yes == (422, "mandate_not_enough")
    assert (no["state"], no["mandate_id"]) == ("refused", str(under))


async def test_a_relation_is_waived_by_the_party_itself_and_an_appointment_is_no_partys_act(
    world: World,
) -> None:
    """Checklist 1.24: L-11, and what the organisation does for nobody."""
    case = await world.accepted()
    under = await world.mandated(case, case.applicant)
    mediator = (await world.mediators())[0]["mediator_id"]
    chosen = {
        "mediator_id": mediator,
        "mode": "chosen",
        "declared": [{"kind": "near_relative", "party_id": str(case.applicant)}],
        "waived_by": [str(case.applicant), str(case.respondent)],
    }

    waived = await world.refused("POST", path(case, "/mediators"), chosen, version=1, under=under)
    appointed = await world.refused(
        "POST", path(case, "/mediators"), {"mediator_id": mediator}, version=1, under=under
    )

    assert waived == (422, "mandate_not_enough")
    assert appointed == (422, "act_of_the_organisation")


async def test_the_log_at_mediation_is_for_the_party_itself_not_for_a_representative(
    world: World,
) -> None:
    """Checklist 1.16: mediation hears of no receipt that was ended, so it takes none of theirs."""
    case = await world.accepted()
    await own_log(world, case, case.applicant)

    refused = await world.http.get(
        "/v1/party/mediation-access-log",
        headers=as_party(world, case, case.applicant, representative=str(new_id())),
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
