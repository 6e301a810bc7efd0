"""What public versions and their consents look like on REST."""

from uuid import UUID

from pydantic import BaseModel, Field

from intake.schemas import Body, Instant


class PublicationBody(Body):
    """The party that says so: by its id, or by the referral's own ref."""

    party_id: UUID | None = None
    party_ref: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")


class PublicationConsent(BaseModel):
    """That a party lets coarse facts of its case be shown, since when and until when."""

    consent_id: UUID
    case_id: UUID
    party_id: UUID
    told_by: str = Field(description="`party`, or the desk that was told")
    occurred_at: Instant
    withdrawn_at: Instant | None
    withdrawn_mandate_id: UUID | None = Field(description="The mandate it was taken back under")


class Coded(BaseModel):
    """A code with its words."""

    code: str
    zh: str
    en: str


class County(BaseModel):
    """The county, never a smaller place."""

    code: str
    name: str | None


class PublicCase(BaseModel):
    """Coarse facts that at least so many cases share; nothing of any person."""

    number: str
    dispute_type: Coded
    county: County
    registered_month: str
    closed_month: str
    outcome: Coded
    cases_alike_at_least: int
