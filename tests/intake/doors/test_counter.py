"""The quick form and its late entries, letters, calls, superiors; what is added later; mandates."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer, token

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="package")]
HOTLINE = "330681-HL-0001"
PETITION = "330681-PO-0001"
SCOPES = (
    "referral:write", "referral:read", "case:read", "case:write", "case:leave", "matter:read",
    "matter:write", "party:read",
)  # fmt: skip
WHO = {"name": "样甲", "phone": "19900000001"}
FORM = {"who": WHO, "whom": {"name": "样乙"}, "text": "欠货款三万元", "place": "330681109000"}


async def post(
    desk: Intake, path: str, body: Any, organisation: str = CENTRE, **headers: str
) -> Any:
    head = {**bearer(token(organisation, *SCOPES)), **desk.key(), **headers}
    return await desk.http.post(path, json=body, headers=head)


async def enter(desk: Intake, organisation: str = CENTRE, **members: Any) -> Any:
    body = {k: v for k, v in {**FORM, **members}.items() if v is not None}
    return await post(desk, "/v1/counter-entries", body, organisation)


async def entered(desk: Intake, organisation: str = CENTRE, **members: Any) -> Any:
    answer = await enter(desk, organisation, **members)
    assert answer.status_code == 201, answer.text
    return answer.json()


def codes(answer: Any) -> set[str]:
    return {error["code"] for error in answer.json()["errors"]}


def ago(**length: int) -> str:
    return (datetime.now(UTC) - timedelta(**length)).isoformat()


async def test_four_fields_at_a_counter_make_a_case_with_a_receipt_for_each_party(
    desk: Intake,
) -> None:
    """checklist 1.4: any desk may enter any matter"""
    done = await entered(desk)

    assert done["submitted"]["case_number"].startswith("LD2026-330681-")
    assert [r["role"] for r in done["submitted"]["receipts"]] == ["applicant", "respondent"]
    registered = (await desk.events(done["submitted"]["case_id"]))[1]
    assert registered["lane"] == "pm"
    assert (done["late"], done["overdue"]) == (False, [])


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (None, 201, "consent_to_be_asked"),
        ("unknown", 201, "consent_to_be_asked"),
        ("given", 201, None),
        ("refused", 422, "consent_not_recorded"),
    ],
)
async def test_a_courts_counter_need_not_say_the_consent_and_whoever_said_no_is_not_delegated(
    desk: Intake, said: str | None, status: int, code: str | None
) -> None:
    """checklist 1.4, 1.8: four facts are enough for a case; without consent it is a warning."""
    answer = await enter(desk, COURT, who={**WHO, **({"consent": said} if said else {})})

    assert answer.status_code == status, answer.text
    body = answer.json()
    told = body["errors"] if status == 422 else body["submitted"]["warnings"]
    assert (code in {each["code"] for each in told}) is (code is not None)
    if status == 201:
        path = f"/v1/referrals/{body['submitted']['referral_id']}?purpose=handling"
        seen = (await desk.get(path, COURT, *SCOPES)).json()["document"]["parties"][0]
        assert seen["consent"]["state"] == (said or "unknown")
        assert (seen["consent"]["on"] is not None) is (said == "given")


async def test_the_same_form_under_the_same_key_is_one_case(desk: Intake) -> None:
    key = desk.key()

    first = await post(desk, "/v1/counter-entries", FORM, **key)
    again = await post(desk, "/v1/counter-entries", FORM, **key)

    assert again.json() == first.json()


@pytest.mark.parametrize(("days", "fault"), [(29, None), (31, "too_late")])
async def test_a_late_entry_lies_at_most_thirty_days_back(
    desk: Intake, days: int, fault: str | None
) -> None:
    """checklist 1.21"""
    late = {"reason": "停电", "second_person": "330681-CE-0001-s2", "paper_number": "纸-7"}

    answer = await enter(desk, received_at=ago(days=days), late=late)

    assert answer.status_code == (422 if fault else 201), answer.text
    if fault:
        assert fault in codes(answer)
    else:
        assert answer.json()["late"] is True


async def test_a_late_entry_needs_a_reason_and_a_second_person_who_is_somebody_else(
    desk: Intake,
) -> None:
    """checklist 1.21"""
    received_at = ago(days=3)
    alone = {"reason": "停电", "second_person": "staff-1"}

    bare = await enter(desk, received_at=received_at)
    same = await post(
        desk,
        "/v1/counter-entries",
        {**FORM, "received_at": received_at, "late": alone},
        **{"Acted-By": "staff-1"},
    )

    assert codes(bare) == {"late_entry_reason"}
    assert codes(same) == {"second_person_same"}


async def test_what_is_over_when_it_is_entered_is_said_at_once_and_figured_as_late(
    desk: Intake,
) -> None:
    """checklist 1.21"""
    late = {"reason": "纸质登记", "second_person": "staff-2"}
    before = await _counts(desk)

    over = await entered(desk, PETITION, received_at=ago(days=29), late=late)
    early = await entered(desk, PETITION, received_at=ago(days=3), late=late)

    assert [each["citation"] for each in over["overdue"]] == ["信访工作条例 22"]
    assert "overdue_already" in [w["code"] for w in over["submitted"]["warnings"]]
    assert early["overdue"] == []
    after = await _counts(desk)
    assert (after["late"] - before["late"], after["overdue"] - before["overdue"]) == (2, 1)
    events = await desk.events(over["submitted"]["case_id"])
    assert events[1]["received_at"] == over["submitted"]["received_at"]


async def test_a_late_entry_of_any_lane_is_figured_and_its_repeat_answers_the_same(
    desk: Intake,
) -> None:
    """Checklist 1.21: also where a site's window is all there is; by key, and by own number."""
    before = await _counts(desk, CENTRE)
    body = {
        **FORM, "place": None, "address": "河边大樟树下", "received_at": ago(days=29),
        "late": {"reason": "停电", "second_person": "staff-2"}, "reference": "纸〔2026〕21号",
        "on_behalf": {"agent_name": "样代办", "form": "written"},
    }  # fmt: skip
    key = desk.key()

    first = await post(desk, "/v1/counter-entries", body, **key)
    keyed = await post(desk, "/v1/counter-entries", body, **key)
    numbered = await post(desk, "/v1/counter-entries", body)

    assert first.status_code == 201, first.text
    told = first.json()
    assert (told["late"], told["county_desk"]) == (True, True)
    assert [(o["rule"], o["certainty"]) for o in told["overdue"]] == [("window", "site")]
    assert keyed.json() == told
    assert numbered.json() == told
    after = await _counts(desk, CENTRE)
    assert {name: after[name] - before[name] for name in ("entries", "late", "overdue")} == {
        "entries": 1,
        "late": 1,
        "overdue": 1,
    }


