"""Counting legal time: the golden dates of the procedural rules, and what always holds."""

import itertools
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.calendar import (
    SHANGHAI,
    CalendarYear,
    add,
    day_of,
    extend,
    is_workday,
    merge,
    shipped,
    start_of,
)

CALENDARS = shipped()


def at(day: str, hour: int = 10, minute: int = 0) -> datetime:
    """An instant of a Beijing day."""
    return datetime.combine(date.fromisoformat(day), time(hour, minute), SHANGHAI)


@pytest.mark.parametrize(
    ("start", "n", "unit", "due_on"),
    [
        ("2026-09-28", 5, "workday", "2026-10-10"),  # petition objection over National Day
        ("2026-10-12", -3, "workday", "2026-10-08"),  # traffic session notice
        ("2026-02-13", 7, "workday", "2026-03-02"),  # second police mediation, Spring Festival
        ("2026-09-01", 30, "workday", "2026-10-19"),  # medical mediation
        ("2026-01-31", 1, "month", "2026-02-28"),  # a month that ends short; a make-up Saturday
        ("2026-01-30", 1, "month", "2026-02-28"),
        ("2026-03-31", 1, "month", "2026-04-30"),
        ("2024-02-29", 1, "year", "2025-02-28"),
        ("2026-11-09", 30, "day", "2026-12-09"),
        ("2026-09-01", 30, "day", "2026-10-08"),  # 1 October is a rest day: rolls past the week
        ("2026-11-09", 3, "workday", "2026-11-12"),
        ("2026-11-20", 3, "workday", "2026-11-25"),
        ("2026-02-09", 5, "workday", "2026-02-14"),  # 14 February is a make-up working day
        ("2026-11-30", -10, "day", "2026-11-20"),
        ("2026-11-30", -3, "day", "2026-11-27"),
    ],
)
def test_golden_dates(start: str, n: int, unit: str, due_on: str) -> None:
    due = add(at(start), n, unit, CALENDARS)

    assert due.due_on == date.fromisoformat(due_on)
    assert due.due_at == start_of(due.due_on + timedelta(days=1))


def test_an_appraisal_is_not_counted_in_the_medical_term() -> None:
    due = add(
        at("2026-09-01"),
        30,
        "workday",
        CALENDARS,
        excluded=[(at("2026-09-10", 0), at("2026-10-20", 0))],
    )

    assert due.due_on == date(2026, 11, 20)


def test_overlapping_pauses_count_once() -> None:
    once = add(
        at("2026-11-02"), 30, "day", CALENDARS, excluded=[(at("2026-11-05"), at("2026-11-15"))]
    )
    twice = add(
        at("2026-11-02"),
        30,
        "day",
        CALENDARS,
        excluded=[(at("2026-11-05"), at("2026-11-12")), (at("2026-11-08"), at("2026-11-15"))],
    )

    assert once == twice


def test_a_month_moves_on_by_the_days_paused_inside_it() -> None:
    due = add(
        at("2026-11-02"), 1, "month", CALENDARS, excluded=[(at("2026-11-10"), at("2026-11-13"))]
    )

    assert due.last_on == date(2026, 12, 5)  # a Saturday
    assert due.due_on == date(2026, 12, 7)


def test_hours_start_at_their_own_hour_and_never_roll() -> None:
    due = add(at("2026-10-01", 10, 30), 72, "hour", CALENDARS)

    assert due.due_at == at("2026-10-04", 10, 30)
    assert due.due_at.tzinfo is UTC


def test_hours_that_end_at_midnight_belong_to_the_day_before() -> None:
    assert add(at("2026-11-09", 0), 24, "hour", CALENDARS).due_on == date(2026, 11, 9)


def test_custody_does_not_roll() -> None:
    due = add(at("2026-09-21"), 10, "day", CALENDARS, no_roll=True)

    assert due.due_on == date(2026, 10, 1)


def test_the_last_day_can_end_with_business() -> None:
    due = add(at("2026-11-09"), 1, "workday", CALENDARS, business_close=time(17, 30))

    assert due.due_at == at("2026-11-10", 17, 30)


