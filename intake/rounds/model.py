"""How often a level looks, and when the next round is due. Pure."""

import json
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from services import calendar

FILE: Final = Path(__file__).parents[1] / "data" / "rounds.json"


@lru_cache(1)
def levels() -> dict[str, dict[str, Any]]:
    """The levels that make rounds, each with its interval."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["levels"]
    return found


def due_on(level: str, last_on: date) -> date:
    """The last day of the next round after one that ended on ``last_on``; no rest day moves it."""
    length = levels()[level]
    noon = datetime.combine(last_on, time(12), calendar.SHANGHAI)
    due = calendar.add(noon, length["n"], length["unit"], calendar.shipped(), no_roll=True)
    return calendar.day_of(due.due_at - timedelta(microseconds=1))
