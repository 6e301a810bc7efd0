"""A few fields at a counter made into a whole referral, and what a late entry finds over. Pure."""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from services import calendar
from services.clock import SHANGHAI, wire
from services.events import lanes

FILE: Final = Path(__file__).parents[1] / "data" / "doors.json"
_TITLE_LENGTH: Final = 60


@lru_cache(1)
def defaults() -> dict[str, Any]:
    """The data of the doors."""
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


@dataclass(frozen=True)
class Entry:
    """What was filled in; everything else is given later, by correction."""

    organisation: str
    organisation_kind: str
    reference: str
    channel: str
    place: str
    place_text: str | None
    text: str
    received_at: datetime
    request_made_at: datetime | None
    who: dict[str, Any] | None = None
    whom: dict[str, Any] | None = None
    kind: str = "dispute"
    lane: str | None = None
    dispute_type: str = "other"
    title: str | None = None
    claims: tuple[str, ...] = ()
    claim_fen: int | None = None
    occurred_at: datetime | None = None
    documents: tuple[dict[str, Any], ...] = ()
    concerns: tuple[dict[str, Any], ...] = ()
    context: dict[str, Any] = field(default_factory=dict)


def lane_of(entry: Entry) -> str:
    """The lane that was named, else the one of the organisation's kind."""
    return entry.lane or str(defaults()["lane_of_kind"].get(entry.organisation_kind, "pm"))


def document(entry: Entry) -> dict[str, Any]:
    """The canonical referral of a quick form."""
    context = dict(entry.context)
    if entry.place_text:
        context["place_text"] = entry.place_text
    return {
        "source": {
            "organisation": entry.organisation,
            "reference": entry.reference,
            "received_at": wire(entry.received_at),
        },
        "kind": entry.kind,
        "channel": entry.channel,
        "request_made_at": wire(entry.request_made_at) if entry.request_made_at else None,
        "lane": lane_of(entry),
        "dispute_type": entry.dispute_type,
        "place": entry.place,
        "title": entry.title or " ".join(entry.text.split())[:_TITLE_LENGTH],
        "summary": entry.text,
        "claims": list(entry.claims),
        "claim_fen": entry.claim_fen,
        "occurred_at": wire(entry.occurred_at) if entry.occurred_at else None,
        "parties": _parties(entry),
        "documents": list(entry.documents),
        "legal_context": context,
        "safety": {"concerns": list(entry.concerns)},
    }


def _parties(entry: Entry) -> list[dict[str, Any]]:
    sides = [("applicant", entry.who), ("respondent", entry.whom)]
    day = entry.received_at.astimezone(SHANGHAI).date().isoformat()
    named = [(role, person) for role, person in sides if person]
    return [
        {
            "ref": f"p{number}",
            "role": role,
            "kind": "person",
            **{name: value for name, value in person.items() if value is not None},
            "consent": _consent(person.get("consent"), day),
        }
        for number, (role, person) in enumerate(named, 1)
    ]


def _consent(said: str | None, day: str) -> dict[str, str | None]:
    return {"state": said or "unknown", "on": day if said in ("given", "refused") else None}


@dataclass(frozen=True)
class Overdue:
    """A period that was over already when the matter was entered."""

    rule: str
    citation: str
    due_at: datetime
    due_on: str
    certainty: str

    def wire(self) -> dict[str, str]:
        """As it is kept beside the entry and answered again."""
        return {**vars(self), "due_at": wire(self.due_at)}


def overdue(entry: Entry, place: str, now: datetime) -> list[Overdue]:
    """Which of the periods of the entry's lane are over by now, in any lane."""
    lane = lane_of(entry)
    limits = defaults()["entry_limits"].get(lane, [{"window": True}])
    found = (_over(limit, lane, entry, place, now) for limit in limits)
    return [over for over in found if over is not None]


def _over(
    limit: dict[str, Any], lane: str, entry: Entry, place: str, now: datetime
) -> Overdue | None:
    start = _start(limit, entry)
    if start is None or not place.startswith(limit.get("place_prefix", "")):
        return None
    length: lanes.Deadline | lanes.Window
    if limit.get("window"):
        length = lanes.lane(lane, entry.organisation_kind).window
        rule = lanes.deadline(length.deadline).rule if length.deadline else "window"
        citation = length.source
    else:
        length = lanes.deadline(limit["deadline"])
        rule, citation = length.rule, limit["source"]
    due = calendar.add(start, length.n, length.unit, calendar.shipped())
    if now < due.due_at:
        return None
    return Overdue(rule, citation, due.due_at, due.due_on.isoformat(), length.certainty)


def _start(limit: dict[str, Any], entry: Entry) -> datetime | None:
    """When the period began: with receipt, or on a day that the entry may tell."""
    if "from" not in limit:
        return entry.received_at
    try:
        day = date.fromisoformat(str(entry.context.get(limit["from"])))
    except ValueError:
        return None
    return datetime.combine(day, time(), SHANGHAI)
