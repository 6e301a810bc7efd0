"""Counterclaims and linked matters are linked, not merged, and neither file opens the other."""

from typing import Any

import pytest

from tests.intake.duplicates.world import takes_part, told_again
from tests.intake.world import CENTRE, COURT, POLICE, Intake

pytestmark = pytest.mark.postgres


async def two(intake: Intake) -> tuple[Any, Any]:
    """A court's case and a police one; the centre handles both, no source takes part in both."""
    one = await intake.registered("L1")
    other = (await intake.post("/v1/referrals", told_again(), POLICE)).json()
    for case in (one, other):
        await takes_part(intake, case)
    return one, other


async def link(
    intake: Intake, case: Any, other: Any, by: str = CENTRE, kind: str = "counterclaim"
) -> Any:
    body = {"other_case_id": other["case_id"], "kind": kind}
    return await intake.post(f"/v1/cases/{case['case_id']}/links", body, by, **intake.key())


async def links(intake: Intake, case: Any, by: str = CENTRE) -> Any:
    return (await intake.get(f"/v1/cases/{case['case_id']}/links", by)).json()["items"]


async def test_a_counterclaim_is_linked_and_both_go_on_apart(intake: Intake) -> None:
    """Checklist 1.14: told on both with ids alone; each keeps its state, holder and parties."""
    one, other = await two(intake)
    before = [
        (await intake.get(f"/v1/cases/{case['case_id']}", CENTRE)).json() for case in (one, other)
    ]

    made = await link(intake, one, other)

    assert made.status_code == 201, made.text
    assert made.json()["other_case_number"] == other["case_number"]
    for case in (one, other):
        told = (await intake.events(case["case_id"]))[-1]
        assert told["type"] == "liandiao.case.linked.v1"
        assert set(told) - {"type", "headers"} == {
            "case_id", "case_number", "link_id", "linked_at",
        }  # fmt: skip
    after = [
        (await intake.get(f"/v1/cases/{case['case_id']}", CENTRE)).json() for case in (one, other)
    ]
    for was, is_ in zip(before, after, strict=True):
        assert {**was, "as_of": None} == {**is_, "as_of": None}
    (here,), (there,) = await links(intake, one), await links(intake, other)
    assert (here["named_here"], there["named_here"]) == (True, False)
    assert there["other_case_number"] == one["case_number"]


async def test_who_takes_part_in_one_alone_learns_nothing_of_the_other(intake: Intake) -> None:
    """Checklist 1.14: neither by the list, nor by the event, nor by trying to link or to end it."""
    one, other = await two(intake)
    made = (await link(intake, one, other)).json()

    tried = [await link(intake, one, other, by) for by in (COURT, POLICE)]
    ended = await intake.post(f"/v1/case-links/{made['link_id']}/removals", {}, COURT)
    unknown = await link(intake, one, {"case_id": made["link_id"]}, COURT)

    assert [a.status_code for a in (*tried, ended, unknown)] == [404] * 4
    assert (await links(intake, one, COURT), await links(intake, other, POLICE)) == ([], [])
    timeline = await intake.get(f"/v1/cases/{one['case_id']}/timeline", COURT)
    assert "case.linked" in timeline.text
    for secret in (other["case_id"], other["case_number"]):
        assert secret not in timeline.text


async def test_a_link_stands_once_and_ends_once(intake: Intake) -> None:
    """Checklist 1.14: the same from the other side is the same; ended, it may be made again."""
    one, other = await two(intake)
    made = (await link(intake, one, other)).json()
    way = f"/v1/case-links/{made['link_id']}/removals"

    twice = await link(intake, other, one)
    itself = await link(intake, one, one)
    another = await link(intake, one, other, kind="same_parties")
    invented = await link(intake, one, other, kind="similar")
    first, again = [await intake.post(way, {}, CENTRE) for _ in range(2)]
    anew = await link(intake, one, other)

    assert [a.status_code for a in (twice, itself, invented)] == [409, 409, 422]
    assert (another.status_code, anew.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.json()["removed_at"] is not None
    types = [e["type"].split(".", 1)[1] for e in await intake.events(one["case_id"])]
    assert types[-4:] == ["case.linked.v1", "case.linked.v1", "case.unlinked.v1", "case.linked.v1"]


async def test_a_repeat_under_its_key_answers_the_same_link(intake: Intake) -> None:
    """Checklist 1.14, 1.2."""
    one, other = await two(intake)
    path, key = f"/v1/cases/{one['case_id']}/links", intake.key()
    body = {"other_case_id": other["case_id"], "kind": "same_relation"}

    first, again = [await intake.post(path, body, CENTRE, **key) for _ in range(2)]

    assert (first.status_code, first.json()) == (201, again.json())
    assert again.headers["Idempotency-Replayed"] == "true"
