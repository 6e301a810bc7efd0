"""Two files become one by a person's decision, and two again, with nothing lost."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.events.mediation import AgreementEffective, AssignmentEnded
from services.ids import new_id
from services.messaging.jobs import run_due_jobs
from tests.intake.duplicates.world import decide, joined, takes_part, told_again
from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer

pytestmark = pytest.mark.postgres


async def types(intake: Intake, case: Any) -> list[str]:
    """What was told of a case, in order."""
    return [e["type"].removeprefix("liandiao.") for e in await intake.events(case["case_id"])]


async def test_a_join_is_told_on_both_and_moves_nothing(intake: Intake) -> None:
    """Checklist 1.13: every agency is told under its own number."""
    one, other, join_id = await joined(intake)

    assert (await types(intake, one))[2:] == ["case.joined.v1"]
    assert (await types(intake, other))[2:] == ["case.closed.v1", "case.joined.v1"]
    here, there = (
        (await intake.events(one["case_id"]))[-1],
        (await intake.events(other["case_id"]))[-1],
    )
    assert (here["side"], here["other_case_number"]) == ("surviving", other["case_number"])
    assert (there["side"], there["other_case_number"]) == ("joined", one["case_number"])
    assert here["join_id"] == there["join_id"] == join_id
    for case, organisation, state in ((one, COURT, "open"), (other, POLICE, "closed")):
        file = (await intake.get(f"/v1/cases/{case['case_id']}", organisation)).json()
        assert (file["case_number"], file["state"]) == (case["case_number"], state)
        assert [j["join_id"] for j in file["joins"]] == [join_id]


async def test_both_numbers_and_receipts_go_on_resolving(intake: Intake) -> None:
    """Checklist 1.13, 1.27: both receipts; old numbers of joined cases resolve for ever."""
    one, other, _ = await joined(intake)

    for case, goes_on_in in ((one, None), (other, one["case_number"])):
        receipt = case["receipts"][0]
        answer = await intake.http.post(
            f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
        )
        seen = await intake.http.get(
            "/v1/party/case", headers=bearer(answer.json()["access_token"])
        )
        assert seen.status_code == 200, seen.text
        assert seen.json()["case_number"] == case["case_number"]
        assert seen.json()["joined_into"] == goes_on_in


async def test_consents_do_not_leak_from_one_file_into_the_other(intake: Intake) -> None:
    """Checklist 1.13."""
    before = {}
    one = await intake.registered("R1")
    again = told_again()
    for party in again["parties"]:
        party["consent"] = {"state": "refused", "on": "2026-11-10"}
    other = (await intake.post("/v1/referrals", again, POLICE)).json()
    for case in (one, other):
        await takes_part(intake, case)
        file = await intake.get(f"/v1/cases/{case['case_id']}", CENTRE)
        before[case["case_id"]] = file.json()["parties"]

    body = {"other_case_id": other["case_id"], "ground": "same_dispute"}
    done = await decide(intake, f"/v1/cases/{one['case_id']}/joins", body)

    assert done.status_code == 201
    for case in (one, other):
        file = await intake.get(f"/v1/cases/{case['case_id']}", CENTRE)
        assert file.json()["parties"] == before[case["case_id"]]


async def test_an_undone_join_restores_both_and_begins_the_next_round(intake: Intake) -> None:
    """Checklist 1.13: un-join restores both histories."""
    one, other, join_id = await joined(intake)
    before = {c["case_id"]: await intake.events(c["case_id"]) for c in (one, other)}

    done = await decide(intake, f"/v1/joins/{join_id}/undoings", {"reason": "other_people"}, POLICE)
    twice = await decide(
        intake, f"/v1/joins/{join_id}/undoings", {"reason": "other_people"}, POLICE
    )

    assert (done.status_code, twice.status_code) == (201, 409)
    assert (await types(intake, one))[3:] == ["case.separated.v1"]
    assert (await types(intake, other))[4:] == ["case.separated.v1", "case.reopened.v1"]
    for case in (one, other):
        events = await intake.events(case["case_id"])
        assert events[: len(before[case["case_id"]])] == before[case["case_id"]]
    file = (await intake.get(f"/v1/cases/{other['case_id']}", POLICE)).json()
    assert (file["state"], file["episode"], file["joins"]) == ("open", 2, [])
    assert file["request_made_at"] is not None


async def test_a_joined_case_is_not_simply_reopened(intake: Intake) -> None:
    _, other, _ = await joined(intake)
    file = (await intake.get(f"/v1/cases/{other['case_id']}", POLICE)).json()

    answer = await intake.post(
        f"/v1/cases/{other['case_id']}/reopenings",
        {"ground": "new_facts"},
        POLICE,
        **{"If-Match": f'"{file["version"]}"', **intake.key()},
    )

    assert answer.status_code == 409


async def test_the_other_agencies_are_told_how_it_ended_under_their_own_number(
    intake: Intake,
) -> None:
    one, other, join_id = await joined(intake)
    ended = AssignmentEnded(
        case_id=UUID(one["case_id"]),
        assignment_id=new_id(),
        organisation=CENTRE,
        ordinal=1,
        end="completed",
        outcome="agreed_written",
        ended_at=datetime.now(UTC),
    )

    await intake.hear(ended, 9)
    assert await run_due_jobs(intake.runtime) == 1

    (told,) = [e for e in await intake.events(other["case_id"]) if "surviving-closed" in e["type"]]
    assert told["outcome"] == "agreed_written"
    assert (told["join_id"], told["surviving_case_number"]) == (join_id, one["case_number"])
    assert "liandiao.case.surviving-closed.v1" not in [
        e["type"] for e in await intake.events(one["case_id"])
    ]


@pytest.mark.parametrize(
    ("who", "expected"), [("a machine", 422), ("a stranger to one", 404), ("itself", 409)]
)
async def test_who_may_not_join(intake: Intake, who: str, expected: int) -> None:
    """Checklist 1.13: never joined by machine; nobody joins a file it may not see."""
    one = await intake.registered("R1")
    other = (await intake.post("/v1/referrals", told_again(), POLICE)).json()
    await takes_part(intake, one)
    if who != "a stranger to one":
        await takes_part(intake, other)
    before = await intake.counts()

    answer = await decide(
        intake,
        f"/v1/cases/{one['case_id']}/joins",
        {
            "other_case_id": (one if who == "itself" else other)["case_id"],
            "ground": "same_dispute",
        },
        staff=None if who == "a machine" else "staff-7",
    )

    assert answer.status_code == expected
    assert await intake.counts() == before


@pytest.mark.parametrize("what", ["joined before", "others are joined to it", "agreed"])
async def test_what_may_not_be_joined(intake: Intake, what: str) -> None:
    one, other, _ = await joined(intake)
    third = await intake.registered("R3")
    await takes_part(intake, third)
    surviving, resting = third, other
    if what == "others are joined to it":
        resting = one
    elif what == "agreed":
        surviving, resting = one, third
        await intake.hear(
            AgreementEffective(
                case_id=UUID(third["case_id"]),
                agreement_id=new_id(),
                mediation_id=new_id(),
                assignment_id=new_id(),
                organisation=CENTRE,
                form="written",
                effect_rule="signatures",
                sha256="0" * 64,
                confirmable=True,
                effective_at=datetime.now(UTC),
            ),
            9,
        )

    answer = await decide(
        intake,
        f"/v1/cases/{surviving['case_id']}/joins",
        {"other_case_id": resting["case_id"], "ground": "same_dispute"},
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_the_same_request_again_joins_once(intake: Intake) -> None:
    one = await intake.registered("R1")
    other = await intake.registered("R2")
    head = {"Acted-By": "staff-7", **intake.key()}
    body = {"other_case_id": other["case_id"], "ground": "repeat"}

    first = await intake.post(f"/v1/cases/{one['case_id']}/joins", body, COURT, **head)
    again = await intake.post(f"/v1/cases/{one['case_id']}/joins", body, COURT, **head)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (await types(intake, other)).count("case.joined.v1") == 1
