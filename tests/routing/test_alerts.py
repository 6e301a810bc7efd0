"""Somebody may come to harm: the police of the place are asked at once."""

from datetime import UTC, datetime, timedelta

import pytest

from routing.handlers.alerting import police_of
from services.events.intake import AlertRaised, AlertWithdrawn, CaseErased
from services.ids import new_id
from tests.routing.world import COURT, Case, World

STATION, DISTRICT, TRAFFIC = "330681-PS-0002", "330681-PS-0001", "330681-PS-0003"
NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
CHAIN = ("330681109000", "330681000000")


def a_police(code: str, place: str, **more: object) -> dict[str, object]:
    return {"code": code, "kind": "police", "place": place, "lanes": ["police"], **more}


def test_the_nearest_station_is_asked_and_never_traffic_police_or_who_raised_it() -> None:
    station, district = a_police(STATION, CHAIN[0]), a_police(DISTRICT, CHAIN[1])
    traffic = a_police(TRAFFIC, CHAIN[0], lanes=["traffic"])
    everybody = [traffic, district, station, {"code": COURT, "kind": "court", "place": CHAIN[0]}]

    def asked(*organisations: dict[str, object], but: str = COURT) -> str | None:
        return police_of(organisations, CHAIN, but=but, today="2026-11-24")

    assert asked(*everybody) == STATION
    assert asked(*everybody, but=STATION) == DISTRICT
    assert asked(traffic) is None
    assert asked({**station, "successor": DISTRICT}) is None
    assert asked({**station, "valid_to": "2026-11-23"}) is None


def an_alert(case: Case) -> AlertRaised:
    return AlertRaised(
        case_id=case.case_id,
        alert_id=new_id(),
        raised_by=COURT,
        legal_basis="人民调解法 25",
        raised_at=NOW,
    )


@pytest.mark.postgres
async def test_the_police_are_linked_without_anybody_having_accepted(world: World) -> None:
    """checklist 1.12 (N-06, R-13): at once; it outlives the case; one person cannot call it off."""
    case = await world.registered()
    alert = an_alert(case)

    await world.hear(case, "intake", alert, again=2)

    told = [t for t in await world.told(case) if t["name"].startswith("linkage")]
    assert [(t["name"], t["kind"], t["asked"]) for t in told] == [
        ("linkage.requested", "alert", DISTRICT)
    ]
    assert told[0]["alert_id"] == str(alert.alert_id)
    linkage = f"/v1/linkages/{told[0]['linkage_id']}"
    alone = await world.refused("POST", f"{linkage}/cancellations", {}, version=1)
    assert alone == (409, "conflict")
    await world.close(case)
    assert (await world.ok("GET", linkage, by=DISTRICT))["state"] == "requested"

    answer = {"result": "done"}
    done = await world.ok("POST", f"{linkage}/answers", answer, by=DISTRICT, version=1)

    assert done["state"] == "answered"


@pytest.mark.postgres
async def test_an_organ_that_the_alert_names_is_asked_beside_the_police(world: World) -> None:
    """Checklist 1.12 (N-07, N-08): an alert of its own each, answered apart."""
    case = await world.registered()
    police = an_alert(case)
    organ = an_alert(case).model_copy(update={"asks": "330681-DP-0005"})

    await world.hear(case, "intake", police)
    await world.hear(case, "intake", organ)

    told = [t for t in await world.told(case) if t["name"] == "linkage.requested"]
    assert [(t["asked"], t["alert_id"]) for t in told] == [
        (DISTRICT, str(police.alert_id)),
        ("330681-DP-0005", str(organ.alert_id)),
    ]


@pytest.mark.postgres
async def test_the_organ_that_raised_an_alert_is_not_asked_by_itself(world: World) -> None:
    case = await world.registered()

    await world.hear(case, "intake", an_alert(case).model_copy(update={"asks": COURT}))

    assert [t for t in await world.told(case) if t["name"].startswith("linkage")] == []


@pytest.mark.postgres
async def test_a_withdrawn_alert_takes_the_request_back(world: World) -> None:
    case = await world.registered()
    alert = an_alert(case)
    await world.hear(case, "intake", alert)

    withdrawn = AlertWithdrawn(
        case_id=case.case_id,
        alert_id=alert.alert_id,
        ground="mistaken_answer",
        withdrawn_at=alert.raised_at + timedelta(minutes=1),
    )
    await world.hear(case, "intake", withdrawn)

    assert (await world.last(case, "linkage.cancelled"))["reason"] == "alert-withdrawn"


@pytest.mark.postgres
async def test_an_erasure_is_obeyed_and_told(world: World) -> None:
    """checklist 1.30: routing holds no name; it says so."""
    case = await world.registered()
    party = new_id()
    erased = CaseErased(
        case_id=case.case_id,
        erasure_id=new_id(),
        parties=(party,),
        whole=True,
        ground="term_ended",
        erased_at=NOW,
    )

    await world.hear(case, "intake", erased)

    done = await world.last(case, "erasure.done")
    assert (done["erasure_id"], done["removed"]) == (str(erased.erasure_id), 0)
