"""Every write of a desk under a mandate (代办): marked, or refused with a reason."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute

from intake.doors import mandates
from intake.wiring import INTAKE
from services import http
from services.clock import wire
from services.contracts import openapi
from tests.intake.attachments.handing_in import TEXT, Hand
from tests.intake.doors.test_counter import CENTRE, codes, post
from tests.intake.doors.test_mandates import filed
from tests.intake.tracking.test_followers import calls
from tests.intake.world import COURT, SENDER, Intake, bearer, token

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="package")]
LAWYER = {"name": "样律师", "phone": "19900000999"}
ALL = (*SENDER, "party:write", "attachment:write", "attachment:read", "matter:read")


async def write(desk: Intake, path: str, body: Any = None, **headers: str) -> Any:
    head = {**bearer(token(CENTRE, *ALL)), **desk.key(), **headers}
    return await desk.http.post(path, json=body or {}, headers=head)


async def log(desk: Intake, own: dict[str, str]) -> dict[str, Any]:
    """What the party reads of acts under its mandate."""
    found = (await desk.http.get("/v1/party/access-log?limit=200", headers=own)).json()
    return {entry["what"]: entry["mandate_id"] for entry in found["items"]}


async def represented(desk: Intake, case_id: str, **more: Any) -> str:
    """Somebody with authority to act for the applicant."""
    body = {"party_ref": "p1", "representative": LAWYER, "relation": "lawyer"}
    path = f"/v1/cases/{case_id}/representations"
    made = await write(desk, path, {**body, "authority": "general", **more})
    assert made.status_code == 201, made.text
    id_: str = made.json()["representation_id"]
    return id_


async def handed_in(desk: Intake, case_id: str) -> str:
    """A paper of the desk's own."""
    id_: str = (await Hand.of(desk, case_id, CENTRE).give(TEXT, "a.txt"))["attachment_id"]
    return id_


async def test_every_write_of_a_desk_takes_a_mandate_or_refuses_one() -> None:
    """Checklist 1.24: found in the routes, so that a new endpoint cannot leave an act unmarked."""
    writes = {
        f"{method} {route.path}": route
        for router in INTAKE.routers()
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods & mandates.WRITES
    }
    by_parties = {name for name, r in writes.items() if http._party in set(calls(r.dependant))}
    documents = openapi.all_documents()["intake"]["paths"]
    silent = [
        name
        for name, route in writes.items()
        if name not in by_parties
        and route.path in documents
        and not mandates.takes(route.dependant)
        and mandates.NOTHING_UNMARKED.dependency not in set(calls(route.dependant))
    ]
    assert len(writes) > 60
    assert silent == []


async def test_who_asks_that_the_case_goes_on_under_a_mandate_is_marked(desk: Intake) -> None:
    """Checklist 1.24, 1.32: another's mandate is refused, the party's own stands in the record."""
    done, own = await filed(desk)
    case_id = done["submitted"]["case_id"]
    under = {"Mandate-Id": done["mandate_id"]}
    taken_back = f"/v1/referrals/{done['submitted']['referral_id']}/withdrawals"
    await write(desk, taken_back, {"reason": "decides_itself"})
    path = f"/v1/cases/{case_id}/continuations"

    of_another = await write(desk, path, {"party_ref": "p2"}, **under)
    asked = await write(desk, path, {"party_ref": "p1"}, **under)
    again = await write(desk, path, {"party_ref": "p1"})

    assert (of_another.status_code, codes(of_another)) == (422, {"mandate_of_another_party"})
    assert (asked.status_code, asked.json()["mandate_id"]) == (201, done["mandate_id"]), asked.text
    assert again.json() == asked.json()
    assert (await log(desk, own))["case.continued"] == done["mandate_id"]


