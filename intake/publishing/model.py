"""When a case may be shown to everybody, as data. Pure."""

import json
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

DATA_FILE: Final = Path(__file__).parents[1] / "data" / "publication.json"


@lru_cache(1)
def data() -> dict[str, Any]:
    """The rules of publication, each with its source."""
    found: dict[str, Any] = json.loads(DATA_FILE.read_text("utf-8"))
    return found


def least_cases() -> int:
    """How many cases must share everything that is shown of one."""
    found: int = data()["least_cases"]["cases"]
    return found


def is_minor(years: int) -> bool:
    """Nothing of a minor's case is published, whoever consents (未成年人保护法 103: N-13)."""
    return bool(years < data()["adult_from"]["years"])


def county(place: str) -> str:
    """The county of a place's code, as a code of twelve digits."""
    return place[:6].ljust(12, "0")


def born_on(details: dict[str, Any] | None, identity: dict[str, Any] | None) -> date | None:
    """The day of birth as it was sent, or as a resident's number says it."""
    text = (details or {}).get("birth_date")
    number = (identity or {}).get("number") or ""
    resident = (identity or {}).get("type") in ("resident_id", "residence_permit")
    if not text and resident and len(number) == 18:
        text = f"{number[6:10]}-{number[10:12]}-{number[12:14]}"
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
