"""What exports take and show."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from intake.schemas import Body, Instant, Purpose


class ExportBody(Body):
    """Why the file is copied, and as what."""

    purpose: Purpose
    format: Literal["pdf", "bundle"]


class ExportView(BaseModel):
    """A copy of a case file: how far it is, and where to fetch it for some minutes."""

    export_id: UUID
    case_id: UUID
    format: str
    purpose: str
    state: str
    reason: str | None
    progress_percent: int
    size_bytes: int | None
    sha256: str | None
    occurred_at: Instant
    made_at: Instant | None
    expires_at: Instant
    url: str | None = Field(description="For this caller alone, five minutes from this answer")
