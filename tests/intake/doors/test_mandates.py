"""Proxy filing (代办): each act under a mandate is checked and marked; the person may act alone."""

import base64
import json
from typing import Any

import pytest

from intake import commands, sealing
from intake.keys import keys_of
from services.auth import Caller
from services.errors import Conflict, Invalid
from services.events.routing import ParticipantJoined
from services.ids import new_id
from services.service import Command
from services.unit_of_work import Actor
from tests.intake.doors.test_counter import CENTRE, PETITION, codes, enter, entered, post
from tests.intake.world import POLICE, SENDER, Intake, bearer, token

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


async def test_it_is_told_that_a_mandate_was_given_and_ended_once_and_never_who_files(
    desk: Intake,
) -> None:
    """Checklist 1.24: mediation learns of it by the stream; ids and times alone."""
    done, own = await filed(desk)
    case_id = done["submitted"]["case_id"]
    path = f"/v1/mandates/{done['mandate_id']}/revocations"

    first = await post(desk, path, {})
    by_the_party = await desk.http.post("/v1/party/mandates/revocations", headers=own)

    told = [e for e in await desk.events(case_id) if ".mandate." in e["type"]]
    assert [e["type"] for e in told] == [
        "liandiao.mandate.given.v1", "liandiao.mandate.revoked.v1",
    ]  # fmt: skip
    given, revoked = told
    assert given["mandate_id"] == revoked["mandate_id"] == done["mandate_id"]
    assert given["party_id"] == done["submitted"]["receipts"][0]["party_id"]
    assert given["organisation"] == CENTRE
    assert revoked["told_by"] == "organisation"
    assert by_the_party.json()["items"][0]["revoked_at"] == first.json()["revoked_at"]
    assert "样代办" not in str(told)


async def test_who_holds_the_case_records_mandates_of_its_own_and_acts_under_no_others(
    desk: Intake,
) -> None:
    """Checklist 1.24: of this organisation; a stranger finds no case."""
    done, own = await filed(desk)
    case_id = done["submitted"]["case_id"]
    joined = ParticipantJoined(
        case_id=case_id, participation_id=new_id(), organisation=PETITION, role="handler",
        joined_at=desk.runtime.clock.now(),
    )  # fmt: skip
    await desk.hear(joined, 1)
    path = f"/v1/cases/{case_id}/mandates"

    given = await post(desk, path, AGENT, PETITION)
    stranger = await post(desk, path, AGENT, POLICE)
    supplement = (f"/v1/cases/{case_id}/supplements", {"kind": "supplement"})
    its_own = {"Mandate-Id": given.json()["mandate_id"]}
    added = await post(desk, *supplement, PETITION, **its_own)
    by_the_source = await post(desk, *supplement, CENTRE, **its_own)
    sources = {"Mandate-Id": done["mandate_id"]}
    under_the_sources = await post(desk, *supplement, PETITION, **sources)
    ended = await desk.http.post("/v1/party/mandates/revocations", headers=own)

    assert given.status_code == 201, given.text
    assert stranger.status_code == 404
    assert added.status_code == 201, added.text
    for refused in (by_the_source, under_the_sources):
        assert (refused.status_code, codes(refused)) == (422, {"mandate_unknown"})
    assert {m["organisation"] for m in ended.json()["items"]} == {CENTRE, PETITION}
    assert all(m["revoked_at"] for m in ended.json()["items"])


async def by_stream(
    desk: Intake, kind: str, done: Any, inside: dict[str, Any], **clear: Any
) -> dict[str, Any]:
    """A command of the desk's connection, sealed, in one transaction."""
    handler = {"referral.amend": commands.amend, "case.leave": commands.leave}[kind]
    reference, case_id = done["submitted"]["reference"], done["submitted"]["case_id"]
    plain = json.dumps({"organisation": CENTRE, "reference": reference, **inside}).encode()
    sealed = sealing.seal(plain, keys_of(desk.runtime).sealing.public()[-1])
    data = {"organisation": CENTRE, "reference": reference, "sealed": sealed, **clear}
    caller = Caller("c", "o-centre", CENTRE, (CENTRE,), frozenset(SENDER))
    received = Command("o-centre", new_id(), kind, case_id, data, None, "t", 0, 0)
    actor = Actor("o-centre", CENTRE)  # as the consumer of commands says who acts
    async with desk.runtime.unit_of_work(actor=actor, caller=caller) as uow:
        return await handler(received, uow)