async def _counts(desk: Intake, organisation: str = PETITION) -> dict[str, int]:
    answer = await desk.get("/v1/counter-entries/counts", organisation, *SCOPES)
    found: dict[str, int] = answer.json()
    return found


async def test_a_letter_counts_from_its_posting_and_is_entered_in_order(desk: Intake) -> None:
    """checklist 1.20: posting in time is in time (T-07)"""
    letter = {"posted_at": ago(days=4), "arrived_at": ago(hours=2), "number": "信-1"}

    done = await entered(desk, channel="letter", letter=letter)
    wrong = await enter(desk, channel="letter", letter={**letter, "posted_at": ago(hours=1)})

    posted = datetime.fromisoformat(done["submitted"]["request_made_at"])
    assert abs(posted - datetime.fromisoformat(letter["posted_at"])) < timedelta(seconds=1)
    assert "letter_order" in codes(wrong)


async def test_an_anonymous_letter_is_registered_without_a_party(desk: Intake) -> None:
    """checklist 1.20"""
    letter = {"posted_at": ago(days=1), "arrived_at": ago(hours=2), "number": "信-2"}

    done = await entered(
        desk, channel="letter", letter=letter, who=None, whom=None, no_party_yet="anonymous"
    )

    assert done["submitted"]["receipts"] == []


