"""The states of an application for judicial confirmation, and what its rules look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from mediation.transition import Machine

CONFIRMATION: Final = Machine(
    "confirmation",
    {("applied", "confirm"): "confirmed", ("applied", "refuse"): "refused"},
)
#: States after which the same agreement is not applied for again.
LASTING: Final = ("applied", "confirmed")


@dataclass(frozen=True)
class Confirmable:
    """What an agreement is when somebody applies for its confirmation."""

    lane: str
    lane_confirms: bool
    handler_kind: str
    kind_confirms: bool
    flags: frozenset[str]
    state: str
    parties: frozenset[UUID]
    effective_at: datetime | None
    confirm_by: datetime | None
    applied_before: bool
