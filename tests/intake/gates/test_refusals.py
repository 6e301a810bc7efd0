"""Refusals on record: receipt, ground, citation, where to go, until when; and their review."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from intake import sealing
from intake.keys import keys_of
from intake.model import Referral
from services.ids import new_id
from services.messaging.commands import CommandConsumer, read_command
from services.messaging.kafka import Incoming
from services.messaging.transaction import transaction
from tests.intake.world import COURT, Intake, bearer, referral, sample, token

pytestmark = pytest.mark.postgres
CONVENOR = "330681-DP-0008"
PETITION = "330681-PO-0001"
SUPERIOR = "330600-CT-0001"
DESK = ("refusal:read", "refusal:write", "referral:write", "matter:read", "matter:write")


def barred(reference: str = "R-N02", **context: Any) -> dict[str, Any]:
    """A court's referral of what the police have accepted and not entrusted."""
    document = referral(reference)
    document["legal_context"] |= {"accepted_by": "police", **context}
    return document


async def act(intake: Intake, path: str, body: Any, organisation: str, **headers: str) -> Any:
    head = {**bearer(token(organisation, *DESK)), **intake.key(), **headers}
    return await intake.http.post(path, json=body, headers=head)


async def test_a_gate_answers_with_receipt_ground_citation_where_to_go_and_until_when(
    intake: Intake,
) -> None:
    """checklist 1.4, 1.7"""
    answer = await intake.post("/v1/referrals", barred())

    body = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["code"] == "refused"
    assert body["errors"][0]["code"] == "gate_n_02"
    assert body["errors"][0]["pointer"] == "/legal_context/accepted_by"
    assert "人民法院、公安机关" in body["errors"][0]["message"]
    told = body["refusal"]
    assert told["number"].startswith("LR2026-330681-")
    assert len(told["secret"]) == 10
    assert told["citation"] == "人民调解工作若干规定 22"
    assert told["go_to"]["kind"] == "police"
    assert told["go_to"]["organisation"].startswith("330681-PS-")
    assert told["until"]["zh"]
    counts = await intake.counts()
    assert (counts["refusal"], counts["case_file"], counts["party"]) == (1, 0, 0)


async def test_the_same_refused_content_again_is_the_same_refusal(intake: Intake) -> None:
    first = (await intake.post("/v1/referrals", barred())).json()["refusal"]

    again = (await intake.post("/v1/referrals", barred())).json()["refusal"]

    assert again == first
    assert (await intake.counts())["refusal"] == 1


async def test_a_corrected_referral_under_the_refused_reference_is_registered(
    intake: Intake,
) -> None:
    await intake.post("/v1/referrals", barred())

    answer = await intake.post("/v1/referrals", barred(entrusted_by="330681-PS-0001"))

    assert answer.status_code == 201, answer.text


