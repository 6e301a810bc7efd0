"""Proxy filing (代办): each act under a mandate is checked and marked; the person may act alone."""

import base64
from typing import Any

import pytest

from tests.intake.doors.test_counter import CENTRE, codes, enter, entered, post
from tests.intake.world import Intake, bearer, token

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="package")]
AGENT = {"agent_name": "样代办", "form": "written"}
PAPERS = ("attachment:write", "attachment:read")


async def filed(desk: Intake) -> tuple[dict[str, Any], dict[str, str]]:
    """A case that somebody filed for its applicant, and the applicant's own token."""
    done = await entered(desk, on_behalf=AGENT)
    receipt = done["submitted"]["receipts"][0]
    opened = await desk.http.post(
        f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
    )
    return done, bearer(opened.json()["access_token"])


async def correct(desk: Intake, done: Any, pointer: str, value: Any, **headers: str) -> Any:
    path = f"/v1/referrals/{done['submitted']['referral_id']}/corrections"
    body = {"reason": "代办补正", "changes": [{"pointer": pointer, "value": value}]}
    return await post(desk, path, body, **{"If-Match": '"1"', **headers})


async def paper(desk: Intake, case_id: str, **headers: str) -> Any:
    """Announce a paper of four bytes."""
    name = base64.b64encode("证据.txt".encode()).decode()
    head = {**bearer(token(CENTRE, *PAPERS)), "Upload-Length": "4", **headers}
    head["Upload-Metadata"] = f"filename {name}"
    return await desk.http.post(f"/v1/cases/{case_id}/attachments", headers=head)


async def test_each_act_under_a_mandate_is_marked_in_its_record_and_in_the_partys_log(
    desk: Intake,
) -> None:
    """Checklist 1.24: marked on each act."""
    done, own = await filed(desk)
    case_id, under = done["submitted"]["case_id"], {"Mandate-Id": done["mandate_id"]}
    key = desk.key()

    corrected = await correct(desk, done, "/claim_fen", 100, **under, **key)
    again = await correct(desk, done, "/claim_fen", 100, **under, **key)
    added = await post(desk, f"/v1/cases/{case_id}/supplements", {"kind": "supplement"}, **under)
    handed = await paper(desk, case_id, **under)
    leaving = {"party_ref": "p1"}
    left = await post(desk, f"/v1/cases/{case_id}/departures", leaving, **under)
    repeat = await post(desk, f"/v1/cases/{case_id}/departures", leaving)

    answers = (corrected, again, added, handed, left, repeat)
    assert [answer.status_code for answer in answers] == [201] * 6, [a.text for a in answers]
    assert {answer.json()["mandate_id"] for answer in answers} == {done["mandate_id"]}
    path = f"/v1/referrals/{done['submitted']['referral_id']}"
    history = (await desk.get(path, CENTRE, "referral:read")).json()["corrections"]
    assert [one["mandate_id"] for one in history] == [done["mandate_id"]]
    log = (await desk.http.get("/v1/party/access-log", headers=own)).json()["items"]
    assert {e["what"] for e in log if e["mandate_id"] == done["mandate_id"]} == {
        "mandate.given", "referral.filed_for", "referral.corrected", "case.supplemented",
        "attachment.announced", "party.left",
    }  # fmt: skip
    assert "样代办" not in str(log)


async def test_the_keyed_form_answers_with_its_mandate_again(desk: Intake) -> None:
    """Checklist 1.24: the mark of the quick form is part of its record."""
    key = desk.key()
    body = {
        "who": {"name": "样甲", "phone": "19900000001"}, "text": "欠货款", "place": "330681109000",
        "whom": {"name": "样乙"}, "on_behalf": AGENT,
    }  # fmt: skip

    first = await post(desk, "/v1/counter-entries", body, **key)
    again = await post(desk, "/v1/counter-entries", body, **key)

    assert first.json()["mandate_id"] is not None
    assert again.json()["mandate_id"] == first.json()["mandate_id"]


async def test_a_revoked_mandate_is_refused_at_once_and_the_person_acts_alone(
    desk: Intake,
) -> None:
    """Checklist 1.24: revocable by one call; the person may still act alone."""
    done, own = await filed(desk)
    case_id, under = done["submitted"]["case_id"], {"Mandate-Id": done["mandate_id"]}
    begun = (await paper(desk, case_id, **under)).json()
    revoked = await desk.http.post("/v1/party/mandates/revocations", headers=own)

    corrected = await correct(desk, done, "/claim_fen", 100, **under)
    added = await post(desk, f"/v1/cases/{case_id}/supplements", {"kind": "supplement"}, **under)
    handed = await paper(desk, case_id, **under)
    part = await desk.http.patch(
        f"/v1/attachments/{begun['attachment_id']}",
        content=b"1234",
        headers={
            **bearer(token(CENTRE, *PAPERS)),
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        },
    )
    told = await post(desk, f"/v1/cases/{case_id}/departures", {"party_ref": "p1"}, **under)
    alone = await desk.http.post("/v1/party/departures", headers=own)

    assert revoked.status_code == 200
    for answer in (corrected, added, handed, part):
        assert (answer.status_code, codes(answer)) == (409, {"mandate_revoked"}), answer.text
    assert (told.status_code, codes(told)) == (422, {"mandate_revoked"})
    assert told.json()["errors"][0]["pointer"] == "#header/Mandate-Id"
    assert alone.status_code == 201
    assert alone.json()["mandate_id"] is None


async def test_a_mandate_holds_for_its_own_case_organisation_and_party_alone(
    desk: Intake,
) -> None:
    """Checklist 1.24: of this party and of this organisation."""
    done, _ = await filed(desk)
    other = await entered(desk)
    case_id, under = done["submitted"]["case_id"], {"Mandate-Id": done["mandate_id"]}
    unknown = {"Mandate-Id": case_id}

    elsewhere = await correct(desk, other, "/claim_fen", 100, **under)
    nobodys = await correct(desk, done, "/claim_fen", 100, **unknown)
    of_another = await correct(desk, done, "/parties/1/phone", "19900000009", **under)
    told = await post(desk, f"/v1/cases/{case_id}/departures", {"party_ref": "p2"}, **under)
    malformed = await post(
        desk, f"/v1/cases/{case_id}/departures", {"party_ref": "p2"}, **{"Mandate-Id": "x"}
    )

    assert (elsewhere.status_code, codes(elsewhere)) == (422, {"mandate_unknown"})
    assert (nobodys.status_code, codes(nobodys)) == (422, {"mandate_unknown"})
    assert (of_another.status_code, codes(of_another)) == (422, {"mandate_of_another_party"})
    assert (told.status_code, codes(told)) == (422, {"mandate_of_another_party"})
    assert malformed.status_code == 422
    assert (await enter(desk)).status_code == 201
