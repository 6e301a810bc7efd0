"""The states of an obligation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mediation.transition import Machine

OBLIGATION: Final = Machine(
    "obligation",
    {
        ("open", "pay_part"): "open",
        ("open", "perform"): "performed",
        ("open", "waive"): "waived",
        ("open", "break"): "breached",
        ("breached", "pay_part"): "breached",
        ("breached", "perform"): "performed",
        ("breached", "waive"): "waived",
    },
)
#: States in which an obligation asks nothing more.
ENDED: Final = ("performed", "waived", "superseded")
KINDS: Final = ("pay", "deliver", "do", "refrain", "apologise", "vacate", "other")
PROVERS: Final = ("debtor", "creditor", "organisation")


@dataclass(frozen=True)
class Progress:
    """How far one obligation has come."""

    state: str
    amount_fen: int | None
    paid_fen: int
    due_at: datetime | None
