"""What papers take and show on REST."""

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from intake.schemas import Body, Instant, Purpose
from services.events.envelope import Citation, Code

FormName = Literal["copy", "original", "preview"]


class AttachmentView(BaseModel):
    """A paper; ``name`` only where a purpose was stated, and to whoever gave it."""

    attachment_id: UUID
    case_id: UUID
    state: str
    reason: str | None = Field(description="Why it was refused")
    given_by: str
    given_as: str
    party_id: UUID | None
    mandate_id: UUID | None = Field(description="The mandate it was handed in under")
    name: str | None
    size_bytes: int
    received_bytes: int
    sha256: str | None
    media_type: str | None
    sensitive: str | None
    retention: str
    shared_with: list[str]
    of_referral: bool = Field(description="The referral names this very paper by its hash")
    has_preview: bool
    occurred_at: Instant
    expires_at: Instant
    checked_at: Instant | None
    gone_at: Instant | None
    kept_until: Instant | None


class Attachments(BaseModel):
    """The papers of a case that the caller may see."""

    items: list[AttachmentView]


class DownloadBody(Body):
    """Why a paper is opened, and in which form: a picture's ``copy`` has no metadata."""

    purpose: Purpose
    form: FormName = "copy"


class OwnDownloadBody(Body):
    """In which form a party wants its own paper."""

    form: FormName = "original"


class LinkView(BaseModel):
    """A short link: for this caller and this purpose alone, and for some minutes."""

    url: str
    expires_at: Instant


class ShareBody(Body):
    """Who else may see a paper: by a party's separate consent, or on a legal basis."""

    organisation: Code
    party_id: UUID | None = None
    consented_on: date | None = None
    basis: Citation | None = None


class OwnShareBody(Body):
    """To whom the party lets its paper be shown."""

    organisation: Code


class ShareView(BaseModel):
    """That an organisation may see a paper, why, and until when."""

    attachment_id: UUID
    organisation: str
    basis: str
    party_id: UUID | None
    told_by: str
    consented_on: date | None
    recorded_at: Instant
    ended_at: Instant | None
    ended_mandate_id: UUID | None = Field(description="The mandate it was ended under")
