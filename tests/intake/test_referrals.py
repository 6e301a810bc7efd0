"""Referrals over REST on real PostgreSQL: accepted, refused, repeated, in conflict."""

import asyncio
import csv
import json
from typing import Any

import pytest

from intake import sealing
from intake.commands import amend as amend_by_command
from intake.commands import leave, submit
from intake.keys import keys_of
from services.auth import Caller
from services.errors import Invalid, Problem, ReferenceInUse
from services.events import lanes
from services.ids import new_id
from services.service import Command
from tests.intake.world import (
    COURT,
    POLICE,
    SAMPLES,
    SENDER,
    Intake,
    bearer,
    referral,
    sample,
    token,
)

pytestmark = pytest.mark.postgres

with (SAMPLES / "bad" / "expected.csv").open(encoding="utf-8", newline="") as file:
    EXPECTED = {row["file"]: row for row in csv.DictReader(file)}


def organisation_of(body: bytes) -> str:
    """Who sends a file, as far as it can be read."""
    try:
        return str(json.loads(body)["source"]["organisation"])
    except (ValueError, KeyError, RecursionError):
        return COURT


# What is only remarked: eight workers who elect.
REMARKS = {"group_below_ten_workers"}


async def test_each_lane_is_registered(intake: Intake) -> None:
    for path in sorted((SAMPLES / "referrals").glob("*.json")):
        document = sample(path.stem)

        answer = await intake.post("/v1/referrals", document, document["source"]["organisation"])

        assert answer.status_code == 201, path.stem + answer.text
        body = answer.json()
        assert answer.headers["Location"] == f"/v1/referrals/{body['referral_id']}"
        assert answer.headers["Case-Sequence"] == "intake=0000000002"
        assert {w["code"] for w in body["warnings"]} <= REMARKS
        assert [r["ref"] for r in body["receipts"]] == [p["ref"] for p in document["parties"]]
        received, registered = await intake.events(body["case_id"])
        assert received["type"] == "liandiao.referral.received.v1"
        assert registered["type"] == "liandiao.case.registered.v1"
        assert registered["lane"] == document["lane"]
        assert len(registered["parties"]) == len(document["parties"])
        assert len(registered["documents"]) == len(document["documents"])


async def test_each_bad_file_gives_what_is_expected_and_writes_nothing(intake: Intake) -> None:
    for name, row in sorted(EXPECTED.items()):
        before = await intake.counts()
        body = (SAMPLES / "bad" / name).read_bytes()

        answer = await intake.send(body, organisation_of(body))

        place = (row["json_pointer"], row["rule"])
        if row["outcome"] == "refused":
            assert 400 <= answer.status_code < 500, name
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [place]
            assert await intake.counts() == before
        else:
            assert answer.status_code == 201, name + answer.text
            found = [(w["pointer"], w["code"]) for w in answer.json()["warnings"]]
            if row["outcome"] == "accepted_with_warning" or row["rule"] == "unknown_field":
                assert place in found
            if row["rule"] == "idempotent_repeat":
                assert await intake.counts() == before


async def test_a_repeat_answers_the_same_and_creates_nothing(intake: Intake) -> None:
    """Checklist 1.1, 1.2: brackets, width and spaces make no other number."""
    first = await intake.post("/v1/referrals", referral("R1"))
    before = await intake.counts()
    reordered = dict(reversed(referral(" Ｒ1 ").items()))

    again = await intake.post("/v1/referrals", reordered)

    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert await intake.counts() == before


async def test_other_content_under_a_used_reference_is_a_conflict(intake: Intake) -> None:
    """Checklist 1.2: the answer names the case that has the number."""
    first = await intake.registered("（1）")

    answer = await intake.post("/v1/referrals", referral("[1]", title="另一标题"))

    assert (answer.status_code, answer.json()["code"]) == (409, "reference-in-use")
    assert first["case_number"] in answer.json()["detail"]
    kept = await intake.get(f"/v1/referrals/{first['referral_id']}?purpose=verification")
    assert kept.json()["document"]["title"] == sample("court_pre")["title"]


async def test_many_at_once_make_one_case(intake: Intake) -> None:
    answers = await asyncio.gather(
        *(intake.post("/v1/referrals", referral("R1")) for _ in range(16))
    )

    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["case_id"] for a in answers}) == 1
    assert (await intake.counts())["case_file"] == 1


async def test_the_same_key_with_another_body_is_refused(intake: Intake) -> None:
    """Checklist 1.2: a day later, too."""
    key = intake.key()
    await intake.post("/v1/referrals", referral("R1"), **key)

    await intake.runtime.pool.execute(
        "UPDATE idempotency SET created_at = created_at - interval '24 hours'"
    )
    again = await intake.post("/v1/referrals", referral("R1"), **key)
    other = await intake.post("/v1/referrals", referral("R2"), **key)

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_nobody_sends_for_another_organisation(intake: Intake) -> None:
    answer = await intake.post("/v1/referrals", referral("R1"), POLICE)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await intake.counts())["referral"] == 0


