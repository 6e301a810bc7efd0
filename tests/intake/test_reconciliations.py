"""A sender's list held against ours: every kind of difference, both ways, nobody else's."""

import hashlib
import json
from typing import Any

import pytest

from services.clock import read
from tests.intake.world import COURT, POLICE, SENDER, Intake, bearer, referral, token

pytestmark = pytest.mark.postgres


async def reconcile(
    intake: Intake, body: str, kind: str = "text/csv", organisation: str = COURT, **params: Any
) -> Any:
    """POST a list."""
    head = {**bearer(token(organisation, *SENDER)), "Content-Type": kind}
    return await intake.http.post(
        "/v1/reconciliations", content=body.encode(), headers=head, params=params
    )


async def differences(intake: Intake, answer: Any) -> list[dict[str, Any]]:
    path = f"/v1/reconciliations/{answer.json()['reconciliation_id']}/differences?limit=200"
    found: list[dict[str, Any]] = (await intake.get(path)).json()["items"]
    return found


async def test_every_kind_of_difference_is_told_with_what_mends_it(intake: Intake) -> None:
    for number in range(1, 7):
        await intake.registered(f"R{number}")
    good = hashlib.sha256(
        json.dumps(
            (await _document(intake, "R5")),
            ensure_ascii=False,
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
    ).hexdigest()
    place = referral()["place"]
    other_place = "330681109296" if place != "330681109296" else "330681109293"
    lines = [
        "reference,state,place,content_hash",
        f"R1,open,{place},",
        "Ｒ２,closed,,",
        f"R3,,{other_place},",
        f"R4,,,{'0' * 64}",
        f"R5,,,{good}",
        "R7,,,",
        "R1,,,",
        "R8,perhaps,,",
    ]

    answer = await reconcile(intake, "\n".join(lines))

    assert answer.status_code == 201, answer.text
    told = await differences(intake, answer)
    assert {(each["kind"], each["reference"]) for each in told} == {
        ("unknown_here", "R7"),
        ("unknown_there", "R6"),
        ("other_state", "Ｒ２"),
        ("other_place", "R3"),
        ("other_content", "R4"),
        ("listed_twice", "R1"),
        ("line_broken", None),
    }
    assert sum(answer.json()["counts"].values()) == len(told) == 7
    assert all(each["suggestion"]["zh"] and each["suggestion"]["en"] for each in told)
    state = next(each for each in told if each["kind"] == "other_state")
    assert (state["theirs"], state["ours"], state["line"]) == ("closed", "open", 3)
    assert state["case_number"].startswith("LD")


async def _document(intake: Intake, reference: str) -> Any:
    (item,) = (await intake.get(f"/v1/referrals?reference={reference}")).json()["items"]
    answer = await intake.get(f"/v1/referrals/{item['referral_id']}?purpose=handling")
    return answer.json()["document"]


async def test_lists_that_agree_differ_in_nothing_and_the_window_bounds_what_must_be_listed(
    intake: Intake,
) -> None:
    first = await intake.registered("R1")
    body = '{"编号": "R1", "状态": "在办"}\n'

    same = await reconcile(intake, body, "application/x-ndjson")
    at = first["received_at"]
    before = await reconcile(intake, "reference\n", received_until=at)
    within = await reconcile(intake, "reference\n", received_from=at)

    assert same.json()["counts"] == {}
    assert before.json()["counts"] == {}
    assert within.json()["counts"] == {"unknown_there": 1}
    assert read(within.json()["received_from"]) == read(at)


async def test_a_reconciliation_sees_and_shows_the_senders_own_alone(intake: Intake) -> None:
    await intake.registered("R1")

    theirs = await reconcile(intake, "reference\nR1\n", organisation=POLICE)

    assert theirs.json()["counts"] == {"unknown_here": 1}
    path = f"/v1/reconciliations/{theirs.json()['reconciliation_id']}"
    assert (await intake.get(path)).status_code == 404
    assert (await intake.get(f"{path}/differences")).status_code == 404
    assert (await intake.get("/v1/reconciliations")).json()["items"] == []


async def test_a_list_that_cannot_be_read_is_refused(intake: Intake) -> None:
    headless = await reconcile(intake, "a,b\n1,2\n")
    table = await reconcile(intake, "<a/>", "application/xml")
    bytes_ = await intake.http.post(
        "/v1/reconciliations",
        content="编号\n".encode("gb18030"),
        headers={**bearer(token(COURT, *SENDER)), "Content-Type": "text/csv"},
    )

    assert [a.status_code for a in (headless, table, bytes_)] == [422, 415, 422]
    assert headless.json()["errors"][0]["code"] == "head_differs"
    assert bytes_.json()["errors"][0]["code"] == "file_not_decodable"
