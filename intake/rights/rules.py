"""How long a file is kept, and when a person's data may be erased. Pure; numbers are data."""

import json
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.rights.model import Keep
from services.calendar import Calendars, add

DATA_FILE: Final = Path(__file__).parents[1] / "data" / "retention.json"


@lru_cache(1)
def data() -> dict[str, Any]:
    """Classes, parts and grounds, each with its source."""
    found: dict[str, Any] = json.loads(DATA_FILE.read_text("utf-8"))
    return found


def class_of(dispute_type: str) -> str:
    """The class of a file by what the dispute is about, unless somebody set another (D-16)."""
    found: str = data()["by_dispute_type"].get(dispute_type, data()["default"])
    return found


def ends(length: dict[str, Any], start: datetime, calendars: Calendars) -> datetime | None:
    """When a length of the data ends, exclusive; ``None``: never."""
    if length["n"] is None:
        return None
    return add(start, length["n"], length["unit"], calendars).due_at


def keep(class_: str, closed_at: datetime, calendars: Calendars) -> Keep:
    """How long a file of this class that was closed then is kept."""
    return Keep(class_, ends(data()["classes"][class_], closed_at, calendars))


def limitation_until(closed_at: datetime, calendars: Calendars) -> datetime | None:
    """How long it must stay provable that a party asked (民法典 188, 195: LIM-1, LIM-4)."""
    return ends(data()["parts"]["limitation_receipt"], closed_at, calendars)


def stays(*, whole: bool, limitation: bool) -> tuple[str, ...]:
    """What an erasure leaves, by code: what the law keeps, and what belongs to others too."""
    return tuple(
        code
        for code, found in data()["stays"].items()
        if (found["of"] == "always" or not whole) and (code != "limitation" or limitation)
    )


def longest_consent(start: datetime, calendars: Calendars) -> datetime:
    """The latest end of a consent to share that begins then."""
    found = ends(data()["consents"]["longest"], start, calendars)
    assert found is not None  # noqa: S101 - a number in our data
    return found


def bar(
    ground: str, *, held: bool, open_: bool, keep_until: datetime | None, now: datetime
) -> str | None:
    """The rule that stands against erasing now, if any (个人信息保护法 47: D-06; 档案法 21: D-17).

    A legal hold bars every ground. What was never lawful to have is erased in an open case too;
    the other grounds wait until the class of the file has ended.
    """
    if held:
        return "legal_hold"
    if not data()["grounds"][ground]["after_term"]:
        return None
    if open_:
        return "case_open"
    return None if keep_until is not None and keep_until <= now else "must_be_kept"
