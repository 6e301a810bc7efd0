"""Who is shown what may be the same, and who is not."""

import json
from typing import Any

import pytest

from tests.intake.duplicates.world import (
    HOTLINE,
    compared,
    decide,
    duplicates,
    takes_part,
    told_again,
)
from tests.intake.rights.test_erasing import closed, decided, proposed
from tests.intake.test_referrals import correct
from tests.intake.world import CENTRE, COURT, POLICE, Intake, referral, sample

pytestmark = pytest.mark.postgres


async def test_the_same_source_is_told_of_its_repeat(intake: Intake) -> None:
    """Checklist 1.13: same-source repeats are recognised."""
    one, two = await intake.registered("R1"), await intake.registered("R2")

    assert (await duplicates(intake, one)).json()["compared"] is False
    assert await compared(intake) == 2

    shown = (await duplicates(intake, one)).json()
    (found,) = shown["items"]
    assert (found["case_id"], found["ground"]) == (two["case_id"], "repeat")
    assert found["score"] >= 90
    assert {"identity_1", "both_sides"} <= {reason["code"] for reason in found["reasons"]}
    assert all(reason["zh"] and reason["en"] for reason in found["reasons"])


async def test_other_disputes_are_not_suggested(intake: Intake) -> None:
    one = await intake.registered("R1")
    await intake.post("/v1/referrals", sample("police-boundary"), POLICE)

    await compared(intake)

    assert (await duplicates(intake, one)).json()["items"] == []


async def test_another_source_sees_nothing_of_a_file_that_is_not_its_own(intake: Intake) -> None:
    """Checklist 1.13: never to an agency that may not see the other file."""
    one = await intake.registered("R1")
    other = (await intake.post("/v1/referrals", told_again(), POLICE)).json()
    await compared(intake)

    shown = (await duplicates(intake, other, POLICE)).json()
    body = json.dumps(shown, ensure_ascii=False)

    assert shown["items"] == []
    assert one["case_id"] not in body
    assert one["case_number"] not in body
    assert "R1" not in body
    assert (await duplicates(intake, one, POLICE)).status_code == 404


async def test_who_handles_both_sees_the_pair(intake: Intake) -> None:
    one = await intake.registered("R1")
    other = (await intake.post("/v1/referrals", told_again(), POLICE)).json()
    for case in (one, other):
        await takes_part(intake, case)
    await compared(intake)

    (found,) = (await duplicates(intake, one, CENTRE)).json()["items"]

    assert (found["case_id"], found["ground"]) == (other["case_id"], "alike")


def verified(**members: Any) -> dict[str, Any]:
    """The hotline hears the same applicant, whose document it has seen, with the same matter."""
    document = told_again(HOTLINE, "H1", **members)
    document["parties"][0]["id"]["verified"] = True
    return document


async def test_already_handled_is_said_without_content_and_the_person_sees_it(
    intake: Intake,
) -> None:
    """Design 3.1; issue "Duplicates": a notice without content, in the applicant's access log."""
    mine = referral("R1")
    mine["parties"][0]["id"]["verified"] = True
    one = (await intake.post("/v1/referrals", mine)).json()
    other = (await intake.post("/v1/referrals", verified(), HOTLINE)).json()
    await compared(intake)

    shown = (await duplicates(intake, other, HOTLINE)).json()

    assert shown["items"] == []
    (notice,) = shown["already_handled"]
    assert set(notice) == {"organisation", "zh", "en"}
    assert notice["organisation"] == COURT
    log = (await intake.get(f"/v1/cases/{one['case_id']}/access-log")).json()["items"]
    assert [(e["what"], e["organisation"]) for e in log] == [("duplicate.notice", HOTLINE)]


@pytest.mark.parametrize("what", ["not verified", "screened", "protected"])
async def test_no_notice_where_it_could_harm(intake: Intake, what: str) -> None:
    mine = referral("R1")
    mine["parties"][0]["id"]["verified"] = what != "not verified"
    if what == "screened":
        mine["safety"] = {"concerns": [{"kind": "domestic_violence", "reported_by": "source"}]}
    if what == "protected":
        mine["parties"][0]["protected"] = {"name": False, "phone": False, "address": True}
    assert (await intake.post("/v1/referrals", mine)).status_code == 201
    other = (await intake.post("/v1/referrals", verified(), HOTLINE)).json()
    await compared(intake)

    shown = (await duplicates(intake, other, HOTLINE)).json()

    assert (shown["items"], shown["already_handled"]) == ([], [])


