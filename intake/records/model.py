"""A record: a refusal or a matter that never became a case. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

Subject = Literal["refusal", "matter"]
SUBJECTS: Final[tuple[str, ...]] = ("refusal", "matter")
Ground = Literal["term_ended", "purpose_achieved", "consent_withdrawn", "unlawful", "wrong_person"]


@dataclass(frozen=True)
class Record:
    """What is known of a record without opening it; ``sealed``: key, wrapped key and content."""

    record_id: UUID
    subject: str
    kind: str
    number: str
    ground: str | None
    citation: str
    place: str
    open: bool
    of_a_case: bool
    received_at: datetime
    recorded_at: datetime
    request_made_at: datetime | None
    sealed: tuple[str, bytes, bytes]

    @property
    def empty(self) -> bool:
        """Whether it was erased."""
        return not self.sealed[1]