async def test_what_a_party_takes_back_is_brought_under_its_mandate_and_marked(
    desk: Intake,
) -> None:
    """Checklist 1.24: a no may be brought: publication, authority, a receipt, a paper's sight."""
    done, own = await filed(desk)
    case_id = done["submitted"]["case_id"]
    party_id = done["submitted"]["receipts"][0]["party_id"]
    under = {"Mandate-Id": done["mandate_id"]}
    public, about = f"/v1/cases/{case_id}/publication-consents", {"party_ref": "p1"}
    assert (await write(desk, public, about)).status_code == 201
    first, second = [await represented(desk, case_id) for _ in range(2)]
    receipts = f"/v1/cases/{case_id}/representative-receipts"
    seen = {"party_id": party_id, "document_seen": "mandate"}
    given = await write(desk, receipts, {**seen, "representation_id": second})
    assert given.status_code == 201, given.text
    paper = await handed_in(desk, case_id)
    shares = f"/v1/attachments/{paper}/shares"
    day = desk.runtime.clock.now().date().isoformat()
    shared = {"organisation": COURT, "party_id": party_id, "consented_on": day}
    assert (await write(desk, shares, shared)).status_code == 201

    authority = f"/v1/representations/{first}/revocations"
    answers = [
        ("withdrawn_mandate_id", await write(desk, f"{public}/withdrawals", about, **under)),
        (
            "revoked_mandate_id",
            await write(desk, authority, **under),
        ),
        (
            "revoked_mandate_id",
            await write(desk, f"{receipts}/{given.json()['receipt_id']}/revocations", **under),
        ),
        ("ended_mandate_id", await write(desk, f"{shares}/{COURT}/withdrawals", **under)),
    ]
    unlocked = await write(desk, f"/v1/cases/{case_id}/receipt-unlocks", seen, **under)

    for name, answer in answers:
        assert answer.status_code < 300, answer.text
        assert answer.json()[name] == done["mandate_id"], name
    assert unlocked.status_code == 200, unlocked.text
    told = await log(desk, own)
    assert {what for what, mandate in told.items() if mandate == done["mandate_id"]} >= {
        "publication.withdrawn", "representation.revoked", "representative.revoked",
        "attachment.unshared", "receipt.unlocked",
    }  # fmt: skip


async def test_an_objection_under_a_mandate_is_marked_in_both_its_records(desk: Intake) -> None:
    """Checklist 1.24, 1.15: the objector's own case and its leaving carry the mandate."""
    done, own = await filed(desk)
    case_id = done["submitted"]["case_id"]
    under = {"Mandate-Id": done["mandate_id"]}
    path = f"/v1/cases/{case_id}/objectors"

    of_another = await write(desk, path, {"party_ref": "p2", "own_case": True}, **under)
    key = desk.key()
    said = await write(desk, path, {"party_ref": "p1", "own_case": True}, **under, **key)
    again = await write(desk, path, {"party_ref": "p1", "own_case": True}, **key)

    assert (of_another.status_code, codes(of_another)) == (422, {"mandate_of_another_party"})
    assert (said.status_code, said.json()["mandate_id"]) == (201, done["mandate_id"]), said.text
    assert again.json()["mandate_id"] == done["mandate_id"]
    told = await log(desk, own)
    assert (told["party.objected"], told["party.left"]) == (done["mandate_id"],) * 2
    row = await desk.runtime.pool.fetchrow(
        "SELECT mandate_id FROM split_case WHERE case_id = $1", case_id
    )
    assert str(row["mandate_id"]) == done["mandate_id"]


