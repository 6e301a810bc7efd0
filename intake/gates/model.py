"""The gates as data: conditions on the fields of a referral, each with its citation. Pure."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from intake.model import Referral
from intake.organs import Organs, nearest, of_kind, with_role
from services import calendar
from services.errors import FieldError

FILE: Final = Path(__file__).parents[1] / "data" / "gates.json"
REFUSE, WARN, BEFORE = "refuse", "warn", "before"


@dataclass(frozen=True)
class Facts:
    """What a condition may look at."""

    document: Mapping[str, Any]
    source_kind: str
    received_on: date

    def at(self, pointer: str) -> Any:
        """The value at a pointer, or None; ``#name`` is a fact beside the document."""
        return _reader(pointer)(self)


Condition = Callable[[Facts], bool]


@lru_cache(256)
def _reader(pointer: str) -> Callable[[Facts], Any]:
    """How to find what a pointer means."""
    if pointer.startswith("#"):
        return attrgetter(pointer[1:])
    steps = pointer[1:].split("/")

    def found(facts: Facts) -> Any:
        node: Any = facts.document
        for step in steps:
            if not isinstance(node, Mapping):
                return None
            node = node.get(step)
        return node

    return found


@dataclass(frozen=True)
class Gate:
    """One gate: when it holds, on which law, what follows, where to go and until when."""

    code: str
    rule: str
    effect: str
    certainty: str
    pointer: str
    citation: str
    zh: str
    en: str
    holds: Condition
    lanes: frozenset[str] | None
    go_to: Mapping[str, Any]
    until: Mapping[str, Any]
    route: int | None

    def finding(self) -> FieldError:
        """The gate as an error or warning of its member."""
        sentence = f"{self.zh}（{self.citation}）/ {self.en} ({self.rule})"
        return FieldError(self.pointer, self.code, sentence)


def compiled(node: Mapping[str, Any]) -> Condition:
    """A condition of the data as a function. Raises ``ValueError`` for one it does not know."""
    if "all" in node:
        parts = [compiled(part) for part in node["all"]]
        return lambda facts: all(part(facts) for part in parts)
    if "any" in node:
        parts = [compiled(part) for part in node["any"]]
        return lambda facts: any(part(facts) for part in parts)
    if "not" in node:
        inner = compiled(node["not"])
        return lambda facts: not inner(facts)
    return _compared(node["at"], {k: v for k, v in node.items() if k != "at"})


def _compared(pointer: str, test: Mapping[str, Any]) -> Condition:
    ((word, wanted),) = test.items()
    read = _reader(pointer)
    if word == "is":
        return lambda facts: bool(read(facts) == wanted)
    if word == "in":
        values = frozenset(wanted)
        return lambda facts: isinstance(v := read(facts), str) and v in values
    if word == "has":
        return lambda facts: isinstance(v := read(facts), list) and wanted in v
    if word == "given":
        return lambda facts: (read(facts) is not None) is wanted
    if word == "on_or_after":
        limit = _reader(wanted)
        return lambda facts: (day := _day(read(facts))) is not None and day >= limit(facts)
    raise ValueError(f"no such test: {word}")


def lanes_of(node: Mapping[str, Any]) -> frozenset[str] | None:
    """The lanes outside which a condition never holds; None when it may hold in every lane."""
    if "all" in node:
        named = [lanes for part in node["all"] if (lanes := lanes_of(part)) is not None]
        return frozenset.intersection(*named) if named else None
    if "any" in node:
        either: frozenset[str] = frozenset()
        for part in node["any"]:
            if (lanes := lanes_of(part)) is None:
                return None
            either |= lanes
        return either
    if node.get("at") == "/lane" and "in" in node:
        return frozenset(node["in"])
    if node.get("at") == "/lane" and "is" in node:
        return frozenset({node["is"]})
    return None


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


@lru_cache(1)
def gates() -> tuple[Gate, ...]:
    """All gates, in the order in which they are asked."""
    rows = json.loads(FILE.read_text("utf-8"))["gates"]
    return tuple(
        Gate(
            **{
                **row,
                "holds": compiled(row["holds"]),
                "lanes": lanes_of(row["holds"]),
                "route": row.get("route"),
            }
        )
        for row in rows
    )


@lru_cache(256)
def _asked(effect: str, lane: str) -> tuple[Gate, ...]:
    """The gates of this effect that may hold in a lane, in their order."""
    return tuple(
        gate
        for gate in gates()
        if gate.effect == effect and (gate.lanes is None or lane in gate.lanes)
    )


def _holding(effect: str, facts: Facts) -> Iterator[Gate]:
    lane = facts.document.get("lane")
    asked = _asked(effect, lane if isinstance(lane, str) else "")
    return (gate for gate in asked if gate.holds(facts))


@lru_cache(1)
def _told_within() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["told_within"]
    return found


def told_within(lane: str) -> dict[str, Any]:
    """By when the party is told of a refusal in writing, with its source."""
    return _told_within().get(lane) or _told_within()[""]


def told_by(lane: str, received_at: datetime) -> datetime:
    """Until when the party is told of a refusal in writing (exclusive)."""
    length = told_within(lane)
    return calendar.add(received_at, length["n"], length["unit"], calendar.shipped()).due_at


def over(until: Mapping[str, Any], today: date) -> bool:
    """Whether the last day of the road that was shown is over; one without a day never is."""
    return bool(until.get("on")) and date.fromisoformat(until["on"]) < today


def facts_of(referral: Referral, directory: Organs) -> Facts:
    """The facts of a referral that passed every other check."""
    source = directory.organisation(referral.organisation) or {}
    return Facts(referral.document, str(source.get("kind")), calendar.day_of(referral.received_at))


def refusing(facts: Facts) -> Gate | None:
    """The first gate that bars the matter, if any."""
    return next(_holding(REFUSE, facts), None)


def doubts(facts: Facts, *, before: bool = False) -> list[FieldError]:
    """Warnings; with ``before`` also what must be told before anything is registered."""
    effects = (WARN, BEFORE) if before else (WARN,)
    return [gate.finding() for effect in effects for gate in _holding(effect, facts)]


def warned(referral: Referral, directory: Organs) -> list[FieldError]:
    """Every gate that holds, as a warning: a registered matter is corrected, never refused."""
    facts = facts_of(referral, directory)
    return [gate.finding() for gate in _holding(REFUSE, facts)] + doubts(facts)


def where(gate: Gate, facts: Facts, place: str, directory: Organs) -> dict[str, Any]:
    """Where to go: the kind of organ and, when the directory has one for the place, its code."""
    to = gate.go_to
    kind = to.get("kind")
    if by := to.get("by"):
        kind = by["kinds"].get(facts.at(by["at"]))
    code = facts.at(to["member"]) if "member" in to else None
    if code is None and "role" in to:
        code = nearest(directory, place, with_role(to["role"]))
    if code is None and kind:
        code = nearest(directory, place, of_kind(kind))
    return {"kind": kind, "organisation": code}


def until(gate: Gate, facts: Facts, received_at: datetime) -> dict[str, Any]:
    """Until when: a day (Asia/Shanghai) with its source, or the words why there is none."""
    rule = gate.until
    if "at" in rule:
        return {"on": facts.at(rule["at"]), "source": gate.citation, "zh": None, "en": None}
    if "n" in rule:
        due = calendar.add(received_at, rule["n"], rule["unit"], calendar.shipped())
        return {"on": due.due_on.isoformat(), "source": rule["source"], "zh": None, "en": None}
    return {"on": None, "source": gate.citation, "zh": rule["zh"], "en": rule["en"]}
