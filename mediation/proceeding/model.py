"""The states of a mediation and of a consent."""

from __future__ import annotations

from typing import Final

from mediation.transition import Machine

MEDIATION: Final = Machine(
    "mediation",
    {
        ("open", "appoint"): "open",
        ("open", "consent"): "open",
        ("open", "schedule"): "open",
        ("open", "draft"): "open",
        ("open", "agree"): "agreed",
        ("open", "end"): "ended",
        ("open", "leave"): "ended",
        ("agreed", "complete"): "ended",
        ("agreed", "consent"): "agreed",
        ("agreed", "leave"): "agreed",
    },
)

#: Who consents to what; silence is never consent (人民调解法 23, R-06).
STEPS: Final = (
    "mediate",
    "mediator",
    "open",
    "invite",
    "share",
    "record",
    "e_sign",
    "extend",
    "be_represented",
)
CONSENT_STATES: Final = ("given", "refused", "withdrawn")
ORAL_CHANNELS: Final = ("counter", "phone", "video", "message", "letter", "online", "session")
