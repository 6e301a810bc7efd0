"""The kinds of matters as data, where each goes, and by when it is answered. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.organs import Organs, agency, nearest, of_kind, with_role
from services import calendar

FILE: Final = Path(__file__).parents[1] / "data" / "kinds.json"


@dataclass(frozen=True)
class Kind:
    """One kind: who gets it, on which law, by when it is answered, who may read it."""

    code: str
    zh: str
    en: str
    exit: str
    citation: str
    answer_within: dict[str, Any]
    sealed: bool
    convertible: bool
    adoption: bool
    about_needed: bool


@lru_cache(1)
def kinds() -> dict[str, Kind]:
    """All kinds of matters by code."""
    rows = json.loads(FILE.read_text("utf-8"))["kinds"]
    return {code: Kind(code=code, **row) for code, row in rows.items()}


def due(kind: Kind, received_at: datetime) -> datetime:
    """Until when it is to be answered (exclusive)."""
    length = kind.answer_within
    return calendar.add(received_at, length["n"], length["unit"], calendar.shipped()).due_at


def exit_of(
    kind: Kind, directory: Organs, *, receiver: str, place: str, about: str | None
) -> str | None:
    """Who must answer; None when the directory has nobody whom the law allows.

    Never anybody in the line of whom a sealed matter is about (信访工作条例 30).
    """
    barred = agency(directory, about) if about else None
    if kind.exit == "discipline":
        return nearest(directory, place, with_role("discipline"), outside=barred)
    if kind.exit == "outside_line":
        for wanted in (with_role("convenor"), with_role("discipline"), of_kind("judicial_bureau")):
            found = nearest(directory, place, wanted, outside=barred)
            if found:
                return found
        return None
    if kind.exit == "place_organ":
        for role in ("coordinator", "convenor"):
            if found := nearest(directory, place, with_role(role)):
                return found
    return receiver


def hidden(row_agency: str | None, directory: Organs, organisation: str) -> bool:
    """Whether the matter is about the caller's own line: then it is not there (F-21)."""
    return row_agency is not None and agency(directory, organisation) == row_agency
