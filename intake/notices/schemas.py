"""What notices look like on REST."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

from intake.schemas import Body, Instant


class NoticeView(BaseModel):
    """A notice owed or given; ``organisation`` is who gives it, or who must take note."""

    notice_id: UUID
    subject_kind: str
    subject_id: UUID
    about: str
    recipient: str
    organisation: str
    state: str
    citation: str
    means: str | None
    due_at: Instant | None
    proved_at: Instant | None
    recorded_at: Instant


class ProofBody(Body):
    """How the recipient was told, and when (now, when left out)."""

    means: Literal["handed_over", "read_out", "phone", "post", "electronic", "note_taken"]
    occurred_at: AwareDatetime | None = None