AMENDED = {"reason": "代办补正", "changes": [{"pointer": "/claim_fen", "value": 100}]}


@pytest.mark.parametrize("clear", [True, False])
async def test_a_command_by_stream_names_its_mandate_clear_or_sealed_and_is_marked(
    desk: Intake, clear: bool
) -> None:
    """Checklist 1.24: REST and Kafka do the same."""
    done, own = await filed(desk)
    named = {"mandate_id": done["mandate_id"]}
    inside, outside = ({"mandate_id": None}, named) if clear else (named, {})

    await by_stream(desk, "referral.amend", done, {**AMENDED, **inside}, **outside)
    await by_stream(desk, "case.leave", done, {"party_ref": "p1", **inside}, **outside)

    path = f"/v1/referrals/{done['submitted']['referral_id']}"
    history = (await desk.get(path, CENTRE, "referral:read")).json()["corrections"]
    assert [one["mandate_id"] for one in history] == [done["mandate_id"]]
    (left,) = [e for e in await desk.events(done["submitted"]["case_id"]) if "left" in e["type"]]
    assert left["mandate_id"] == done["mandate_id"]
    log = (await desk.http.get("/v1/party/access-log", headers=own)).json()["items"]
    marked = {e["what"] for e in log if e["mandate_id"] == done["mandate_id"]}
    assert {"referral.corrected", "party.left"} <= marked


async def test_a_command_under_a_mandate_that_does_not_hold_is_answered_with_the_fault(
    desk: Intake,
) -> None:
    """Checklist 1.24: the same checks as of the header; leaving is never a conflict."""
    done, own = await filed(desk)
    mine, unknown = {"mandate_id": done["mandate_id"]}, {"mandate_id": str(new_id())}
    other_party = {"reason": "x", "changes": [{"pointer": "/parties/1/phone", "value": "1"}]}
    refused = [
        ("referral.amend", {**AMENDED, **unknown}, {}, Invalid, "mandate_unknown"),
        ("referral.amend", {**AMENDED, "mandate_id": "x"}, {}, Invalid, "mandate_unknown"),
        ("referral.amend", {**AMENDED, **mine}, unknown, Invalid, "clear_member_differs"),
        ("referral.amend", {**other_party, **mine}, {}, Invalid, "mandate_of_another_party"),
        ("case.leave", {"party_ref": "p2", **mine}, {}, Invalid, "mandate_of_another_party"),
        ("case.leave", {"party_ref": "p1", **unknown}, {}, Invalid, "mandate_unknown"),
    ]
    late = [
        ("referral.amend", {**AMENDED, **mine}, {}, Conflict, "mandate_revoked"),
        ("case.leave", {"party_ref": "p1", **mine}, {}, Invalid, "mandate_revoked"),
    ]

    for kind, inside, clear, problem, fault in refused:
        with pytest.raises(problem) as caught:
            await by_stream(desk, kind, done, inside, **clear)
        assert [(e.pointer, e.code) for e in caught.value.errors] == [("/mandate_id", fault)]
    await desk.http.post("/v1/party/mandates/revocations", headers=own)
    for kind, inside, clear, problem, fault in late:
        with pytest.raises(problem) as caught:
            await by_stream(desk, kind, done, inside, **clear)
        assert [(e.pointer, e.code) for e in caught.value.errors] == [("/mandate_id", fault)]

    await by_stream(desk, "case.leave", done, {"party_ref": "p1"})
    told = [e["type"] for e in await desk.events(done["submitted"]["case_id"])]
    assert told.count("liandiao.party.left.v1") == 1
    assert "liandiao.case.corrected.v1" not in told
