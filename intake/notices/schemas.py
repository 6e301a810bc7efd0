"""What notices look like on REST."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.schemas import Body, Instant


class NoticeView(BaseModel):
    """A notice owed or given; ``organisation`` is who gives it, or who must take note."""

    notice_id: UUID
    subject_kind: str
    subject_id: UUID
    case_id: UUID | None = None
    party_id: UUID | None = None
    to_organisation: str | None = Field(None, description="Where it went")
    about: str
    recipient: str
    organisation: str
    state: str
    citation: str
    means: str | None
    due_at: Instant | None
    proved_at: Instant | None
    recorded_at: Instant


class PassedOn(BaseModel):
    """One turn: to whom the case was offered until when, and who has been told of it.

    ``sent``: party and receiver both have proof, or a task for somebody to tell them.
    """

    assignment_id: UUID
    organisation: str
    ordinal: int
    state: str
    accept_by: Instant | None
    sent: bool
    told: Literal["both", "party", "receiver", "none"]
    notices: list[NoticeView]


class ProofBody(Body):
    """How the recipient was told, and when (now, when left out)."""

    means: Literal["handed_over", "read_out", "phone", "post", "electronic", "note_taken"]
    occurred_at: AwareDatetime | None = None
