"""Coarse facts of a case for everybody: by consent of all, never of few cases, else not there."""

from typing import Any
from uuid import UUID

import pytest

from intake.handlers import close_case
from intake.publishing.model import born_on, county, data, is_minor, least_cases
from tests.intake.parties.test_representations import party_head
from tests.intake.rights.test_erasing import decided, proposed
from tests.intake.rights.test_rights import act
from tests.intake.safety.test_screening import screened
from tests.intake.world import COURT, POLICE, Intake, bearer, referral, token

WAY = "/v1/party/publication-consents"


def test_the_number_is_data_with_its_reason_and_a_minor_is_one_until_eighteen() -> None:
    """Checklist 1.18: the small-cell rule and 未成年人保护法 103 (N-13)."""
    assert least_cases() == data()["least_cases"]["cases"] >= 3
    assert data()["least_cases"]["source"]
    assert (is_minor(17), is_minor(18)) == (True, False)
    assert county("330681001000") == "330681000000"
    number = {"type": "resident_id", "number": "330681198404040038"}
    assert str(born_on(None, number)) == str(born_on({"birth_date": "1984-04-04"}, None))
    assert born_on({}, {"type": "uscc", "number": "1" * 18}) is None


async def over(
    intake: Intake, reference: str, outcome: str = "withdrawn", *, protected: bool = False
) -> dict[str, Any]:
    """A closed case, alike but for its outcome, and for a party that was screened."""
    case = await intake.registered(reference)
    if protected:
        await screened(intake, case["case_id"], threatened_now="yes")
    async with intake.runtime.unit_of_work() as uow:
        await close_case(UUID(case["case_id"]), outcome, uow.now, uow)
    return case


async def agree(intake: Intake, case: dict[str, Any]) -> None:
    """Both parties let the case be shown."""
    for number in (0, 1):
        head = await party_head(intake, case, number)
        answer = await intake.http.post(WAY, headers=head)
        assert answer.status_code == 201, answer.text


async def shown(intake: Intake, case: dict[str, Any]) -> Any:
    return await intake.http.get(f"/v1/public-cases/{case['case_number']}")


async def alike(intake: Intake, many: int) -> dict[str, Any]:
    """So many cases alike; of the first both parties consent."""
    first, *_ = [await over(intake, f"PUB-{n}") for n in range(many)]
    await agree(intake, first)
    return first


@pytest.mark.postgres
async def test_a_case_is_shown_coarsely_when_all_consent_and_enough_are_alike(
    intake: Intake,
) -> None:
    """Checklist 1.18: kind, county, months, outcome; nothing else, and none of too few."""
    first = await alike(intake, least_cases() - 1)
    await over(intake, "PUB-other", "refused")
    few = await shown(intake, first)
    await over(intake, "PUB-last")

    answer = await shown(intake, first)

    assert (few.status_code, answer.status_code) == (404, 200)
    found = answer.json()
    assert set(found) == {
        "number", "dispute_type", "county", "registered_month", "closed_month", "outcome",
        "cases_alike_at_least",
    }  # fmt: skip
    assert (found["county"]["code"], found["outcome"]["code"]) == ("330681000000", "withdrawn")
    assert found["closed_month"] == found["registered_month"]
    assert len(found["closed_month"]) == len("2026-11")


@pytest.mark.postgres
async def test_whatever_is_not_shown_answers_as_a_number_that_does_not_exist(
    intake: Intake,
) -> None:
    """Checklist 1.18: open, one consent missing or taken back, protected, erased."""
    first = await alike(intake, least_cases())
    nothing = await intake.http.get("/v1/public-cases/LD2026-330681-9999999-8")
    assert (await shown(intake, first)).status_code == 200
    one_sided = await over(intake, "PUB-one")
    await intake.http.post(WAY, headers=await party_head(intake, one_sided))
    protected = await over(intake, "PUB-safe", protected=True)
    await agree(intake, protected)
    open_ = await intake.registered("PUB-open")
    await agree(intake, open_)

    hidden = [await shown(intake, case) for case in (one_sided, protected, open_)]
    taken = await intake.http.post(f"{WAY}/withdrawals", headers=await party_head(intake, first))
    hidden.append(await shown(intake, first))

    assert taken.json()["withdrawn_at"] is not None
    for answer in hidden:
        assert answer.status_code == 404
        assert {k: v for k, v in answer.json().items() if k not in ("instance", "trace_id")} == {
            k: v for k, v in nothing.json().items() if k not in ("instance", "trace_id")
        }


@pytest.mark.postgres
async def test_a_desk_records_consent_under_a_key_and_takes_it_back(intake: Intake) -> None:
    """Checklist 1.18: source and handler, for a party; an erasure takes it back too."""
    case = await over(intake, "PUB-desk")
    path = f"/v1/cases/{case['case_id']}/publication-consents"
    key = intake.key()

    first = await act(intake, path, {"party_ref": "p1"}, **key)
    again = await act(intake, path, {"party_ref": "p1"}, **key)
    stranger = await act(intake, path, {"party_ref": "p1"}, POLICE)
    head = bearer(token(COURT, "case:leave"))
    ways = [
        await intake.http.post(f"{path}/withdrawals", json={"party_ref": ref}, headers=head)
        for ref in ("p1", "p1", "p2")
    ]

    assert (first.status_code, stranger.status_code) == (201, 404)
    assert first.json() == again.json()
    assert [w.status_code for w in ways] == [200, 200, 404]
    assert ways[0].json() == ways[1].json()
    await act(intake, path, {"party_ref": "p1"})
    erasure = await proposed(intake, case["case_id"], party_ref="p1", ground="unlawful")
    await decided(intake, erasure)
    assert (
        await intake.runtime.pool.fetchval(
            "SELECT count(*) FROM publication_consent WHERE withdrawn_at IS NULL"
        )
        == 0
    )
    assert (await act(intake, path, {"party_ref": "p1"})).status_code == 410


@pytest.mark.postgres
async def test_nothing_of_a_minors_case_is_published_whoever_consents(intake: Intake) -> None:
    """Checklist 1.18: 未成年人保护法 103 (N-13)."""
    document = referral("PUB-minor")
    document["parties"][0] |= {"id": None, "birth_date": "2015-05-05"}
    case = (await intake.post("/v1/referrals", document)).json()

    answer = await intake.http.post(WAY, headers=await party_head(intake, case))

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["code"] == "minor_not_published"
