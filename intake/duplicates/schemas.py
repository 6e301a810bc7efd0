"""What the duplicates' endpoints take and show."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from intake.schemas import Body, Instant


class Reason(BaseModel):
    """What speaks for one dispute, in words for staff."""

    code: str
    zh: str
    en: str


class DuplicateView(BaseModel):
    """Another file that may be about the same dispute; suggested, never joined by machine."""

    case_id: UUID
    case_number: str
    organisation: str
    lane: str
    dispute_type: str
    place: str
    state: str
    received_at: Instant
    joined_into: UUID | None
    ground: Literal["repeat", "alike"]
    score: int = Field(ge=0, le=100, description="Of the pair of files, never of a person")
    reasons: list[Reason]


class HandledElsewhere(BaseModel):
    """Somebody may have the matter already; nothing else is told."""

    organisation: str
    zh: str
    en: str


class DuplicatesView(BaseModel):
    """Files that the caller may see, likeliest first, and notices about those it may not."""

    case_id: UUID
    compared: bool = Field(description="False: the referral waits to be compared")
    shown_from: int
    items: list[DuplicateView]
    already_handled: list[HandledElsewhere]


class DismissalBody(Body):
    """Which pair is no duplicate, and why."""

    other_case_id: UUID
    reason: Literal["other_dispute", "other_people", "linked_matter", "same_incident", "no_sign"]


class DismissalView(BaseModel):
    """The pair is no longer suggested."""

    case_id: UUID
    other_case_id: UUID
    reason: str


class JoinBody(Body):
    """The file that is to rest while this one goes on, and why."""

    other_case_id: UUID
    ground: Literal["same_dispute", "repeat"]


class JoinView(BaseModel):
    """Two files handled as one."""

    join_id: UUID
    surviving_case_id: UUID
    joined_case_id: UUID
    ground: str
    joined_at: Instant


class UndoingBody(Body):
    """Why the two files are two disputes after all."""

    reason: Literal["other_dispute", "other_people", "party_objects", "joined_in_error"]


class UndoingView(BaseModel):
    """The joined file goes on by itself again."""

    join_id: UUID
    surviving_case_id: UUID
    joined_case_id: UUID
    reason: str
