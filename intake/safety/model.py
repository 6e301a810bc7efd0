"""Values of the safety screen. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

Answer = Literal["yes", "no", "not_said"]
Consequence = Literal["no_joint_session", "hidden_address", "neutral_messages", "safe_channel"]
CONSEQUENCES: Final[tuple[Consequence, ...]] = (
    "no_joint_session", "hidden_address", "neutral_messages", "safe_channel",
)  # fmt: skip
AlertKind = Literal["threat", "report_duty", "report_civil_affairs", "report_education"]


@dataclass(frozen=True)
class Outcome:
    """What answers change: how the party is handled, and whom they alert (kind, question)."""

    consequences: tuple[str, ...]
    alerts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AnswerFault:
    """What is wrong with answers: which question, which rule."""

    question: str
    rule: str
