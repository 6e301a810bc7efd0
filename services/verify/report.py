"""What was found: violations by invariant, how much was looked at, and how it is told."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

# A broken installation can break a rule a million times; so many are kept, the rest is counted.
KEPT: Final = 200


class CannotLook(Exception):
    """The installation could not be read: nothing is known, good or bad."""


@dataclass(frozen=True)
class Violation:
    """One thing that must not be, where it is, and what to do about it."""

    invariant: str
    message: str
    remedy: str
    service: str | None = None
    case_id: str | None = None
    event_id: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None

    def line(self) -> str:
        """One line for people: rule, what is wrong, where, what to do."""
        where = [
            f"{name} {value}"
            for name, value in (
                ("service", self.service),
                ("case", self.case_id),
                ("event", self.event_id),
                ("topic", self.topic),
                ("partition", self.partition),
                ("offset", self.offset),
            )
            if value is not None
        ]
        return f"{self.invariant}: {self.message} [{', '.join(where)}] -> {self.remedy}"


@dataclass
class Checked:
    """One invariant while it is looked at."""

    name: str
    title: str
    items: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    broken: int = 0

    def found(self, message: str, remedy: str, **where: Any) -> None:
        """Add a violation; ids may be given as UUIDs."""
        self.broken += 1
        if len(self.violations) < KEPT:
            for name in ("case_id", "event_id"):
                if where.get(name) is not None:
                    where[name] = str(where[name])
            self.violations.append(Violation(self.name, message, remedy, **where))

    def note(self, line: str) -> None:
        """Something worth knowing that breaks nothing."""
        self.notes.append(line)

    def line(self) -> str:
        """The summary line."""
        verdict = "holds" if not self.broken else f"BROKEN {self.broken} times"
        told = f"{self.name:<13}{verdict:<18}{self.items:>10} looked at  {self.seconds:6.1f} s"
        return "\n".join([f"{told}  {self.title}", *(f"{'':<13}  {n}" for n in self.notes)])


@dataclass
class Report:
    """All invariants of one look."""

    checked: list[Checked]
    quiet: str = ""
    events: int = 0
    seconds: float = 0.0

    @property
    def violations(self) -> list[Violation]:
        """Every violation that was kept."""
        return [violation for each in self.checked for violation in each.violations]

    @property
    def holds(self) -> bool:
        """Whether nothing is broken."""
        return not any(each.broken for each in self.checked)

    def lines(self) -> Iterable[str]:
        """The report for a terminal."""
        for each in self.checked:
            yield from (violation.line() for violation in each.violations)
            if each.broken > len(each.violations):
                yield f"{each.name}: and {each.broken - len(each.violations)} more"
        yield self.quiet
        yield from (each.line() for each in self.checked)
        rate = self.events / self.seconds if self.seconds else 0
        yield (
            f"{'everything holds' if self.holds else 'NOT EVERYTHING HOLDS'}: "
            f"{self.events} events in {self.seconds:.1f} s ({rate:.0f} a second)"
        )

    def json(self) -> str:
        """The report for a program."""
        return json.dumps(
            {
                "holds": self.holds,
                "quiet": self.quiet,
                "events": self.events,
                "seconds": round(self.seconds, 3),
                "invariants": [asdict(each) for each in self.checked],
            },
            ensure_ascii=False,
            indent=2,
        )
