"""How long a record is kept, and what its erasure leaves. Pure; numbers are data."""

from datetime import datetime
from typing import Any

from intake.rights.rules import bar as file_bar
from intake.rights.rules import data, ends, limitation_until
from services.calendar import Calendars


def class_of(kind: str) -> str:
    """The class of a refusal, or of a matter of this kind."""
    found: str = data()["records"]["by_kind"][kind]
    return found


def told(class_: str) -> dict[str, Any]:
    """Names, length and law of a class."""
    found: dict[str, Any] = data()["records"]["classes"][class_]
    return found


def keep_until(class_: str, start: datetime, calendars: Calendars) -> datetime | None:
    """When the class ends of what is kept from then on."""
    return ends(told(class_), start, calendars)


def bar(
    ground: str, *, held: bool, open_: bool, keep_until: datetime | None, now: datetime
) -> str | None:
    """The rule that stands against erasing now, if any, as for a file (个人信息保护法 47: D-06)."""
    found = file_bar(ground, held=held, open_=open_, keep_until=keep_until, now=now)
    return {"case_open": "record_open", "legal_hold": "record_held"}.get(found or "", found)


def provable_until(
    class_: str, ground: str, asked_at: datetime | None, ended_at: datetime, calendars: Calendars
) -> datetime | None:
    """Until when it must stay provable that somebody asked; None where the class does not say so,
    nobody asked, or the person has no part in it (民法典 188, 195: LIM-1, LIM-4)."""
    if not told(class_)["limitation"] or asked_at is None or ground == "wrong_person":
        return None
    return limitation_until(ended_at, calendars)


def stays(subject: str, *, limitation: bool) -> list[str]:
    """What an erasure leaves, by code: that it was refused or taken, and what law keeps."""
    return [
        code
        for code, found in data()["records"]["stays"].items()
        if found["of"] in ("always", subject) or (found["of"] == "limitation" and limitation)
    ]