async def test_a_hot_transfer_has_no_party_until_a_correction_names_one(desk: Intake) -> None:
    """checklist 1.22: the call is passed on before anybody gave a name"""
    done = await entered(
        desk, HOTLINE, channel="hotline", who=None, whom=None, no_party_yet="hot_transfer"
    )
    submitted = done["submitted"]
    party = {
        "ref": "p1", "role": "applicant", "kind": "person", "name": "样丙",
        "consent": {"state": "given", "on": "2026-11-24"},
    }  # fmt: skip

    answer = await post(
        desk,
        f"/v1/referrals/{submitted['referral_id']}/corrections",
        {"reason": "来电人留下姓名", "changes": [{"pointer": "/parties/-", "value": party}]},
        HOTLINE,
        **{"If-Match": '"1"'},
    )

    assert submitted["receipts"] == []
    assert answer.status_code == 201, answer.text
    changed = [e for e in await desk.events(submitted["case_id"]) if "party" in e["type"]]
    assert changed[0]["added"]["role"] == "applicant"
    assert "样丙" not in str(changed)


async def test_nobody_named_without_saying_why_is_refused(desk: Intake) -> None:
    answer = await enter(desk, who=None, whom=None)

    assert "party_role_missing" in codes(answer)


async def test_supplements_and_repeat_calls_attach_and_change_neither_order_nor_state(
    desk: Intake,
) -> None:
    """checklist 1.22"""
    done = await entered(desk, HOTLINE, channel="hotline")
    case_id = done["submitted"]["case_id"]
    path = f"/v1/cases/{case_id}"
    before = (await desk.get(path, HOTLINE, *SCOPES)).json()
    words = "样金丝雀补充"

    for kind in ("supplement", "repeat_call", "repeat_call"):
        answer = await post(
            desk, f"{path}/supplements", {"kind": kind, "text": words, "reference": "补-1"}, HOTLINE
        )
        assert answer.status_code == 201, answer.text
    stranger = await post(desk, f"{path}/supplements", {"kind": "supplement"}, POLICE)

    after = (await desk.get(path, HOTLINE, *SCOPES)).json()
    listed = (await desk.get(f"{path}/supplements", HOTLINE, *SCOPES)).json()["items"]
    read = (await desk.get(f"{path}/supplements?purpose=handling", HOTLINE, *SCOPES)).json()
    assert {k: v for k, v in after.items() if k != "as_of"} == {
        k: v for k, v in before.items() if k != "as_of"
    }
    assert stranger.status_code == 404
    assert [item["kind"] for item in listed] == ["supplement", "repeat_call", "repeat_call"]
    assert {item["text"] for item in listed} == {None}
    assert read["items"][0]["text"] == words
    events = await desk.events(case_id)
    assert [e["kind"] for e in events if e["type"] == "liandiao.supplement.received.v1"] == [
        "supplement",
        "repeat_call",
        "repeat_call",
    ]
    assert words not in str(events)


async def test_what_a_superior_assigned_is_marked_with_number_and_day(desk: Intake) -> None:
    superior = {"organisation": "330600-CE-0001", "number": "绍转〔2026〕1号", "on": "2026-11-20"}

    done = await entered(desk, assigned_from_above=superior)
    itself = await enter(desk, assigned_from_above={**superior, "organisation": CENTRE})

    context = (await desk.events(done["submitted"]["case_id"]))[1]["legal_context"]
    assert context == {"assigned_by": "330600-CE-0001", "assigned_on": "2026-11-20"}
    assert codes(itself) == {"superior_same"}


