"""The states of a session."""

from __future__ import annotations

from typing import Final

from mediation.transition import Machine

SESSION: Final = Machine(
    "session",
    {
        ("scheduled", "move"): "scheduled",
        ("scheduled", "cancel"): "cancelled",
        ("scheduled", "hold"): "held",
        ("held", "note"): "held",
        ("scheduled", "note"): "scheduled",
    },
)
FORMS: Final = ("joint", "separate")  # at one table, or one party at a time
MODES: Final = ("in_person", "online", "phone", "shuttle")
