"""The gates as data: conditions on the fields of a referral, each with its citation. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
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
        if pointer.startswith("#"):
            return getattr(self, pointer[1:])
        node: Any = self.document
        for step in pointer[1:].split("/"):
            node = node.get(step) if isinstance(node, Mapping) else None
        return node


Condition = Callable[[Facts], bool]


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
    if word == "is":
        return lambda facts: bool(facts.at(pointer) == wanted)
    if word == "in":
        values = frozenset(wanted)
        return lambda facts: isinstance(v := facts.at(pointer), str) and v in values
    if word == "has":
        return lambda facts: isinstance(v := facts.at(pointer), list) and wanted in v
    if word == "given":
        return lambda facts: (facts.at(pointer) is not None) is wanted
    if word == "on_or_after":
        return lambda facts: (
            (day := _day(facts.at(pointer))) is not None and day >= facts.at(wanted)
        )
    raise ValueError(f"no such test: {word}")


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
        Gate(**{**row, "holds": compiled(row["holds"]), "route": row.get("route")}) for row in rows
    )


@lru_cache(1)
def _by_effect() -> dict[str, tuple[Gate, ...]]:
    return {
        effect: tuple(gate for gate in gates() if gate.effect == effect)
        for effect in (REFUSE, WARN, BEFORE)
    }


def facts_of(referral: Referral, directory: Organs) -> Facts:
    """The facts of a referral that passed every other check."""
    source = directory.organisation(referral.organisation) or {}
    return Facts(referral.document, str(source.get("kind")), calendar.day_of(referral.received_at))


def refusing(facts: Facts) -> Gate | None:
    """The first gate that bars the matter, if any."""
    return next((gate for gate in _by_effect()[REFUSE] if gate.holds(facts)), None)


def doubts(facts: Facts, *, before: bool = False) -> list[FieldError]:
    """Warnings; with ``before`` also what must be told before anything is registered."""
    asked = _by_effect()[WARN] + (_by_effect()[BEFORE] if before else ())
    return [gate.finding() for gate in asked if gate.holds(facts)]


def warned(referral: Referral, directory: Organs) -> list[FieldError]:
    """Every gate that holds, as a warning: a registered matter is corrected, never refused."""
    facts = facts_of(referral, directory)
    return [g.finding() for g in _by_effect()[REFUSE] if g.holds(facts)] + doubts(facts)


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