async def test_what_was_registered_before_a_gate_stays_and_a_repeat_answers_as_it_did(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intake.gates import model

    with monkeypatch.context() as before:
        before.setattr(model, "refusing", lambda facts: None)
        first = await intake.post("/v1/referrals", barred())

    again = await intake.post("/v1/referrals", barred())

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()


async def test_another_desk_overturns_a_refusal_and_the_same_content_is_taken(
    intake: Intake,
) -> None:
    """checklist 1.6: a reviewer of another desk may overturn"""
    told = (await intake.post("/v1/referrals", barred())).json()["refusal"]
    path = f"/v1/refusals/{told['refusal_id']}"
    waiting = await intake.get("/v1/refusals?to_review=true", SUPERIOR, *DESK)

    own = await act(intake, f"{path}/reviews", {"outcome": "overturned", "reason": "a"}, COURT)
    stranger = await act(
        intake, f"{path}/reviews", {"outcome": "overturned", "reason": "a"}, PETITION
    )
    review = await act(
        intake, f"{path}/reviews", {"outcome": "overturned", "reason": "已撤案"}, SUPERIOR
    )
    twice = await act(intake, f"{path}/reviews", {"outcome": "upheld", "reason": "a"}, CONVENOR)
    sent = await intake.post("/v1/referrals", barred())

    assert [item["number"] for item in waiting.json()["items"]] == [told["number"]]
    assert waiting.json()["items"][0]["reference"] is None
    assert (own.status_code, stranger.status_code) == (404, 404)
    assert review.status_code == 201, review.text
    assert review.json()["state"] == "overturned"
    assert twice.status_code == 409
    assert sent.status_code == 201, sent.text


async def test_an_upheld_refusal_stays_refused_and_figures_show_it_beside_what_was_registered(
    intake: Intake,
) -> None:
    """checklist 1.6: refused or redirected ones count in figures"""
    await intake.registered("R-ordinary")
    told = (await intake.post("/v1/referrals", barred())).json()["refusal"]
    path = f"/v1/refusals/{told['refusal_id']}"
    await act(intake, f"{path}/reviews", {"outcome": "upheld", "reason": "仍在办理"}, SUPERIOR)

    again = await intake.post("/v1/referrals", barred())
    figures = (await intake.get("/v1/refusals/counts", COURT, *DESK)).json()

    assert again.status_code == 422
    assert (figures["registered"], figures["refusals"]) == (1, 1)
    (by_ground,) = figures["by_ground"]
    assert (by_ground["ground"], by_ground["state"], by_ground["refusals"]) == (
        "gate_n_02",
        "upheld",
        1,
    )


async def test_a_check_tells_everything_beforehand_and_writes_nothing(intake: Intake) -> None:
    """checklist 1.7: M-26 is told before anything is registered"""
    before = await intake.counts()
    document = sample("consumer")
    sender = document["source"]["organisation"]

    fine = (await act(intake, "/v1/referrals/checks", document, sender)).json()
    bad = (await act(intake, "/v1/referrals/checks", barred(lane="nowhere"), COURT)).json()
    broken = {**document, "lane": "nowhere"}
    wrong = (await act(intake, "/v1/referrals/checks", broken, sender)).json()

    assert fine["accepted"] is True
    assert [w["code"] for w in fine["warnings"]] == ["gate_m_26_before"]
    assert bad["accepted"] is False
    assert bad["refusal"]["ground"] == "gate_n_02"
    assert "number" not in bad["refusal"]
    assert [e["code"] for e in wrong["errors"]] == ["lane_unknown"]
    assert await intake.counts() == before


@pytest.mark.parametrize(
    ("route", "number", "refused", "kind"),
    [
        ("judicial", 1, True, "court"),
        ("arbitration", 2, True, "department"),
        ("party_appeal", 3, True, "department"),
        ("administrative_procedure", 4, True, "judicial_bureau"),
        ("enforcement_request", 5, True, "department"),
        ("petition_opinion", 6, False, "petition_office"),
    ],
)
async def test_each_lawful_route_of_a_petition_is_told_with_organ_basis_and_time(
    intake: Intake, route: str, number: int, refused: bool, kind: str
) -> None:
    """checklist 1.6"""
    document = sample("petition")
    document["legal_context"]["lawful_route"] = route

    told = (await act(intake, "/v1/referrals/checks", document, PETITION)).json()

    assert told["lawful_route"]["number"] == number
    assert told["lawful_route"]["citation"].startswith("信访工作条例 31")
    assert told["lawful_route"]["go_to"]["kind"] == kind
    assert told["lawful_route"]["go_to"]["organisation"]
    until = told["lawful_route"]["until"]
    assert until["on"] or until["zh"]
    assert (told["refusal"] is not None) is refused


async def test_who_refuses_owes_the_party_a_notice_until_it_is_proved(intake: Intake) -> None:
    """checklist 1.6 (told in writing), 1.23"""
    told = (await intake.post("/v1/referrals", barred())).json()["refusal"]
    tasks = (await intake.get("/v1/notices", COURT, *DESK)).json()["items"]
    path = f"/v1/notices/{tasks[0]['notice_id']}/proofs"

    stranger = await act(intake, path, {"means": "post"}, PETITION)
    proved = await act(intake, path, {"means": "handed_over"}, COURT)
    again = await act(intake, path, {"means": "phone"}, COURT)
    left = (await intake.get("/v1/notices", COURT, *DESK)).json()["items"]

    assert [t["subject_id"] for t in tasks] == [told["refusal_id"]]
    assert stranger.status_code == 404
    assert proved.json()["state"] == "proved"
    assert again.json()["means"] == "handed_over"
    assert left == []


async def test_the_person_follows_a_refusal_by_number_and_secret(intake: Intake) -> None:
    """checklist 1.4: each refusal gives a receipt"""
    told = (await intake.post("/v1/referrals", barred())).json()["refusal"]
    path = f"/v1/receipts/{told['number']}/readings"

    wrong = await intake.http.post(path, json={"secret": "AAAAAAAAAA"})
    right = await intake.http.post(path, json={"secret": told["secret"].lower()})
    receipt = await intake.get(f"/v1/refusals/{told['refusal_id']}/receipt", COURT, *DESK)
    foreign = await intake.get(f"/v1/refusals/{told['refusal_id']}/receipt", SUPERIOR, *DESK)

    assert wrong.status_code == 401
    assert right.status_code == 200, right.text
    assert right.json()["ground"] == "gate_n_02"
    assert right.json()["state"] == "standing"
    assert receipt.json() == {"number": told["number"], "secret": told["secret"]}
    assert foreign.status_code == 404
    assert (await intake.get("/v1/notices", COURT, *DESK)).json()["items"] == []


async def test_a_refused_referral_is_sealed_and_leaves_no_name_behind(intake: Intake) -> None:
    document = barred()
    document["parties"][0]["name"] = "样金丝雀"
    answer = await intake.post("/v1/referrals", document)

    rows = await intake.runtime.pool.fetch("SELECT * FROM refusal")
    audit = await intake.runtime.pool.fetch("SELECT * FROM audit_entry")

    assert answer.status_code == 422
    assert "样金丝雀" not in answer.text
    assert "样金丝雀" not in repr([dict(row) for row in (*rows, *audit)])


async def test_a_correction_that_meets_a_gate_is_taken_with_a_warning(intake: Intake) -> None:
    """checklist 1.7: M-01, if the court accepts it later"""
    done = await intake.registered("R-later")
    path = f"/v1/referrals/{done['referral_id']}/corrections"
    body = {
        "reason": "公安已受理",
        "changes": [{"pointer": "/legal_context/accepted_by", "value": "police"}],
    }

    answer = await intake.post(path, body, **{"If-Match": '"1"', **intake.key()})

    assert answer.status_code == 201, answer.text
    assert "gate_n_02" in [w["code"] for w in answer.json()["warnings"]]


def test_a_referral_is_judged_on_the_day_it_was_received() -> None:
    from datetime import UTC, datetime

    from intake.gates.model import facts_of, refusing
    from tests.intake.world import directory

    document = sample("petition")
    document["legal_context"]["same_matter_due_on"] = "2026-11-24"
    late_evening = datetime(2026, 11, 24, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in Shanghai
    base = {name: None for name in Referral.__dataclass_fields__}
    found = [
        refusing(
            facts_of(
                Referral(
                    **{**base, "document": document, "organisation": PETITION, "received_at": at}
                ),
                directory(),
            )
        )
        for at in (late_evening, late_evening.replace(hour=16))
    ]

    assert found[0] is not None
    assert found[0].code == "gate_f_12"
    assert found[1] is None


async def test_a_refused_command_is_on_record_and_its_answer_holds_no_secret(
    intake: Intake,
) -> None:
    """checklist 1.1, 1.4: by the stream as by REST"""
    runtime, name = intake.runtime, "o-court-stream"
    entry = {"organisations": [COURT], "scopes": ["referral:write"], "active": True}
    runtime.directory.put(f"connection:{name}", 1, entry)
    document = barred("R-stream")
    key = keys_of(runtime).sealing.public()[-1]
    data = {
        "organisation": COURT,
        "reference": "R-stream",
        "sealed": sealing.seal(json.dumps(document).encode(), key),
    }
    headers = [
        ("ce_id", str(new_id())),
        ("ce_type", "liandiao.referral.submit.v1"),
        ("ce_specversion", "1.0"),
    ]
    record = Incoming(f"agency.{name}.in", 0, 0, None, headers, orjson.dumps(data))
    consumer = CommandConsumer(runtime)

    async with transaction(runtime) as (db, now):
        await consumer._effect(db, record, read_command(record), now)

    row = await runtime.pool.fetchrow("SELECT * FROM refusal")
    sent = json.loads(
        await runtime.pool.fetchval(
            "SELECT data FROM outbox WHERE type = 'liandiao.command.answered.v1'"
        )
    )
    receipt = await intake.get(f"/v1/refusals/{row['refusal_id']}/receipt", COURT, *DESK)
    assert sent["outcome"] == "rejected"
    assert sent["problem"]["code"] == "refused"
    assert sent["problem"]["refusal"]["number"] == row["number"]
    assert receipt.json()["secret"] not in str(sent)


@pytest.mark.parametrize(("days", "overdue"), [(14, False), (17, True)])
async def test_a_petitioner_who_was_not_told_in_writing_in_time_is_overdue(
    intake: Intake, days: int, overdue: bool
) -> None:
    """Checklist 1.6: fifteen days (信访工作条例 23), in lists and figures, until it is proved."""
    document = sample("petition")
    received = datetime.now(UTC) - timedelta(days=days)
    document["source"] |= {"reference": "R-F13", "received_at": received.isoformat()}
    document["request_made_at"] = received.isoformat()
    document["legal_context"] |= {"lawful_route": "arbitration", "mediation_chosen": False}

    answer = await intake.post("/v1/referrals", document, PETITION)

    told = answer.json()["refusal"]
    assert told["ground"] == "route_arbitration", answer.text
    listed = (await intake.get("/v1/refusals", PETITION, *DESK)).json()["items"][0]
    assert (listed["overdue"], listed["due_source"]) == (overdue, "信访工作条例 23")
    assert listed["until_over"] is True  # five days for the arbitration (劳动争议调解仲裁法 29)
    found = (await intake.get("/v1/refusals?overdue=true", PETITION, *DESK)).json()["items"]
    assert len(found) == int(overdue)
    counts = (await intake.get("/v1/refusals/counts", PETITION, *DESK)).json()
    assert (counts["overdue"], counts["by_ground"][0]["overdue"]) == (overdue, overdue)

    tasks = (await intake.get("/v1/notices", PETITION, *DESK)).json()["items"]
    path = f"/v1/notices/{tasks[0]['notice_id']}/proofs"
    await act(intake, path, {"means": "handed_over"}, PETITION)

    one = await intake.get(f"/v1/refusals/{told['refusal_id']}", PETITION, *DESK)
    assert one.json()["overdue"] is False
    rest = (await intake.get("/v1/refusals?overdue=false", PETITION, *DESK)).json()["items"]
    assert len(rest) == 1
