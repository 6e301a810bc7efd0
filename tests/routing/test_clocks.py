"""What a clock says, without a database: due, warnings, pauses, extensions."""

from datetime import date, datetime, time, timedelta
from uuid import UUID

import pytest

from routing.clocks import (
    Extension,
    Measure,
    due_of,
    extension_refused,
    legal_start,
    may_pause,
    warnings_of,
)
from services.calendar import SHANGHAI, day_of, shipped

CALENDARS = shipped()
ID = UUID(int=3600)


def at(day: str, hour: int = 10) -> datetime:
    """An instant of a Beijing day."""
    return datetime.combine(date.fromisoformat(day), time(hour), SHANGHAI)


def test_a_clock_is_due_by_its_length_with_pauses_and_extensions() -> None:
    plain = Measure(start_at=at("2026-09-01"), n=30, unit="workday")
    pause = (at("2026-09-10", 0), at("2026-10-20", 0))

    assert due_of(plain, CALENDARS).due_on == date(2026, 10, 19)
    assert due_of(plain, CALENDARS, [pause]).due_on == date(2026, 11, 20)
    longer = Measure(plain.start_at, 30, "workday", extensions=(Extension(1, "workday"),))
    assert due_of(longer, CALENDARS).due_on == date(2026, 10, 20)


def test_a_date_that_was_agreed_stands_as_it_is() -> None:
    due = due_of(Measure(at("2026-11-02"), fixed_due_at=at("2026-11-29", 0)), CALENDARS)

    assert due.due_at == at("2026-11-29", 0)
    assert due.due_on == date(2026, 11, 28)  # a Saturday: nobody moved it


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("term", ["half", "four-fifths"]),
        ("acceptance", ["half", "four-fifths"]),
        ("confirmation", ["day-20", "day-27", "day-29"]),
        ("obligation", ["due-in-3-days", "due-today"]),
    ],
)
def test_each_kind_has_its_warnings_in_the_morning_and_before_the_end(
    kind: str, steps: list[str]
) -> None:
    start = at("2026-11-02")
    due = due_of(Measure(start, 30, "day"), CALENDARS)

    found = warnings_of(kind, ID, start, due, "day")

    assert [step for step, _ in found] == steps
    assert all(start < moment < due.due_at for _, moment in found)
    assert {moment.astimezone(SHANGHAI).time() for _, moment in found} == {time(9, 30)}


def test_confirmation_warnings_count_from_the_day_of_effect() -> None:
    start = at("2026-11-02")
    due = due_of(Measure(start, 30, "day"), CALENDARS)

    found = dict(warnings_of("confirmation", ID, start, due, "day"))

    assert day_of(found["day-20"]) == date(2026, 11, 22)
    assert day_of(found["day-29"]) == date(2026, 12, 1)


def test_hours_warn_at_their_own_instant() -> None:
    start = at("2026-11-02", 1)
    due = due_of(Measure(start, 10, "hour"), CALENDARS)

    assert warnings_of("acceptance", ID, start, due, "hour") == [
        ("half", start + timedelta(hours=5)),
        ("four-fifths", start + timedelta(hours=8)),
    ]


def test_only_a_listed_ground_pauses() -> None:
    assert may_pause(["appraisal"], "appraisal")
    assert not may_pause(["appraisal"], "mediation")
    assert not may_pause([], "appraisal")


@pytest.mark.parametrize(
    ("rule", "extend_by", "extended", "n", "unit", "agreed_by", "refusal"),
    [
        ("DL-CT-05", "both_parties", 0, 90, "day", "both_parties", None),
        ("DL-CT-05", "both_parties", 9, 90, "day", "both_parties", None),
        ("DL-CT-05", "both_parties", 0, 1, "day", "leader", "not-agreed-by-whom-the-rule-says"),
        ("DL-JC-01", "", 0, 1, "day", "both_parties", "not-extendable"),
        ("DL-PT-04", "leader", 0, 30, "day", "leader", None),
        ("DL-PT-04", "leader", 0, 31, "day", "leader", "longer-than-allowed"),
        ("DL-PT-04", "leader", 0, 1, "month", "leader", "longer-than-allowed"),
        ("DL-PT-04", "leader", 1, 30, "day", "leader", "extended-as-often-as-allowed"),
        ("DL-PO-02", "upper_police", 1, 30, "day", "upper_police", None),
        ("DL-PO-02", "upper_police", 2, 30, "day", "upper_police", "extended-as-often-as-allowed"),
        (None, "both_parties", 0, 30, "day", "both_parties", None),
        (None, "", 0, 30, "day", "both_parties", "not-extendable"),
    ],
)
def test_an_extension_is_as_the_registry_says(
    rule: str | None,
    extend_by: str,
    extended: int,
    n: int,
    unit: str,
    agreed_by: str,
    refusal: str | None,
) -> None:
    assert extension_refused(rule, extend_by, extended, n, unit, agreed_by) == refusal


def test_a_labour_term_counts_from_the_application_the_body_received() -> None:
    turn = {"offered_at": at("2026-11-02")}

    assert legal_start(turn, "received", at("2026-11-04"), {}) == at("2026-11-02")
    assert legal_start(turn, "accepted", at("2026-11-04"), {}) == at("2026-11-04")


@pytest.mark.parametrize(
    ("context", "start"),
    [
        ({}, "2026-11-04"),
        ({"treatment_ended_on": "2026-10-20", "disability_rated_on": "2026-10-28"}, "2026-11-04"),
        ({"treatment_ended_on": "2026-11-09"}, "2026-11-09"),
        ({"treatment_ended_on": "2026-11-09", "disability_rated_on": "2026-11-20"}, "2026-11-20"),
    ],
)
def test_a_traffic_term_counts_from_the_end_of_harm_when_that_comes_after_acceptance(
    context: dict[str, str], start: str
) -> None:
    turn = {"offered_at": at("2026-11-02")}

    found = legal_start(turn, "start_by_harm", at("2026-11-04"), context)

    assert day_of(found).isoformat() == start