async def test_a_token_without_the_scope_is_refused(intake: Intake) -> None:
    head = bearer(token(COURT, "referral:read"))

    answer = await intake.http.post("/v1/referrals", json=referral("R1"), headers=head)

    assert answer.status_code == 403


async def test_a_body_over_one_mebibyte_is_too_large(intake: Intake) -> None:
    answer = await intake.send(b'{"a":"' + b"x" * 1024 * 1024 + b'"}')

    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


async def test_case_numbers_are_taken_in_blocks_and_never_twice(intake: Intake) -> None:
    """Checklist 1.27."""
    numbers = [(await intake.registered(f"R{n}"))["case_number"] for n in range(25)]

    assert len(set(numbers)) == 25
    assert await intake.runtime.pool.fetchval("SELECT next_serial FROM case_serial") == 41


async def test_an_organisation_sees_its_own_referrals_alone(intake: Intake) -> None:
    done = await intake.registered("R1")
    await intake.registered("R2")

    found = (await intake.get("/v1/referrals?reference=R1")).json()["items"]
    pages = []
    path = "/v1/referrals?limit=1"
    while path:
        page = (await intake.get(path)).json()
        pages += [item["reference"] for item in page["items"]]
        path = page["next"] and f"/v1/referrals?limit=1&cursor={page['next']}"

    assert [item["referral_id"] for item in found] == [done["referral_id"]]
    assert pages == ["R2", "R1"]
    assert (await intake.get(f"/v1/referrals/{done['referral_id']}", POLICE)).status_code == 404
    assert (await intake.get("/v1/referrals", POLICE)).json()["items"] == []


# -- corrections


async def correct(intake: Intake, done: Any, *changes: Any, version: int = 1) -> Any:
    """Correct a referral by (pointer, value) pairs."""
    body = {"reason": "录入错误", "changes": [{"pointer": p, "value": v} for p, v in changes]}
    head = {**intake.key(), "If-Match": f'"{version}"'}
    return await intake.post(f"/v1/referrals/{done['referral_id']}/corrections", body, **head)


async def test_a_correction_keeps_history_and_tells_what_changed(intake: Intake) -> None:
    """Checklist 1.2."""
    done = await intake.registered("R1")

    answer = await correct(intake, done, ("/claim_fen", 5), ("/parties/0/phone", "19900000999"))

    assert (answer.status_code, answer.json()["version"]) == (201, 2)
    _, _, party, case = await intake.events(done["case_id"])
    assert (party["type"], party["changed"]) == ("liandiao.party.changed.v1", ["phone"])
    assert (case["claim_fen"], case["changed"]) == (5, ["claim_fen", "parties"])
    people = (await intake.get(f"/v1/cases/{done['case_id']}/parties?purpose=contact")).json()
    assert people["parties"][0]["phone"] == "19900000999"
    shown = (await intake.get(f"/v1/referrals/{done['referral_id']}")).json()
    assert shown["corrections"][0]["changed"] == ["/claim_fen", "/parties/0/phone"]
    repeat = await intake.post("/v1/referrals", referral("R1"))
    assert repeat.json() == done


async def test_an_unknown_respondent_becomes_known(intake: Intake) -> None:
    done = await intake.registered("R1")
    third = {**referral()["parties"][1], "ref": "p3", "id": None, "name": "样三"}

    answer = await correct(intake, done, ("/parties/-", third))

    assert answer.status_code == 201, answer.text
    receipts = (await intake.get(f"/v1/referrals/{done['referral_id']}/receipt")).json()
    assert [r["ref"] for r in receipts["receipts"]] == ["p1", "p2", "p3"]
    assert (await intake.post("/v1/referrals", referral("R1"))).json() == done


async def test_a_wrong_correction_changes_nothing(intake: Intake) -> None:
    done = await intake.registered("R1")
    before = await intake.counts()

    answer = await correct(intake, done, ("/lane", "pm"), ("/claim_fen", -1), ("/place", "1"))

    assert answer.status_code == 422
    assert {(e["pointer"], e["code"]) for e in answer.json()["errors"]} == {
        ("/changes/0/pointer", "pointer_fixed"),
        ("/claim_fen", "claim_negative"),
        ("/place", "format"),
    }
    assert await intake.counts() == before


