"""A row while it is converted: its cells, what was found, the referral as far as it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal

from intake.adapters import layout as spec
from intake.adapters.messages import message
from intake.adapters.places import DirectoryFolder
from intake.adapters.plan import Field, Plan, Steps
from intake.adapters.rows import Row, Value
from intake.adapters.transforms import cleaned


@dataclass(frozen=True)
class Finding:
    """One thing to say about a row: never with a value in it."""

    level: Literal["warning", "refused"]
    column: str | None
    rule: str
    message: str
    pointer: str | None = None


@dataclass
class Converted:
    """What became of a row. ``document`` is None when the row is no referral at all."""

    reference: str | None = None
    document: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def column_of(self, pointer: str) -> str | None:
        """The column behind a member, or behind the nearest one above it."""
        while pointer:
            if pointer in self.origin:
                return self.origin[pointer]
            pointer = pointer.rpartition("/")[0]
        return None


class Cells:
    """The cells of a row, or of one party in it: each is cleaned when it is first looked at."""

    __slots__ = ("_raw", "_seen")

    def __init__(self, raw: Mapping[str, Value]) -> None:
        self._raw = raw
        self._seen: dict[str, Value] = {}

    def get(self, field: Field, row: "Conversion") -> Value:
        """A cell without guards and blanks; None when it is empty. The row is told of doubts."""
        name = field.name
        if name in self._seen:
            return self._seen[name]
        value = self._raw.get(name)
        if isinstance(value, str):
            value, folded = cleaned(value, field.guarded, field.bracketed)
            if folded:
                row.say("warning", field.told, "brackets_folded")
        self._seen[name] = value
        return value


class Conversion:
    """What every step of a conversion reads from and adds to."""

    def __init__(self, row: Row, plan: Plan, directory: DirectoryFolder, today: date) -> None:
        self.row = row
        self.plan = plan
        self.directory = directory
        self.today = today
        self._cells = Cells(row.cells)
        self.found = Converted()
        self.document: dict[str, Any] = {}

    def say(self, level: Literal["warning", "refused"], column: str | None, rule: str) -> None:
        """Add a finding, once."""
        text = self.plan.layout.reasons.get(rule) or message(rule)
        finding = Finding(level, column, rule, text)
        if finding not in self.found.findings:
            self.found.findings.append(finding)

    def fault(self, column: str, rule: str, pointers: tuple[str, ...] = ()) -> None:
        """Refuse the row for a column; these members are missing for that reason."""
        self.say("refused", column, rule)
        self.found.missing.update(pointers)

    def cell(self, field: Field, cells: Cells | None = None) -> Value:
        """A cell of the row, or of a party in it, without guards and blanks; None when empty."""
        return (cells or self._cells).get(field, self)

    def coded(self, coded: spec.Coded, field: Field, cells: Cells | None = None) -> str | None:
        """The value behind a code; None when the cell is empty, or the code unknown: a fault."""
        value = self.cell(field, cells)
        if value is None:
            return None
        found = coded.values.get(value) if isinstance(value, str) else None
        if found is None:
            self.fault(field.told, "code_unknown")
        return found

    def received_on(self) -> date:
        """The day of receipt, or today when it is not known."""
        text = self.document["source"].get("received_at")
        return _day(text) if text else self.today

    def set(self, steps: Steps, value: Any) -> None:
        """Set a member, making the objects on the way; of a party that is not there, nothing."""
        node: Any = self.document
        for step in steps[:-1]:
            if isinstance(node, list):
                if int(step) >= len(node):
                    return
                node = node[int(step)]
            else:
                node = node.setdefault(step, {})
        node[steps[-1]] = value


@lru_cache(4096)
def _day(instant: str) -> date:
    return datetime.fromisoformat(instant).date()
