"""Counting legal time: days, working days, months and hours in China, from dated year files.

Pure functions. Rules T-01 to T-06 of the procedural rules (民法典 201-203, 民诉法 85): the first
day is not counted; a month ends on the corresponding day, or the month's last; a last day that is a
rest day moves to the next working day; the last day ends at 24:00, so ``due_at`` is exclusive; a
period in hours starts at its own hour and never rolls; a period in custody never rolls.
"""

import json
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

Unit = Literal["hour", "day", "workday", "month", "year"]
Interval = tuple[datetime, datetime]
SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
DATA: Final = Path(__file__).parent / "data" / "calendars"
_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """Rest days and make-up working days of one year; ``projected`` until its notice is loaded."""

    year: int
    status: str
    holidays: frozenset[date]
    workdays: frozenset[date]
    source: str = ""

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> "CalendarYear":
        """Read the value of ``calendar:<year>`` on the directory, or of a year file."""
        return cls(
            year=int(value["year"]),
            status=value["status"],
            holidays=frozenset(date.fromisoformat(item["day"]) for item in value["holidays"]),
            workdays=frozenset(date.fromisoformat(day) for day in value["workdays"]),
            source=value.get("source", ""),
        )


Calendars = Mapping[int, CalendarYear]


@dataclass(frozen=True, slots=True)
class Due:
    """When a period ends: in time means ``act_at < due_at``.

    ``due_on`` is the last day for people; ``last_on`` the last day before any roll, from which an
    extension counts; ``projected`` says that a day was counted in a year without official notice.
    """

    due_at: datetime
    due_on: date
    projected: bool
    last_on: date


@lru_cache(maxsize=1)
def shipped() -> Calendars:
    """The year files that come with the product."""
    years = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(DATA.glob("*.json")))
    return {value["year"]: CalendarYear.from_value(value) for value in years}


def is_workday(day: date, calendars: Calendars) -> bool:
    """Whether people work on ``day``: the notice says, else Monday to Friday."""
    year = calendars.get(day.year)
    if year is not None and day in year.workdays:
        return True
    if year is not None and day in year.holidays:
        return False
    return day.weekday() < 5


def is_projected(day: date, calendars: Calendars) -> bool:
    """Whether the year of ``day`` has no official notice yet."""
    year = calendars.get(day.year)
    return year is None or year.status != "official"


def day_of(instant: datetime) -> date:
    """The day in Asia/Shanghai in which ``instant`` lies."""
    return instant.astimezone(SHANGHAI).date()


def start_of(day: date) -> datetime:
    """00:00 of ``day`` in Asia/Shanghai, in UTC."""
    return datetime.combine(day, time(), SHANGHAI).astimezone(UTC)


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Half-open intervals in order, overlapping ones joined, so that each is counted once."""
    merged: list[Interval] = []
    for start, end in sorted(pair for pair in intervals if pair[0] < pair[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _days_out(excluded: Sequence[Interval]) -> list[tuple[date, date]]:
    """The excluded days: the day a pause begins is out, the day it ends counts again."""
    return [(day_of(start), day_of(end)) for start, end in excluded]


def _is_out(day: date, out: Sequence[tuple[date, date]]) -> bool:
    return any(start <= day < end for start, end in out)


def _add_months(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _count(
    first: date, n: int, calendars: Calendars, out: Sequence[tuple[date, date]], workdays: bool
) -> tuple[date, bool]:
    """The n-th counted day after (before, when n is negative) ``first``."""
    step = _ONE_DAY if n > 0 else -_ONE_DAY
    day, left, projected = first, abs(n), False
    while left:
        day += step
        projected = projected or (workdays and is_projected(day, calendars))
        if not _is_out(day, out) and (not workdays or is_workday(day, calendars)):
            left -= 1
    return day, projected


def _after_pauses(first: date, last: date, out: Sequence[tuple[date, date]]) -> date:
    """``last`` moved on by every excluded day of the (growing) period."""
    for start, end in out:
        start = max(start, first + _ONE_DAY)
        if start <= last and start < end:
            last += end - start
    return last


def _roll(day: date, calendars: Calendars) -> tuple[date, bool]:
    projected = is_projected(day, calendars)
    while not is_workday(day, calendars):
        day += _ONE_DAY
        projected = projected or is_projected(day, calendars)
    return day, projected


def _add_hours(start: datetime, n: int, excluded: Sequence[Interval]) -> Due:
    due_at = start + timedelta(hours=n)
    for begin, end in excluded:
        begin = max(begin, start)
        if n > 0 and begin < due_at and begin < end:
            due_at += end - begin
    due_at = due_at.astimezone(UTC)
    on = day_of(due_at - timedelta(microseconds=1))
    return Due(due_at=due_at, due_on=on, projected=False, last_on=on)


def add(
    start: datetime,
    n: int,
    unit: str,
    calendars: Calendars,
    *,
    no_roll: bool = False,
    excluded: Iterable[Interval] = (),
    business_close: time | None = None,
) -> Due:
    """The end of ``n`` units that began at the aware instant ``start``.

    ``excluded`` are half-open pauses, overlapping ones counted once. A negative ``n`` gives the
    last day on which something that must be done so long *before* ``start`` is still in time;
    it never rolls forward. ``business_close`` ends the last day early (T-05).
    """
    pauses = merge(excluded)
    if unit == "hour":
        return _add_hours(start, n, pauses)
    first, out, projected = day_of(start), _days_out(pauses), False
    if unit in ("day", "workday"):
        last, projected = _count(first, n, calendars, out, unit == "workday")
    elif unit in ("month", "year"):
        last = _after_pauses(first, _add_months(first, n * (12 if unit == "year" else 1)), out)
    else:
        raise ValueError(f"unknown unit of time: {unit}")
    return _end(last, calendars, projected, no_roll or n < 0, business_close)


def extend(
    due: Due,
    n: int,
    unit: str,
    calendars: Calendars,
    *,
    no_roll: bool = False,
    excluded: Iterable[Interval] = (),
) -> Due:
    """``due`` made longer: counted from its last day before any roll."""
    if unit == "hour":
        return _add_hours(due.due_at, n, merge(excluded))
    noon = datetime.combine(due.last_on, time(12), SHANGHAI)
    return add(noon, n, unit, calendars, no_roll=no_roll, excluded=excluded)


def _end(
    last: date, calendars: Calendars, projected: bool, no_roll: bool, close: time | None
) -> Due:
    due_on, guessed = (last, False) if no_roll else _roll(last, calendars)
    due_at = start_of(due_on + _ONE_DAY)
    if close is not None:
        due_at = datetime.combine(due_on, close, SHANGHAI).astimezone(UTC)
    return Due(due_at=due_at, due_on=due_on, projected=projected or guessed, last_on=last)