async def test_a_correction_does_not_ask_again_who_may_send_in_the_lane(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await intake.registered("R1")
    monkeypatch.setattr(lanes, "may_send", lambda lane, kind: False)

    answer = await correct(intake, done, ("/claim_fen", 5))
    new = await intake.post("/v1/referrals", referral("R2"))

    assert answer.status_code == 201
    assert [e["code"] for e in new.json()["errors"]] == ["lane_not_for_source_kind"]


async def test_a_correction_of_an_old_version_is_refused(intake: Intake) -> None:
    done = await intake.registered("R1")
    await correct(intake, done, ("/claim_fen", 5))

    answer = await correct(intake, done, ("/claim_fen", 6))

    assert (answer.status_code, answer.json()["code"]) == (412, "version-mismatch")


# -- commands


async def command(
    intake: Intake, type_: str, inside: bytes | None, subject: str | None = None, **clear: Any
) -> Any:
    """Handle a command of the court's connection in one transaction."""
    handler = {"submit": submit, "amend": amend_by_command, "leave": leave}[type_]
    data = {"organisation": COURT, **clear}
    if inside is not None:
        data["sealed"] = sealing.seal(inside, keys_of(intake.runtime).sealing.public()[-1])
    caller = Caller("c", "o-court", COURT, (COURT,), frozenset(SENDER))
    received = Command("o-court", new_id(), type_, subject, data, None, "t", 0, 0)
    async with intake.runtime.unit_of_work(caller=caller) as uow:
        return await handler(received, uow)


def sealed_referral(reference: str = "R1", **members: Any) -> bytes:
    """The plaintext of a ``referral.submit``."""
    return json.dumps(referral(reference, **members), ensure_ascii=False).encode()


async def test_a_command_does_what_rest_does_and_answers_no_secret(intake: Intake) -> None:
    """Checklist 1.1."""
    done = await command(intake, "submit", sealed_referral(), reference="R1")

    again = await command(intake, "submit", sealed_referral(), reference="R1")
    by_rest = await intake.post("/v1/referrals", referral("R1"))

    assert done == again
    assert by_rest.json()["case_id"] == str(done["case_id"])
    assert set(done) == {"case_id", "case_number", "referral_id", "warnings"}
    with pytest.raises(ReferenceInUse):
        await command(intake, "submit", sealed_referral(title="x"), reference="R1")


async def test_a_refused_command_says_what_is_wrong(intake: Intake) -> None:
    for inside, clear, fault in (
        (None, {"reference": "R1"}, ("/sealed", "sealed_missing")),
        (sealed_referral(), {}, ("/reference", "required")),
        (sealed_referral(), {"reference": "R2"}, ("/reference", "clear_member_differs")),
        (sealed_referral(claim_fen=-1), {"reference": "R1"}, ("/claim_fen", "claim_negative")),
    ):
        with pytest.raises(Invalid) as caught:
            await command(intake, "submit", inside, **clear)

        assert [(e.pointer, e.code) for e in caught.value.errors] == [fault]
    assert (await intake.counts())["referral"] == 0


async def test_each_bad_file_is_refused_alike_by_command(intake: Intake) -> None:
    first = (SAMPLES / "bad" / "23-reference-reused-different-first.json").read_bytes()
    await intake.send(first)
    refused = [name for name, row in EXPECTED.items() if row["outcome"] == "refused"]
    for name in refused:
        row, body = EXPECTED[name], (SAMPLES / "bad" / name).read_bytes()
        if len(body) > sealing.MAX_PLAINTEXT:
            continue
        organisation = organisation_of(body)
        data = {
            "organisation": organisation,
            "reference": reference_of(body),
            "sealed": sealing.seal(body, keys_of(intake.runtime).sealing.public()[-1]),
        }
        received = Command("o-x", new_id(), "referral.submit", None, data, None, "t", 0, 0)
        caller = Caller("c", "o-x", organisation, (organisation,), frozenset(SENDER))

        with pytest.raises(Problem) as caught:
            async with intake.runtime.unit_of_work(caller=caller) as uow:
                await submit(received, uow)

        place = (row["json_pointer"], row["rule"])
        assert [(e.pointer, e.code) for e in caught.value.errors] == [place], name


def reference_of(body: bytes) -> str:
    """The sender's own number in a file, as far as it can be read."""
    try:
        return str(json.loads(body)["source"]["reference"])
    except (ValueError, RecursionError):
        return "x"


async def test_an_amendment_by_command_corrects(intake: Intake) -> None:
    done = await intake.registered("R1")
    amendment = {
        "organisation": COURT,
        "reference": "R1",
        "reason": "录入错误",
        "changes": [{"pointer": "/claim_fen", "value": 7}],
    }

    answer = await command(intake, "amend", json.dumps(amendment).encode(), reference="R1")

    assert str(answer["case_id"]) == done["case_id"]
    assert (await intake.get(f"/v1/cases/{done['case_id']}")).json()["claim_fen"] == 7


async def test_a_delegation_without_recorded_consent_is_refused_and_mended_under_its_reference(
    intake: Intake,
) -> None:
    """Checklist 1.8: refused by form, so nothing is written; with consent it is registered."""
    document = referral("R1")
    document["parties"][0]["consent"] = {"state": "unknown", "on": None}
    before = await intake.counts()

    answer = await intake.post("/v1/referrals", document)

    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/parties/0/consent", "consent_not_recorded")
    assert "L-03" in error["message"]
    assert await intake.counts() == before
    document["parties"][0]["consent"] = {"state": "given", "on": "2026-11-06"}
    assert (await intake.post("/v1/referrals", document)).status_code == 201


async def test_a_party_leaves_by_command(intake: Intake) -> None:
    done = await intake.registered("R1")

    for _ in range(2):
        answer = await command(
            intake, "leave", None, done["case_id"], reference="R1", party_ref="p2"
        )
        assert str(answer["case_id"]) == done["case_id"]

    left = [e for e in await intake.events(done["case_id"]) if e["type"].endswith("left.v1")]
    assert [e["role"] for e in left] == ["respondent"]
