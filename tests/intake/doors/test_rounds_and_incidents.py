"""Rounds that must say that nothing was found; one accident with several cases; places."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from intake.places.model import by_names, suggest
from intake.rounds.model import due_on
from services.calendar import day_of
from services.directory import DirectoryCopy
from services.events.routing import ParticipantJoined
from services.ids import new_id
from tests.intake.doors.test_counter import FORM, SCOPES, entered, post
from tests.intake.world import CENTRE, POLICE, Intake, directory, sample

COUNTY = "330681000000"
TOWN = "330681-GO-0004"
FENGQIAO = "330681109000"
database = pytest.mark.postgres
shared = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize(
    ("level", "due"),
    [("village", date(2026, 2, 7)), ("town", date(2026, 2, 15)), ("county", date(2026, 2, 28))],
)
def test_each_level_looks_again_within_its_own_time(level: str, due: date) -> None:
    """checklist 1.28: 7 days, 15 days, one month"""
    assert due_on(level, date(2026, 1, 31)) == due


@database
@shared
async def test_a_round_says_what_it_found_or_that_it_found_nothing(desk: Intake) -> None:
    """checklist 1.28"""
    today = day_of(desk.runtime.clock.now())
    body: dict[str, Any] = {
        "place": FENGQIAO,
        "began_on": (today - timedelta(days=16)).isoformat(),
        "ended_on": (today - timedelta(days=16)).isoformat(),
    }
    finding = {"place": "330681109295", "cause": "boundary"}

    silent = await post(desk, "/v1/rounds", body, TOWN)
    both = await post(
        desk, "/v1/rounds", {**body, "nothing_found": True, "findings": [finding]}, TOWN
    )
    old = await post(desk, "/v1/rounds", {**body, "nothing_found": True}, TOWN)
    due = (await desk.get("/v1/rounds/due", TOWN, *SCOPES)).json()["items"]
    fresh = {**body, "began_on": today.isoformat(), "ended_on": today.isoformat()}
    found = await post(desk, "/v1/rounds", {**fresh, "findings": [finding]}, TOWN)
    after = (await desk.get("/v1/rounds/due", TOWN, *SCOPES)).json()["items"]
    others = (await desk.get("/v1/rounds", CENTRE, *SCOPES)).json()["items"]

    assert silent.json()["errors"][0]["code"] == "nothing_found_or_findings"
    assert both.status_code == 422
    assert old.json()["nothing_found"] is True
    assert [d["overdue"] for d in due] == [True]
    assert found.json()["findings"][0]["cause"] == "boundary"
    assert [d["overdue"] for d in after] == [False]
    assert others == []


@database
@shared
async def test_a_finding_without_a_willing_party_becomes_a_case_of_place_and_cause(
    desk: Intake,
) -> None:
    """checklist 1.28"""
    today = day_of(desk.runtime.clock.now()).isoformat()
    round_ = await post(
        desk,
        "/v1/rounds",
        {
            "place": FENGQIAO,
            "began_on": today,
            "ended_on": today,
            "findings": [{"place": "330681109295", "cause": "drainage"}],
        },
        TOWN,
    )
    finding_id = round_.json()["findings"][0]["finding_id"]
    form = {"proactive": True, "no_party_yet": "finding", "finding_id": finding_id}

    done = await entered(desk, TOWN, channel="grid", who=None, whom=None, text="排水积水", **form)
    foreign = await post(
        desk,
        "/v1/counter-entries",
        {**FORM, "who": None, "whom": None, "channel": "grid", **form},
        CENTRE,
    )

    assert done["submitted"]["receipts"] == []
    assert done["submitted"]["request_made_at"] is None
    listed = (await desk.get("/v1/rounds", TOWN, *SCOPES)).json()["items"]
    assert listed[0]["findings"][0]["case_id"] == done["submitted"]["case_id"]
    assert foreign.status_code == 404


def _injured(number: int) -> dict[str, Any]:
    document = sample("traffic")
    document["source"] |= {"organisation": POLICE, "reference": f"事故-1-{number}"}
    return document


@database
@shared
async def test_one_accident_makes_one_incident_several_cases_and_evidence_once(
    desk: Intake,
) -> None:
    """checklist 1.14: files closed to each other"""
    evidence = [
        {"name": "现场图.pdf", "media_type": "application/pdf", "sha256": "a" * 64, "size": 10}
    ]
    broken = {**_injured(3), "lane": "nowhere"}
    body = {
        "accident_number": "（2026）事故1号",
        "evidence": evidence,
        "referrals": [_injured(1), _injured(2), broken],
    }

    first = await post(desk, "/v1/incidents", body, POLICE)
    again = await post(
        desk,
        "/v1/incidents",
        {**body, "accident_number": "(2026) 事故1号", "referrals": [_injured(4)]},
        POLICE,
    )

    done = again.json()
    assert first.status_code == 201, first.text
    assert [bool(r["submitted"]) for r in first.json()["results"]] == [True, True, False]
    assert first.json()["results"][2]["problem"]["code"] == "invalid"
    assert done["incident_id"] == first.json()["incident_id"]
    assert len(done["cases"]) == 3
    assert len(done["evidence"]) == 1
    path = f"/v1/incidents/{done['incident_id']}"
    assert (await desk.get(path, CENTRE, *SCOPES)).status_code == 404
    mine, *others = [case["case_id"] for case in done["cases"]]
    joined = ParticipantJoined(
        case_id=UUID(mine),
        participation_id=new_id(),
        organisation=CENTRE,
        role="handler",
        joined_at=desk.runtime.clock.now(),
    )
    await desk.hear(joined, 1)
    shown = await desk.get(f"/v1/cases/{mine}/shared-evidence", CENTRE, *SCOPES)
    file = await desk.get(f"/v1/cases/{mine}", CENTRE, *SCOPES)
    assert [paper["sha256"] for paper in shown.json()["evidence"]] == ["a" * 64]
    assert not [id_ for id_ in others if id_ in shown.text or id_ in file.text]
    closed = [
        (await desk.get(f"/v1/cases/{id_}/shared-evidence", CENTRE, *SCOPES)).status_code
        for id_ in others
    ]
    assert closed == [404, 404]


@pytest.mark.parametrize(
    ("address", "on", "place"),
    [
        ("浙江省绍兴市诸暨市枫桥镇栎桥村12号", date(2026, 11, 24), "330681109295"),
        ("枫桥镇栎桥村12号", date(2026, 11, 24), "330681109295"),
        ("诸暨市", date(2026, 11, 24), COUNTY),
        ("没有这个地方", date(2026, 11, 24), COUNTY),
        ("浙江省杭州市下城区某路", date(2021, 4, 8), "330103000000"),
    ],
)
def test_an_address_is_read_by_the_division_tree_of_the_day(
    address: str, on: date, place: str
) -> None:
    """checklist 1.25"""
    places = directory()

    assert suggest(places, by_names(places), address, county=COUNTY, on=on).place == place


def test_an_abolished_place_is_resolved_to_its_successor() -> None:
    """checklist 1.25"""
    places = DirectoryCopy()
    for key, value in directory().entries.items():
        places.put(key, 1, value)
    abolished = places.place("330103000000") or {}
    places.put("place:330103000000", 2, {**abolished, "successor": "330105000000"})

    found = suggest(
        places,
        by_names(places),
        "浙江省杭州市下城区某路",
        county=COUNTY,
        on=date(2026, 11, 24),
    )

    assert [c.instead_of for c in found.candidates] == ["330103000000"]
    assert found.place == "330105000000"
