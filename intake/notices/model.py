"""On which rule both are told that a case was passed on, and when it may be called sent. Pure."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from services.events import lanes

FILE: Final = Path(__file__).parents[1] / "data" / "notices.json"
SITE: Final = "site value: law gives none"
Told = Literal["both", "party", "receiver", "none"]


@lru_cache(1)
def data() -> dict[str, Any]:
    """The rules of notices."""
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


def citations(lane: str) -> tuple[str, str]:
    """On which rule the party is told, and on which the receiver."""
    return data()["citations"].get(lane, SITE), lanes.lane(lane).window.source


def proved_by(recipient: str, purpose: str) -> str | None:
    """What the notices were about that a message of notification tells the recipient, if any."""
    if purpose in data()["by_message"][recipient]:
        return "turn"
    return "withdrawal" if purpose in data()["by_message"]["of_withdrawal"] else None


def sent(owed: Iterable[Mapping[str, Any]]) -> bool:
    """Whether party and receiver both have proof, or a task of somebody who tells them.

    Somebody who cannot be told is owed nothing (信访工作条例 23).
    """
    return {each["recipient"] for each in owed} == {"party", "receiver"}


def told(owed: Iterable[Mapping[str, Any]]) -> Told:
    """Who has been told, with proof; where there are several parties, all of them."""
    open_ = {each["recipient"] for each in owed if each["state"] == "task"}
    by_open: dict[frozenset[str], Told] = {
        frozenset(): "both",
        frozenset({"party"}): "receiver",
        frozenset({"receiver"}): "party",
    }
    return by_open.get(frozenset(open_), "none")
