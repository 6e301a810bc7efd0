"""Codes in words, Chinese and English. Pure."""

import csv
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from services.events import lanes

FILE: Final = Path(__file__).parent / "words.json"
_TYPES: Final = Path(__file__).parent.parent / "data" / "dispute_types.csv"


@lru_cache(1)
def _words() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


@lru_cache(1)
def _dispute_types() -> dict[str, tuple[str, str]]:
    with _TYPES.open(encoding="utf-8", newline="") as file:
        return {row["code"]: (row["zh"], row["en"]) for row in csv.DictReader(file)}


def word(kind: str, code: str | None) -> dict[str, str] | None:
    """The words of a code; the code itself where nobody wrote any, nothing for nothing."""
    if code is None:
        return None
    zh, en = _words()[kind].get(code, (code, code))
    return {"zh": zh, "en": en}


def what(event_type: str) -> dict[str, str]:
    """What an event of this wire type tells, in words."""
    zh, en = _words()["what"].get(short(event_type), (short(event_type),) * 2)
    return {"zh": zh, "en": en}


def short(event_type: str) -> str:
    """``liandiao.case.closed.v1`` as ``case.closed``."""
    return event_type.removeprefix("liandiao.").rsplit(".v", 1)[0]


def outcome(code: str | None) -> dict[str, str] | None:
    """How the case ended."""
    if code is None:
        return None
    found = lanes.END_CODES.get(code)
    return {"zh": found.zh, "en": found.en} if found else word("outcome", code)


def lane(code: str) -> dict[str, str]:
    """The lane's name."""
    found = lanes.lane(code)
    return {"zh": found.zh, "en": found.en}


def dispute_type(code: str) -> dict[str, str]:
    """The kind of dispute."""
    zh, en = _dispute_types().get(code, (code, code))
    return {"zh": zh, "en": en}


def next_step(act: str | None, *, left: bool, closed: bool) -> dict[str, str] | None:
    """The next step in plain words."""
    return word("act", "left" if left else "ended" if closed else act)


def remedies(lane_code: str, outcome_code: str | None) -> list[dict[str, Any]]:
    """What is open to a party: after an end what follows from it, before it what a failure opens.

    Each with its source (``services/events/data/remedies.json``).
    """
    ended = outcome_code if outcome_code and outcome_code in lanes.END_CODES else "no_agreement"
    return [
        {
            "code": remedy.code,
            "zh": remedy.zh,
            "en": remedy.en,
            "citation": remedy.source,
        }
        for remedy in lanes.remedies(lane_code, ended)
    ]


def rights(lane_code: str) -> list[dict[str, Any]]:
    """What a party of a case in this lane may always do, and what a failure would open to it."""
    always = [
        {name: right[name] for name in ("code", "zh", "en", "citation")}
        for right in _words()["rights"]
        if lane_code not in right["not_in"]
    ]
    return always + remedies(lane_code, None)
