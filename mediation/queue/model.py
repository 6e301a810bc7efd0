"""What a queue item is and how it moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mediation.transition import Machine

QUEUE: Final = Machine(
    "assignment",
    {
        ("offered", "accept"): "accepted",
        ("offered", "return"): "returned",
        ("offered", "object"): "objected",
        ("offered", "deem_accepted"): "accepted",
        ("offered", "not_confirm"): "ended",
        ("offered", "escalate"): "ended",
        ("offered", "recall"): "ended",
        ("offered", "end"): "ended",
        ("objected", "uphold_objection"): "returned",
        ("objected", "dismiss_objection"): "accepted",
        ("objected", "recall"): "ended",
        ("objected", "end"): "ended",
        ("accepted", "recall"): "ended",
        ("accepted", "complete"): "ended",
        ("accepted", "end"): "ended",
    },
)
OPEN_STATES: Final = ("offered", "objected", "accepted")


@dataclass(frozen=True)
class Offer:
    """The members of an assignment that its rules need."""

    state: str
    accept_by: datetime | None
    returnable: bool
    refusal_kind: str
    on_silence: str
