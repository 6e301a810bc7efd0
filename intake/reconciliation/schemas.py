"""What the reconciliation endpoints show."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from intake.schemas import Instant

Kind = Literal[
    "unknown_here", "unknown_there", "other_state", "other_place", "other_content", "listed_twice",
    "line_broken",
]  # fmt: skip


class ReconciliationView(BaseModel):
    """A list held against ours; ``counts``: differences by kind, none where all agrees."""

    reconciliation_id: UUID
    organisation: str
    received_from: Instant | None
    received_until: Instant | None
    lines: int
    counts: dict[Kind, int]
    recorded_at: Instant


class SuggestionView(BaseModel):
    """How to mend it."""

    zh: str
    en: str


class DifferenceView(BaseModel):
    """One difference; ``line`` is that of the list, null for what is not on it."""

    number: int
    kind: Kind
    line: int | None
    reference: str | None
    referral_id: UUID | None
    case_number: str | None
    theirs: str | None
    ours: str | None
    suggestion: SuggestionView