def test_an_extension_counts_from_the_day_before_the_roll() -> None:
    due = add(at("2026-09-01"), 30, "day", CALENDARS)

    longer = extend(due, 30, "day", CALENDARS)

    assert due.last_on == date(2026, 10, 1)
    assert longer.due_on == date(2026, 11, 2)  # 31 October is a Saturday


def test_the_first_day_is_beijings_and_is_not_counted() -> None:
    before_midnight = datetime(2026, 11, 9, 15, 59, tzinfo=UTC)

    assert add(before_midnight, 1, "day", CALENDARS).due_on == date(2026, 11, 10)
    assert add(before_midnight + timedelta(minutes=1), 1, "day", CALENDARS).due_on == date(
        2026, 11, 11
    )


@pytest.mark.parametrize(("start", "projected"), [("2026-12-24", False), ("2026-12-28", True)])
def test_a_deadline_that_needs_a_projected_year_says_so(start: str, projected: bool) -> None:
    assert add(at(start), 5, "workday", CALENDARS).projected is projected


def test_a_projected_deadline_changes_when_the_notice_is_loaded() -> None:
    official = CalendarYear(2027, "official", frozenset({date(2027, 1, 4)}), frozenset())

    before = add(at("2026-12-28"), 5, "workday", CALENDARS)
    after = add(at("2026-12-28"), 5, "workday", {**CALENDARS, 2027: official})

    assert (before.projected, after.projected) == (True, False)
    assert after.due_on == date(2027, 1, 5)


def test_2026_has_its_six_make_up_days_and_33_days_off() -> None:
    year = CALENDARS[2026]

    assert sorted(day.isoformat() for day in year.workdays) == [
        "2026-01-04",
        "2026-02-14",
        "2026-02-28",
        "2026-05-09",
        "2026-09-20",
        "2026-10-10",
    ]
    assert len(year.holidays) == 33
    assert (year.status, CALENDARS[2027].status) == ("official", "projected")


def test_an_unknown_unit_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown unit"):
        add(at("2026-11-09"), 1, "fortnight", CALENDARS)


# Hypothesis wants the bounds naive and adds the zone itself.
FIRST, LAST = datetime(2026, 1, 1), datetime(2026, 12, 1)  # noqa: DTZ001
INSTANTS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
UNITS = st.sampled_from(["hour", "day", "workday", "month", "year"])


@given(INSTANTS, st.integers(1, 90), UNITS)
def test_a_period_ends_after_it_begins_and_a_longer_one_not_earlier(
    start: datetime, n: int, unit: str
) -> None:
    due, longer = (add(start, count, unit, CALENDARS) for count in (n, n + 1))

    assert start < due.due_at <= longer.due_at


@given(INSTANTS, st.integers(1, 90), st.sampled_from(["day", "workday", "month"]))
def test_a_period_ends_on_a_working_day_at_midnight(start: datetime, n: int, unit: str) -> None:
    due = add(start, n, unit, CALENDARS)

    assert is_workday(due.due_on, CALENDARS)
    assert due.due_at.astimezone(SHANGHAI).time() == time(0)
    assert due.last_on <= due.due_on


@given(INSTANTS, st.integers(1, 60), UNITS, st.integers(0, 40), st.integers(0, 40))
def test_a_pause_never_shortens_a_period(
    start: datetime, n: int, unit: str, begin: int, length: int
) -> None:
    pause = (start + timedelta(days=begin), start + timedelta(days=begin + length))

    paused = add(start, n, unit, CALENDARS, excluded=[pause])

    assert paused.due_at >= add(start, n, unit, CALENDARS).due_at


@given(INSTANTS, st.integers(1, 40))
def test_working_days_before_and_after_are_each_others_inverse(start: datetime, n: int) -> None:
    start = start_of(day_of(start))
    if not is_workday(day_of(start), CALENDARS):
        return
    there = add(start, n, "workday", CALENDARS)

    assert add(start_of(there.due_on), -n, "workday", CALENDARS).due_on == day_of(start)


@given(st.lists(st.tuples(INSTANTS, INSTANTS), max_size=6))
def test_merged_pauses_are_apart_and_in_order(pairs: list[tuple[datetime, datetime]]) -> None:
    merged = merge(pairs)

    assert all(start < end for start, end in merged)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(merged))
