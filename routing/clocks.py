"""What a clock says: when it is due, when to warn, whether it may pause or be extended. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from services.calendar import (
    SHANGHAI,
    Calendars,
    Due,
    Interval,
    add,
    day_of,
    extend,
    merge,
    start_of,
)
from services.events import lanes

GRACE: Final = timedelta(seconds=60)
_MORNING: Final = time(8, 30)
_SPREAD_SECONDS: Final = 7200
OBLIGATION_CITATION: Final = "人民调解法 31 (R-24)"


@dataclass(frozen=True, slots=True)
class Extension:
    """Time added to a clock, counted from its last day before any roll."""

    n: int
    unit: str


@dataclass(frozen=True, slots=True)
class Measure:
    """How long a clock runs: a length from a start, or a fixed end somebody agreed on."""

    start_at: datetime
    n: int | None = None
    unit: str = "day"
    fixed_due_at: datetime | None = None
    extensions: tuple[Extension, ...] = ()


def due_of(measure: Measure, calendars: Calendars, pauses: Sequence[Interval] = ()) -> Due:
    """When the clock is due, pauses and extensions counted."""
    if measure.fixed_due_at is not None:
        due_at = measure.fixed_due_at
        on = day_of(due_at - timedelta(microseconds=1))
        due = Due(due_at=due_at, due_on=on, projected=False, last_on=on)
    else:
        due = add(measure.start_at, measure.n or 0, measure.unit, calendars, excluded=merge(pauses))
    for extension in measure.extensions:
        due = extend(due, extension.n, extension.unit, calendars)
    return due


def _morning_of(day: date, clock_id: UUID) -> datetime:
    """The morning of a day, spread over two hours so that not all warnings come at once."""
    at = datetime.combine(day, _MORNING, SHANGHAI)
    return at + timedelta(seconds=clock_id.int % _SPREAD_SECONDS)


def warnings_of(
    kind: str, clock_id: UUID, start_at: datetime, due: Due, unit: str
) -> list[tuple[str, datetime]]:
    """The steps at which the holder is warned, each once, in order, all before the end.

    Half and four fifths of the time; a confirmation window on its days 20, 27 and 29; an
    obligation three days before and on its day.
    """
    steps: list[tuple[str, datetime]] = []
    if kind == "confirmation":
        first = day_of(start_at)
        for n in lanes.lane("pm").confirmation_for("committee").warn_days:
            steps.append((f"day-{n}", _morning_of(first + timedelta(days=n), clock_id)))
    elif kind == "obligation":
        steps.append(("due-in-3-days", _morning_of(due.due_on - timedelta(days=3), clock_id)))
        steps.append(("due-today", _morning_of(due.due_on, clock_id)))
    else:
        for step, share in (("half", 5), ("four-fifths", 8)):
            at = start_at + (due.due_at - start_at) * share / 10
            morning = _morning_of(day_of(at), clock_id)
            steps.append((step, morning if unit != "hour" and morning > start_at else at))
    return sorted(
        ((step, at) for step, at in steps if start_at < at < due.due_at), key=lambda pair: pair[1]
    )


def may_pause(exclude: Sequence[str], ground: str) -> bool:
    """A clock pauses only on a ground that its rule lists (T-13)."""
    return ground in exclude


def extension_refused(
    rule_id: str | None, extend_by: str, extended: int, n: int, unit: str, agreed_by: str
) -> str | None:
    """Why an extension is refused, as a slug, or ``None`` when the rule allows it.

    ``agreed_by`` is who agreed; the registry's ``extend`` says how long and how often.
    """
    row = lanes.deadline(rule_id) if rule_id else None
    extends = row.extend if row else ("agreed" if extend_by else "no")
    if extends in ("no", ""):
        return "not-extendable"
    if extend_by and agreed_by != extend_by:
        return "not-agreed-by-whom-the-rule-says"
    length, _, times = extends.partition("x")
    if times:
        if extended >= int(times):
            return "extended-as-often-as-allowed"
        if unit != "day" or n > int(length):
            return "longer-than-allowed"
    return None


#: The days on which an accident's harm is known to be over (道路交通事故处理程序规定 90: M-15).
HARM_DAYS: Final = ("treatment_ended_on", "disability_rated_on")


def legal_start(
    value: Mapping[str, Any],
    start: str,
    accepted_at: datetime,
    legal_context: Mapping[str, Any],
) -> datetime:
    """Where a term counts from.

    Acceptance; the day the body received the application (M-20); or the end of treatment or the
    rating of a disability, whichever is later, when it comes after acceptance (M-15).
    """
    if start == "received":
        received: datetime = value["offered_at"]
        return received
    if start == "start_by_harm":
        days = (date.fromisoformat(legal_context[d]) for d in HARM_DAYS if legal_context.get(d))
        return max((accepted_at, *(start_of(day) for day in days)))
    return accepted_at
