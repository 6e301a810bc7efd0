"""Correction, copy, consent to share: the party's own calls, and what its bodies answer."""

import json
from datetime import timedelta
from typing import Any

import pytest

from services.clock import wire
from tests.intake.parties.test_representations import LAWYER, party_head, post
from tests.intake.safety.test_screening import screened
from tests.intake.test_cases import Story
from tests.intake.world import CENTRE, COURT, Intake, bearer, token

pytestmark = pytest.mark.postgres
SOURCE = ("referral:write", "party:write", "party:read", "case:read", "case:write")


async def act(intake: Intake, path: str, body: Any, by: str = COURT, **headers: str) -> Any:
    """A POST of an organisation that may do all of this."""
    head = {**bearer(token(by, *SOURCE)), **intake.key(), **headers}
    return await intake.http.post(path, json=body, headers=head)


async def test_a_party_asks_for_a_correction_and_the_source_decides(intake: Intake) -> None:
    """checklist 1.17 (rights), 1.11: the request is sealed, decided once, told to the party."""
    case = await intake.registered()
    head = await party_head(intake, case)
    wish = {"member": "phone", "value": "19900000888", "reason": "换了号码"}
    asked = await intake.http.post("/v1/party/correction-requests", json=wish, headers=head)
    assert (asked.status_code, asked.json()["value"]) == (201, "19900000888")
    path = f"/v1/cases/{case['case_id']}/correction-requests"
    shut = (await intake.get(path, COURT, "party:read")).json()["items"][0]
    opened = (await intake.get(f"{path}?purpose=correction", COURT, "party:read")).json()["items"]
    assert (shut["value"], opened[0]["value"]) == (None, "19900000888")
    way = f"/v1/correction-requests/{asked.json()['request_id']}/decisions"

    bare = await act(intake, way, {"accepted": False})
    stranger = await act(intake, way, {"accepted": True}, "330681-CM-0008")
    done = await act(intake, way, {"accepted": True})
    twice = await act(intake, way, {"accepted": True})

    assert bare.json()["errors"][0]["code"] == "reason_required"
    assert (stranger.status_code, twice.status_code) == (404, 409)
    assert (done.status_code, done.json()["state"]) == (201, "accepted")
    file = await intake.get(f"/v1/cases/{case['case_id']}/parties?purpose=contact")
    assert file.json()["parties"][0]["phone"] == "19900000888"
    log = (await intake.http.get("/v1/party/access-log", headers=head)).json()["items"]
    assert [e["what"] for e in log] == ["parties.read", "correction-requests.read"]


async def test_a_refused_correction_tells_the_party_why(intake: Intake) -> None:
    case = await intake.registered()
    head = await party_head(intake, case)
    wish = {"member": "name", "value": "别名", "reason": "笔误"}
    asked = await intake.http.post("/v1/party/correction-requests", json=wish, headers=head)

    await act(
        intake,
        f"/v1/correction-requests/{asked.json()['request_id']}/decisions",
        {"accepted": False, "reason": "与证件不符"},
    )

    (own,) = (await intake.http.get("/v1/party/correction-requests", headers=head)).json()["items"]
    assert (own["state"], own["answer"]) == ("refused", "与证件不符")


async def test_a_copy_holds_everything_of_its_party_and_nothing_of_the_other(
    intake: Intake,
) -> None:
    """checklist 1.17 (rights): machine-readable, logged, without the answers of the screen."""
    case = await intake.registered()
    await post(intake, f"/v1/cases/{case['case_id']}/representations", LAWYER)
    await screened(intake, case["case_id"], threatened_now="yes")
    file = (await intake.get(f"/v1/cases/{case['case_id']}/parties?purpose=contact")).json()
    mine, other = file["parties"][:2]

    made = await intake.http.post("/v1/party/copies", headers=await party_head(intake, case))

    assert made.status_code == 201, made.text
    found = made.json()
    assert found["party"]["name"] == mine["name"]
    assert found["party"]["identity"] == mine["identity"]
    assert found["representatives"][0]["person"]["name"] == "龘律师样"
    assert found["protection"][0]["consequences"]
    assert found["retention"]["class"] == "short"
    assert {e["what"] for e in found["access_log"]} == {"parties.read"}
    text = json.dumps(found, ensure_ascii=False)
    for strange in (other["name"], other["phone"], "threatened_now"):
        assert strange not in text
    log = await intake.http.get("/v1/party/access-log", headers=await party_head(intake, case))
    assert log.json()["items"][0]["what"] == "copy.made"


async def test_papers_are_used_by_another_agency_by_consent_for_a_purpose_and_a_time(
    intake: Intake,
) -> None:
    """checklist 1.17 (rights): ask once (D-05), taken back by one call."""
    case = await intake.registered()
    story = Story(intake, case["case_id"])
    await story.offered()
    head = await party_head(intake, case)
    paper = (await intake.get(f"/v1/cases/{case['case_id']}")).json()["documents"][0]["sha256"]
    body = {"agency": CENTRE, "papers": [paper], "purpose": "mediation"}
    path = f"/v1/cases/{case['case_id']}/paper-uses?sha256={paper}"

    async def allowed(purpose: str = "mediation", by: str = CENTRE) -> bool:
        answer = await intake.get(f"{path}&purpose={purpose}", by, "case:read")
        found: bool = answer.json()["allowed"]
        return found

    assert not await allowed()
    given = await intake.http.post("/v1/party/sharing-consents", json=body, headers=head)
    assert given.status_code == 201, given.text
    assert await allowed()
    assert not await allowed("litigation")
    assert not await allowed(by=COURT)
    other = await party_head(intake, case, 1)
    way = f"/v1/party/sharing-consents/{given.json()['consent_id']}/withdrawals"
    assert (await intake.http.post(way, headers=other)).status_code == 404

    first, again = [await intake.http.post(way, headers=head) for _ in range(2)]

    assert first.json()["withdrawn_at"] == again.json()["withdrawn_at"]
    assert not await allowed()
    ledger = (await intake.http.get("/v1/party/sharing-consents", headers=head)).json()["items"]
    assert len(ledger) == 1
    faults = [
        await act(
            intake,
            f"/v1/cases/{case['case_id']}/sharing-consents",
            {"party_ref": "p1", **body, **more},
        )
        for more in (
            {"papers": ["0" * 64]},
            {"agency": COURT},
            {"valid_until": wire(intake.runtime.clock.now() + timedelta(days=400))},
        )
    ]
    assert [a.json()["errors"][0]["code"] for a in faults] == [
        "paper_unknown", "agency_has_the_papers", "consent_too_long",
    ]  # fmt: skip


async def test_every_reading_of_a_partys_data_stands_in_its_access_log(intake: Intake) -> None:
    """checklist 1.11: receipts that were read out, files, referrals, contacts."""
    case = await intake.registered()
    id_, referral_id = case["case_id"], case["referral_id"]
    party = case["receipts"][0]["party_id"]
    service = bearer(token(None, "contact:read", connection="svc-notification"))

    await intake.get(f"/v1/cases/{id_}/parties?purpose=handling")
    await intake.get(f"/v1/referrals/{referral_id}?purpose=handling")
    await intake.get(f"/v1/referrals/{referral_id}/receipt")
    await intake.http.get(f"/v1/contacts?purpose=notice&party_id={party}", headers=service)
    await intake.get(f"/v1/cases/{id_}/representations?purpose=handling")

    log = await intake.http.get("/v1/party/access-log", headers=await party_head(intake, case))
    assert {e["what"] for e in log.json()["items"]} == {
        "parties.read", "referral.read", "receipt.read", "contact.read",
    }  # fmt: skip
