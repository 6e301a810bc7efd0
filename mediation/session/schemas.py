"""Bodies and views of sessions and notes."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from mediation.schemas import ActBody, Body, NextActView, Slug
from services.events.envelope import Instant

Side = Literal["applicant", "respondent", "third_party"]


class SessionBody(ActBody):
    """Set a session. `room` is the venue's own code, never an address."""

    form: Literal["joint", "separate"] = "joint"
    mode: Literal["in_person", "online", "phone", "shuttle"] = "in_person"
    room: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = None
    parties: Annotated[list[UUID], Field(min_length=1, max_length=200)]
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class MoveBody(ActBody):
    """Another time, and another room when one is named."""

    starts_at: AwareDatetime
    ends_at: AwareDatetime
    room: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = None


class CancellationBody(ActBody):
    """Call a session off."""

    reason: Slug


class HeldBody(ActBody):
    """A session took place: who came, what was told first (R-09, L-23)."""

    attended: Annotated[list[UUID], Field(max_length=200)]
    attendance: Annotated[
        dict[Side, Annotated[int, Field(ge=0, le=100)]],
        Field(description="How many people of each side were there"),
    ] = Field(default_factory=dict)
    rights_told: bool = False
    identity_checked: bool = False
    false_mediation_warned: bool = False


class SessionView(BaseModel):
    """A session: when, how and who; nothing that was said."""

    session_id: UUID
    mediation_id: UUID
    case_id: UUID
    mediator_id: UUID
    form: str
    mode: str
    room: str | None
    parties: list[UUID]
    starts_at: Instant
    ends_at: Instant
    state: str
    cancel_reason: str | None
    attended: list[UUID]
    absent: list[UUID]
    without_prejudice: bool
    mandate_id: Annotated[
        UUID | None,
        Field(description="Under which mandate it was set, moved or called off last"),
    ] = None
    held_at: Instant | None
    next_act: NextActView | None = None
    version: int


class NoteBody(Body):
    """A caucus note, sealed to its author."""

    text: Annotated[str, Field(min_length=1, max_length=20000)]
    occurred_at: Instant | None = None


class NoteView(BaseModel):
    """A note, for its author alone."""

    note_id: UUID
    session_id: UUID
    author: str
    text: str
    without_prejudice: bool
    recorded_at: Instant


class NotesView(BaseModel):
    """The author's notes of a session."""

    items: list[NoteView]
