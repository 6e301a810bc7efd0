"""What the endpoints of screening and alerts take and show."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.parties.schemas import Line, Ref
from intake.safety.model import Answer
from intake.schemas import Body, Instant


class SafeContact(Body):
    """How to reach the party without danger to it; none: at the desk alone."""

    phone: Annotated[Line, Field(max_length=40)] | None = None
    note: Annotated[Line, Field(max_length=200)] | None = Field(
        None, description="When, and what to say if another answers"
    )


class ScreeningBody(Body):
    """The answers of one party, asked alone; every question of the form has one."""

    party_id: UUID | None = None
    party_ref: Ref | None = None
    form_version: int = Field(ge=1)
    answers: dict[Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")], Answer]
    channel: Literal["phone", "visit", "online", "paper"] = "phone"
    safe_contact: SafeContact | None = None
    confirmed_by: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="The second member of the staff, when protection falls away",
    )
    occurred_at: AwareDatetime | None = None


class OwnScreeningBody(Body):
    """A party's own answers."""

    form_version: int = Field(ge=1)
    answers: dict[Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")], Answer]
    safe_contact: SafeContact | None = None


class ScreeningView(BaseModel):
    """What the answers changed; the answers only to who asked, for a purpose."""

    screening_id: UUID
    case_id: UUID
    party_id: UUID
    party_ref: str
    form_version: int
    channel: str
    organisation: str | None
    consequences: list[str]
    occurred_at: Instant
    recorded_at: Instant
    answers: dict[str, str] | None = None


class Screenings(BaseModel):
    """The screenings of a case."""

    case_id: UUID
    items: list[ScreeningView]


class ScreeningForms(BaseModel):
    """The questions as they are read out, in Chinese and English; use the last version."""

    forms: list[dict[str, Any]]


class AlertView(BaseModel):
    """An alert: whom it asked and what became of it; what was said only for a purpose."""

    alert_id: UUID
    case_id: UUID
    state: str
    raised_by: str
    asked: str | None
    linkage_id: UUID | None
    result: str | None
    dismissal_proposed: bool
    occurred_at: Instant
    recorded_at: Instant
    settled_at: Instant | None


class Alerts(BaseModel):
    """The alerts of a case."""

    case_id: UUID
    items: list[AlertView]


class AlertOpened(AlertView):
    """What the body that was asked needs to help at once."""

    kind: str
    ground: str
    law: str
    what_to_do_zh: str
    what_to_do_en: str
    party: dict[str, Any]


class DismissalBody(Body):
    """Why there is nothing in it."""

    ground: Literal["mistaken_answer", "already_protected", "recorded_twice"]


class DismissalView(BaseModel):
    """Whether it is dismissed, or waits for the second person."""

    alert_id: UUID
    state: str
    dismissal_proposed: bool
