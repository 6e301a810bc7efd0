"""A row while it is converted: its cells, what was found, the referral as far as it is made."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

from intake.adapters import layout as spec
from intake.adapters.messages import message
from intake.adapters.places import DirectoryFolder
from intake.adapters.rows import Cells, Row, Value
from intake.adapters.transforms import clean

_PLAIN: Final = spec.Column()


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


class Conversion:
    """What every step of a conversion reads from and adds to."""

    def __init__(
        self, row: Row, layout: spec.Layout, directory: DirectoryFolder, today: date
    ) -> None:
        self.row = row
        self.layout = layout
        self.directory = directory
        self.today = today
        self.found = Converted()
        self.document: dict[str, Any] = {}

    def say(self, level: Literal["warning", "refused"], column: str | None, rule: str) -> None:
        """Add a finding, once."""
        text = self.layout.reasons.get(rule) or message(rule)
        finding = Finding(level, column, rule, text)
        if finding not in self.found.findings:
            self.found.findings.append(finding)

    def fault(self, column: str, rule: str, pointers: tuple[str, ...] = ()) -> None:
        """Refuse the row for a column; these members are missing for that reason."""
        self.say("refused", column, rule)
        self.found.missing.update(pointers)

    def cell(self, name: str, cells: Cells | None = None, prefix: str = "") -> Value:
        """A cell without guards and blanks; None when it is empty."""
        column = self.layout.columns.get(prefix + name, _PLAIN)
        value, folded = clean((self.row.cells if cells is None else cells).get(name), column)
        if folded:
            self.say("warning", prefix + name, "brackets_folded")
        return value

    def coded(self, coded: spec.Coded, cells: Cells | None = None, prefix: str = "") -> str | None:
        """The value behind a code; None when the cell is empty, or the code unknown: a fault."""
        value = self.cell(coded.column, cells, prefix)
        if value is None:
            return None
        found = coded.values.get(value) if isinstance(value, str) else None
        if found is None:
            self.fault(prefix + coded.column, "code_unknown")
        return found

    def received_on(self) -> date:
        """The day of receipt, or today when it is not known."""
        text = self.document["source"].get("received_at")
        return datetime.fromisoformat(text).date() if text else self.today

    def set(self, pointer: str, value: Any) -> None:
        """Set a member, making the objects on the way; of a party that is not there, nothing."""
        node: Any = self.document
        *steps, last = pointer.split("/")[1:]
        for step in steps:
            if isinstance(node, list):
                if int(step) >= len(node):
                    return
                node = node[int(step)]
            else:
                node = node.setdefault(step, {})
        node[last] = value
