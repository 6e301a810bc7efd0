"""Which period of a lane was over when a matter came in late: data, cited, in every lane."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intake.doors import model
from services.events import lanes

NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
LANES = [
    lane["code"] for lane in json.loads((lanes.DATA / "lanes.json").read_text("utf-8"))["lanes"]
]


def over(lane: str, place: str = "330681109000", *, days: int, **context: Any) -> Any:
    """What is over of an entry that was received so many days ago."""
    entry = model.Entry(
        organisation="330681-CE-0001",
        organisation_kind="centre",
        reference="R",
        channel="counter",
        place=place,
        place_text=None,
        text="样",
        received_at=NOW - timedelta(days=days),
        request_made_at=None,
        lane=lane,
        context=context,
    )
    return model.overdue(entry, place, NOW)


@pytest.mark.parametrize("lane", [*LANES, "a_lane_that_a_site_added"])
def test_every_lane_says_what_is_over_after_a_month_and_nothing_after_an_hour(lane: str) -> None:
    """Checklist 1.21: each with a citation, and with how sure it is."""
    assert over(lane, days=0) == []
    found = over(lane, days=29)

    assert found
    assert all(period.citation and period.rule and period.certainty for period in found)


def test_the_data_names_every_lane_and_only_lanes() -> None:
    """Checklist 1.21: a lane that is added to the published language is added here."""
    assert sorted(model.defaults()["entry_limits"]) == sorted(LANES)


@pytest.mark.parametrize(("days", "rules"), [(15, []), (16, ["F-05"])])
def test_a_petition_is_over_on_the_sixteenth_day(days: int, rules: list[str]) -> None:
    """Checklist 1.21: 信访工作条例 22; received on 8 or 9 November 2026."""
    assert [period.rule for period in over("petition", days=days)] == rules


def test_what_counts_from_another_day_counts_from_that_day() -> None:
    """Checklist 1.21: police count from filing, a court's duty from the complaint."""
    filed = over("police", days=0, case_filed_on="2026-10-20")
    complained = over("court_pre", days=0, complaint_on="2026-11-16")

    assert [period.citation for period in filed] == ["治安管理处罚法 118"]
    assert [period.citation for period in complained] == ["民事诉讼法 126"]
    assert over("police", days=0, case_filed_on="no day") == []


def test_a_local_rule_holds_in_its_place_alone() -> None:
    """Checklist 1.21: 深圳 takes five workdays, elsewhere the site's window is told."""
    assert "M-30" in {period.rule for period in over("admin", "440305000000", days=29)}
    assert {period.rule for period in over("admin", days=29)} == {"window"}
