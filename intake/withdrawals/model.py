"""Reasons and lengths of withdrawals: data with their sources. Pure."""

import json
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from services.calendar import Calendars, add

DATA_FILE: Final = Path(__file__).parents[1] / "data" / "withdrawals.json"
# How the case ended when nobody asked that it goes on.
RECALLED: Final = "recalled_by_source"

Reason = Literal[
    "sent_in_error", "decides_itself", "not_to_be_mediated", "request_withdrawn", "sent_elsewhere"
]
State = Literal["waiting", "goes_on", "others_go_on", "ended", "over"]


@lru_cache(1)
def data() -> dict[str, Any]:
    """Reasons and lengths, each with its source."""
    found: dict[str, Any] = json.loads(DATA_FILE.read_text("utf-8"))
    return found


def ends(length: str, start: datetime, calendars: Calendars) -> datetime:
    """When a length of the data that begins then ends, exclusive."""
    found = data()[length]
    return add(start, found["n"], found["unit"], calendars).due_at