async def test_a_dismissed_pair_stays_away_even_when_it_is_compared_again(intake: Intake) -> None:
    one, two = await intake.registered("R1"), await intake.registered("R2")
    await compared(intake)
    path = f"/v1/cases/{one['case_id']}/duplicates/dismissals"
    body = {"other_case_id": two["case_id"], "reason": "linked_matter"}

    by_machine = await decide(intake, path, body, COURT, staff=None)
    done = await decide(intake, path, body, COURT)
    await correct(intake, one, ("/claim_fen", 7))
    await compared(intake)

    assert by_machine.status_code == 422
    assert by_machine.json()["errors"][0]["code"] == "person_needed"
    assert done.status_code == 201
    for case in (one, two):
        assert (await duplicates(intake, case, least=0)).json()["items"] == []


async def test_what_was_corrected_is_compared_anew(intake: Intake) -> None:
    one, two = await intake.registered("R1"), await intake.registered("R2")
    await compared(intake)
    other = sample("police-boundary")
    changes = [("/title", other["title"]), ("/summary", other["summary"]), ("/claims", ["无"])]
    changes += [("/place", other["place"]), ("/claim_fen", 1), ("/occurred_at", None)]
    changes += [(f"/parties/{n}/name", f"陌生{n}") for n in range(2)]
    changes += [(f"/parties/{n}/id", None) for n in range(2)]
    changes += [(f"/parties/{n}/phone", None) for n in range(2)]
    changes += [(f"/parties/{n}/birth_date", None) for n in range(2)]

    answer = await correct(intake, one, *changes)
    await compared(intake)

    assert answer.status_code == 201, answer.text
    assert (await duplicates(intake, two)).json()["items"] == []
    three = await intake.registered("R3")
    await compared(intake)
    alike = (await duplicates(intake, three)).json()["items"]
    assert [each["case_id"] for each in alike] == [two["case_id"]]
    keys = await intake.runtime.pool.fetch(
        """SELECT array_agg(k.key ORDER BY k.key) AS there, t.keys FROM duplicate_trait t
           JOIN duplicate_key k USING (case_id) GROUP BY t.case_id"""
    )
    assert all(row["there"] == row["keys"] for row in keys)


async def test_nothing_that_could_be_read_is_stored(intake: Intake) -> None:
    """Plaintext never stands in the tables of duplicates."""
    await intake.registered("R1")
    await compared(intake)

    rows = await intake.runtime.pool.fetch("SELECT to_jsonb(t) AS t FROM duplicate_trait t")
    text = json.dumps([row["t"] for row in rows], ensure_ascii=False)

    for party in referral()["parties"]:
        for value in (party["name"], party["phone"], (party["id"] or {}).get("number")):
            assert value is None or value not in text


async def test_an_erased_party_is_neither_compared_nor_found(intake: Intake) -> None:
    """Erasure takes the hashes away; what is left of the case is compared anew."""
    one, two = await intake.registered("R1"), await intake.registered("R2")
    await compared(intake)
    await closed(intake, one)
    party = next(r["party_id"] for r in one["receipts"] if r["role"] == "applicant")
    person = referral()["parties"][0]
    body = {"party": {"name": person["name"]}, "purpose": "handling"}
    before = (await intake.post("/v1/cases/searches", body)).json()["items"]

    erasure = await proposed(intake, one["case_id"], ground="wrong_person", party_id=party)
    done = await decided(intake, erasure)
    left = await intake.counts()
    await compared(intake)

    assert done.status_code == 201, done.text
    assert len(before) == 2
    assert (left["duplicate_trait"], left["duplicate_pair"]) == (1, 0)
    after = (await intake.post("/v1/cases/searches", body)).json()["items"]
    assert [item["case_id"] for item in after] == [two["case_id"]]


async def test_the_post_only_takes_a_place_in_the_queue(intake: Intake) -> None:
    await intake.registered("R1")

    counts = await intake.counts()

    assert (counts["duplicate_queue"], counts["duplicate_trait"]) == (1, 0)
