"""Bodies and views of applications for judicial confirmation."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from mediation.schemas import ActBody, Slug
from services.events.envelope import Code, Instant


class ApplicationBody(ActBody):
    """The parties apply together; `occurred_at` is when the court got the application."""

    court: Code
    applied_by: Annotated[
        list[UUID],
        Field(min_length=2, max_length=200, description="All who are bound by the agreement"),
    ]


class DecisionBody(ActBody):
    """The court's ruling; `ground` is of the closed list in docs/lanes.md."""

    confirmed: bool
    ground: Slug | None = None


class RemedyView(BaseModel):
    """A way that is open to the parties now."""

    code: str
    zh: str
    en: str
    source: str


class ConfirmationView(BaseModel):
    """An application, and what the court made of it."""

    confirmation_id: UUID
    agreement_id: UUID
    mediation_id: UUID
    case_id: UUID
    organisation: str
    court: str
    applied_by: list[UUID]
    applied_at: Instant
    source: str
    state: str
    decided_at: Instant | None
    ground: str | None
    ground_source: str | None
    remedies: list[RemedyView]
    version: int
