"""A whole file, row by row: converted, checked as POST would check it, each with its outcome."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from intake.adapters.conversion import Converted, Finding
from intake.adapters.convert import convert
from intake.adapters.layout import Layout
from intake.adapters.messages import message
from intake.adapters.places import DirectoryFolder
from intake.adapters.plan import Plan
from intake.adapters.reading import rows
from intake.adapters.rows import FileError, Row
from intake.model import Directory, Verdict
from intake.validation import normal_reference, validate
from services.clock import SHANGHAI
from services.events import lanes

SHOWN: Final = ("lane", "dispute_type", "dispute_subtype", "place", "claim_fen", "type_details")


@dataclass(frozen=True)
class Outcome:
    """What a row of the sender's file becomes; ``referral`` only when it would be taken."""

    row: int
    line: int
    reference: str | None
    outcome: Literal["accepted", "warning", "refused"]
    reasons: tuple[Finding, ...]
    mapped: dict[str, Any]
    referral: dict[str, Any] | None


@dataclass(frozen=True)
class Examined:
    """A row by itself: what was made of it, what there is to say, and intake's own verdict."""

    row: Row
    reference: str | None
    document: dict[str, Any] | None
    reasons: tuple[Finding, ...]
    verdict: Verdict | None

    @property
    def refused(self) -> bool:
        """Whether a reason refuses it."""
        return any(reason.level == "refused" for reason in self.reasons)


class Trial:
    """The rows of one file; remembers references by hash, to find those used twice.

    ``known`` answers for organisations and places by code; the folder itself when left out.
    """

    def __init__(
        self,
        layout: Layout,
        directory: DirectoryFolder,
        now: datetime,
        known: Directory | None = None,
    ) -> None:
        self.layout = layout
        self.plan = Plan(layout)
        self.directory = directory
        self.known = known or directory
        self.now = now
        self._seen: dict[str, tuple[int, str]] = {}

    def run(self, file: BinaryIO) -> Iterator[Outcome]:
        """Every row in order. Raises ``FileError`` when the file as a whole cannot be read on."""
        for row in rows(file, self.layout):
            yield self.judge(row)

    def judge(self, row: Row) -> Outcome:
        """What this row, after those before it, becomes."""
        seen = self.examine(row)
        reasons, document = list(seen.reasons), seen.document
        if document is not None and not seen.refused:
            reasons += self._used_before(row.number, document)
        levels = {reason.level for reason in reasons}
        refused = "refused" in levels
        return Outcome(
            row=row.number,
            line=row.line,
            reference=seen.reference,
            outcome="refused" if refused else "warning" if levels else "accepted",
            reasons=tuple(reasons),
            mapped={name: (document or {}).get(name) for name in SHOWN},
            referral=None if refused else document,
        )

    def examine(self, row: Row) -> Examined:
        """What this row by itself becomes: converted, and checked as POST checks it."""
        return self.check(row, self.convert(row))

    def convert(self, row: Row) -> Converted:
        """The row by the layout."""
        today = self.now.astimezone(SHANGHAI).date()
        return convert(row, self.plan, self.directory, today)

    def check(self, row: Row, converted: Converted) -> Examined:
        """A converted row, checked as POST checks it."""
        reasons, verdict = list(converted.findings), None
        if converted.document is not None:
            verdict = validate(converted.document, self.known, lanes.may_send, self.now)
            reasons += self._checked(converted, verdict)
        return Examined(row, converted.reference, converted.document, tuple(reasons), verdict)

    def _checked(self, converted: Converted, verdict: Verdict) -> list[Finding]:
        """What intake itself would say, save of members that a fault above left out."""
        told = [("refused", error) for error in verdict.errors]
        told += [("warning", doubt) for doubt in verdict.warnings]
        return [
            Finding(
                "refused" if level == "refused" else "warning",
                converted.column_of(error.pointer) or error.pointer or None,
                error.code,
                error.message,
                error.pointer,
            )
            for level, error in told
            if not any(_touches(error.pointer, missing) for missing in converted.missing)
        ]

    def _used_before(self, number: int, document: dict[str, Any]) -> list[Finding]:
        source = document["source"]
        key = f"{source['organisation']} {normal_reference(source['reference'])}"
        text = json.dumps(document, ensure_ascii=False, sort_keys=True)
        content = hashlib.sha256(text.encode()).hexdigest()
        earlier, same = self._seen.setdefault(key, (number, content))
        if earlier == number:
            return []
        column = self.layout.reference_column()
        if same == content:
            return [_earlier("warning", column, "repeats_row", earlier)]
        return [_earlier("refused", column, "reference_in_use", earlier)]


def _earlier(level: Literal["warning", "refused"], column: str, rule: str, row: int) -> Finding:
    return Finding(level, column, rule, f"{message(rule)} (row {row})")


def _touches(pointer: str, missing: str) -> bool:
    return pointer == missing or pointer.startswith(f"{missing}/")


def layouts_for(path: Path, layouts: dict[str, Layout]) -> list[str]:
    """Names of the layouts by which the file can be read: its ending, heads and first record.

    Raises ``FileError`` when there is none: the one of the only layout with this ending, if so.
    """
    kind = path.suffix.lower().removeprefix(".")
    candidates = {name: each for name, each in layouts.items() if each.format.kind == kind}
    return fitting(lambda: path.open("rb"), candidates)


def fitting(open_: Callable[[], BinaryIO], candidates: dict[str, Layout]) -> list[str]:
    """Names of those by which the file can be read: its heads and its first record.

    Raises ``FileError`` when there is none: the one of the only candidate, if so.
    """
    found: list[str] = []
    for name, layout in candidates.items():
        try:
            with open_() as file:
                first = next(rows(file, layout), None)
        except FileError:
            if len(candidates) == 1:
                raise
            continue
        if first is None or first.fault or layout.reference_column() in first.cells:
            found.append(name)
    if not found:
        raise FileError("no_layout_fits")
    return found
