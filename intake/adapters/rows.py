"""A row as every format gives it: cells by name, with the line where it stands. Pure."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from intake.adapters.messages import message

Value = str | int | float | Decimal | bool | None
Cells = dict[str, Value]
# The column (member, element) in which refused rows are given back; never read as a sender's own.
REASON: Final = "拒收原因"


class FileError(ValueError):
    """The file as a whole cannot be read: ``rule`` says why, ``line`` where, if that is known."""

    def __init__(self, rule: str, *, line: int | None = None) -> None:
        self.rule = rule
        self.line = line
        self.message = message(rule)
        super().__init__(f"{rule}: {self.message}" + (f" (line {line})" if line else ""))


@dataclass(frozen=True)
class Row:
    """One record. ``lists`` holds what may stand several times, as ``name[]``.

    ``number`` counts records from 1 after the head; ``line`` is the line of the file (in a workbook
    the row of the sheet, in one JSON object the position in its list). ``fault`` is the rule why
    the record cannot be used as a whole; ``cells`` then holds what could still be read. A column
    or member named ``REASON`` is left out: it is ours.
    """

    number: int
    line: int
    cells: Cells = field(default_factory=dict)
    lists: dict[str, list[Cells]] = field(default_factory=dict)
    fault: str | None = None
    # What a refused row is given back from: cells of a table, an object, or a broken line.
    raw: Any = field(default=None, compare=False, repr=False)