async def test_a_proactive_case_has_no_day_of_asking_and_says_so(desk: Intake) -> None:
    """checklist 1.3"""
    done = await entered(desk, proactive=True)

    assert done["submitted"]["request_made_at"] is None
    registered = (await desk.events(done["submitted"]["case_id"]))[1]
    assert registered["legal_context"]["proactive"] is True


async def test_an_address_finds_its_place_and_an_unknown_one_goes_to_the_county(
    desk: Intake,
) -> None:
    """checklist 1.25"""
    known = await entered(desk, place=None, address="诸暨市枫桥镇栎桥村12号")
    unknown = await entered(desk, place=None, address="河边大樟树下")

    assert known["place"] == "330681109295"
    assert known["county_desk"] is False
    assert unknown["place"] == "330681000000"
    assert "place_county_desk" in [w["code"] for w in unknown["submitted"]["warnings"]]


async def test_another_kind_at_the_counter_becomes_a_matter(desk: Intake) -> None:
    """checklist 1.5"""
    answer = await enter(desk, kind="suggestion")

    assert answer.status_code == 422
    assert answer.json()["refusal"]["number"].startswith("LM")


async def test_the_officers_classification_is_registered_and_undetermined_binds_the_handler(
    desk: Intake,
) -> None:
    """checklist 1.9: mediated only on civil loss; the classification itself never travels"""
    context = {
        "classification": "undetermined",
        "classified_by": "officer-7",
        "classified_at": ago(hours=1),
        "classification_ground": "伤情待鉴定",
        "injury_appraisal": "asked",
    }

    done = await entered(desk, POLICE, channel="phone", legal_context=context)
    case_id, referral_id = done["submitted"]["case_id"], done["submitted"]["referral_id"]
    changed = await post(
        desk,
        f"/v1/referrals/{referral_id}/corrections",
        {
            "reason": "已定性",
            "changes": [{"pointer": "/legal_context/classification", "value": "minor_violation"}],
        },
        POLICE,
        **{"If-Match": '"1"'},
    )

    assert "classification_undetermined" in [w["code"] for w in done["submitted"]["warnings"]]
    events = await desk.events(case_id)
    assert events[1]["legal_context"] == {"civil_loss_only": True}
    assert changed.status_code == 201, changed.text
    lifted = [e for e in events[2:] + await desk.events(case_id) if "civil_loss_only" in e]
    assert lifted[-1]["civil_loss_only"] is False
    assert "undetermined" not in str(events)


async def test_a_mandate_is_revoked_by_one_call_and_binds_what_comes_after(desk: Intake) -> None:
    """checklist 1.24"""
    mandate = {"agent_name": "样代办", "form": "oral_recorded"}
    done = await entered(desk, on_behalf=mandate)
    case_id, id_ = done["submitted"]["case_id"], done["mandate_id"]
    receipt = done["submitted"]["receipts"][0]
    party = await desk.http.post(
        f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
    )
    own = bearer(party.json()["access_token"])
    path, body = f"/v1/cases/{case_id}/supplements", {"kind": "supplement", "mandate_id": id_}

    within = await post(desk, path, body)
    listed = await desk.http.get("/v1/party/mandates", headers=own)
    revoked = await desk.http.post("/v1/party/mandates/revocations", headers=own)
    again = await post(desk, f"/v1/mandates/{id_}/revocations", {})
    after = await post(desk, path, body)
    alone = await post(desk, path, {"kind": "supplement"})
    stranger = await post(desk, f"/v1/mandates/{id_}/revocations", {}, POLICE)

    assert within.json()["mandate_id"] == id_
    assert listed.json()["items"][0]["agent"]["name"] == "样代办"
    assert revoked.status_code == 200, revoked.text
    assert revoked.json()["items"][0]["revoked_told_by"] == "party"
    assert again.json()["revoked_at"] == revoked.json()["items"][0]["revoked_at"]
    assert (after.status_code, after.json()["errors"][0]["code"]) == (409, "mandate_revoked")
    assert alone.status_code == 201
    assert stranger.status_code == 404