async def test_what_only_the_person_itself_does_is_refused_under_a_mandate_with_its_law(
    desk: Intake,
) -> None:
    """Checklist 1.24: consents, the safety screen, secrets, representatives; nothing is written."""
    done, own = await filed(desk)
    case, under = f"/v1/cases/{done['submitted']['case_id']}", {"Mandate-Id": done["mandate_id"]}
    party_id = done["submitted"]["receipts"][0]["party_id"]
    guardian = await represented(
        desk, done["submitted"]["case_id"], authority="statutory", relation="guardian"
    )
    paper = await handed_in(desk, done["submitted"]["case_id"])
    seen = {"party_id": party_id, "document_seen": "resident_id_card"}
    tries = {
        f"{case}/representations": (
            {"party_ref": "p1", "representative": LAWYER, "relation": "lawyer",
             "authority": "general"}, "represent"),
        f"{case}/representative-receipts": (seen, "represent"),
        f"{case}/receipts": (seen, "secret"),
        f"/v1/referrals/{done['submitted']['referral_id']}/receipts": (
            {"party_ref": "p1", "document_seen": "resident_id_card"}, "secret"),
        f"{case}/screenings": ({"party_ref": "p1", "form_version": 1, "answers": {}}, "screen"),
        f"{case}/sharing-consents": (
            {"party_ref": "p1", "agency": COURT, "papers": ["a" * 64], "purpose": "mediation"},
            "share"),
        f"{case}/publication-consents": ({"party_ref": "p1"}, "publish"),
        f"{case}/mandates": ({"agent_name": "样乙", "form": "written"}, "pass_on"),
        f"/v1/mandates/{done['mandate_id']}/revocations": ({}, "end_mandate"),
        f"/v1/representations/{guardian}/revocations": ({}, "dismiss_guardian"),
        f"/v1/attachments/{paper}/shares": (
            {"organisation": COURT, "party_id": party_id, "consented_on": "2026-11-24"}, "share"),
    }  # fmt: skip
    before = await desk.counts()

    refused = {path: await write(desk, path, body, **under) for path, (body, _) in tries.items()}

    for path, answer in refused.items():
        assert answer.status_code == 422, (path, answer.text)
        (fault,) = answer.json()["errors"]
        assert (fault["pointer"], fault["code"]) == ("#header/Mandate-Id", "mandate_not_enough")
        assert mandates.own_acts()[tries[path][1]]["source"] in fault["message"]
    assert await desk.counts() == before
    assert {act for _, act in tries.values()} == set(mandates.own_acts())
    assert "representation.revoked" not in await log(desk, own)


async def test_an_act_of_the_organisation_is_done_under_no_mandate(desk: Intake) -> None:
    """Checklist 1.24: where nobody is acted for, a mandate is refused instead of overlooked."""
    done, own = await filed(desk)
    case, under = f"/v1/cases/{done['submitted']['case_id']}", {"Mandate-Id": done["mandate_id"]}
    paper = await handed_in(desk, done["submitted"]["case_id"])

    taken_back = f"/v1/referrals/{done['submitted']['referral_id']}/withdrawals"
    tries = [
        await write(desk, f"{case}/holds", {"ground": "inspection"}, **under),
        await write(desk, f"{case}/retention", {}, **under),
        await write(
            desk,
            f"/v1/attachments/{paper}/shares",
            {"organisation": COURT, "basis": "民事诉讼法 67"},
            **under,
        ),
        await post(desk, taken_back, {}, **under),
    ]
    leaving = await desk.http.post("/v1/party/departures", headers={**own, **under})

    for answer in tries:
        assert (answer.status_code, codes(answer)) == (422, {"act_of_the_organisation"})
    assert leaving.status_code == 201


async def test_a_revoked_mandate_stops_each_act_and_a_no_is_never_a_conflict(desk: Intake) -> None:
    """Checklist 1.24: revocable by one call; the party's own word is not hindered by it."""
    done, own = await filed(desk)
    case_id = done["submitted"]["case_id"]
    under = {"Mandate-Id": done["mandate_id"]}
    case, about = f"/v1/cases/{case_id}", {"party_ref": "p1"}
    assert (await write(desk, f"{case}/publication-consents", about)).status_code == 201
    standing = await represented(
        desk, case_id, valid_until=wire(desk.runtime.clock.now() + timedelta(days=9))
    )
    await desk.http.post("/v1/party/mandates/revocations", headers=own)

    no = await write(desk, f"{case}/publication-consents/withdrawals", about, **under)
    ended = await write(desk, f"/v1/representations/{standing}/revocations", **under)
    objected = await write(desk, f"{case}/objectors", {**about, "own_case": True}, **under)
    by_itself = await desk.http.post("/v1/party/publication-consents/withdrawals", headers=own)

    assert (no.status_code, codes(no)) == (422, {"mandate_revoked"})
    for answer in (ended, objected):
        assert (answer.status_code, codes(answer)) == (409, {"mandate_revoked"})
    assert by_itself.status_code == 200
    assert by_itself.json()["withdrawn_mandate_id"] is None
