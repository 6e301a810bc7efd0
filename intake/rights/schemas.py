"""What the endpoints of a person's rights take and show."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.parties.schemas import Line, Ref, Sha256
from intake.rights.model import Correctable, Ground, HoldGround, RetentionClass
from intake.schemas import Body, Instant
from services.events.envelope import Code
from services.events.sources import Cited

Purpose = Literal[
    "mediation", "judicial_confirmation", "litigation", "administrative_handling", "legal_aid"
]


class CorrectionWish(Body):
    """Which of its data a party wants put right, to what, and why."""

    member: Correctable
    value: str | dict[str, Any] | None = Field(
        description="As in the referral: a text, or the document for `id`"
    )
    reason: Annotated[Line, Field(max_length=500)]


class CorrectionRequest(BaseModel):
    """A party's request; the value only to the party, and to the sender for a purpose."""

    request_id: UUID
    case_id: UUID
    party_id: UUID
    member: str
    state: str
    occurred_at: Instant
    decided_at: Instant | None
    value: Any = None
    reason: str | None = None
    answer: str | None = None


class CorrectionRequests(BaseModel):
    """The requests of a case or of a party."""

    case_id: UUID
    items: list[CorrectionRequest]


class CorrectionDecision(Body):
    """Accepted, and the referral is corrected; or refused with a reason the party reads."""

    accepted: bool
    reason: Annotated[Line, Field(max_length=500)] | None = None


class SharingBody(Body):
    """Papers that another agency has may be used by this one, for what, until when."""

    agency: Code
    papers: list[Sha256] = Field(min_length=1, max_length=100)
    purpose: Purpose
    valid_until: AwareDatetime | None = Field(None, description="Left out: the longest allowed")
    sensitive: bool = Field(
        False, description="Health, minors, the body: a separate consent (个人信息保护法 29)"
    )


class SharingByDesk(SharingBody):
    """The same, said at a desk or on the phone."""

    party_id: UUID | None = None
    party_ref: Ref | None = None


class SharingConsent(BaseModel):
    """One consent in the ledger."""

    consent_id: UUID
    case_id: UUID
    party_id: UUID
    given_to: str
    agency: str
    papers: list[str]
    purpose: str
    sensitive: bool
    told_by: str
    valid_until: Instant
    withdrawn_at: Instant | None
    occurred_at: Instant
    recorded_at: Instant


class SharingConsents(BaseModel):
    """The ledger of a case, or of a party."""

    case_id: UUID
    items: list[SharingConsent]


class PaperUse(BaseModel):
    """Whether the caller may use a paper now, and on which consent."""

    allowed: bool
    consent_id: UUID | None


class PartyCopy(BaseModel):
    """Everything that is kept of a party here, machine-readable."""

    made_at: str
    case: dict[str, Any]
    party: dict[str, Any]
    representatives: list[dict[str, Any]]
    protection: list[dict[str, Any]]
    corrections: list[dict[str, Any]]
    sharing_consents: list[dict[str, Any]]
    erasures: list[dict[str, Any]]
    retention: dict[str, Any]
    access_log: list[dict[str, Any]]


class RetentionView(Cited):
    """How long the file is kept, by which class, and whether a hold stands."""

    retention_class: str = Field(validation_alias="class")
    zh: str
    en: str
    ground: str
    keep_until: Instant | None
    held: bool


class RetentionBody(Body):
    """Another class for the file, and why (D-16: the body that keeps it sets it)."""

    retention_class: RetentionClass
    ground: Literal["content", "parties", "archive_rule", "corrected"]


class HoldBody(Body):
    """Why nothing of the file may be erased."""

    ground: HoldGround
    occurred_at: AwareDatetime | None = None


class HoldView(BaseModel):
    """A legal hold."""

    hold_id: UUID
    case_id: UUID
    ground: str
    organisation: str | None
    occurred_at: Instant
    recorded_at: Instant
    lifted_at: Instant | None


class ErasureByDesk(Body):
    """Whose data (none named: the whole file), and on what ground."""

    party_id: UUID | None = None
    party_ref: Ref | None = None
    ground: Ground


class ErasureByParty(Body):
    """On what ground a party asks that its data be erased."""

    ground: Ground


class ErasureDecision(Body):
    """A second person approves, or refuses on a ground that the party is told."""

    approved: bool
    refusal: Literal["must_be_kept", "not_their_data", "no_ground"] | None = None


class ServiceShare(BaseModel):
    """What one service removed, and when it said so."""

    removed: int
    at: str


class Staying(Cited):
    """What an erasure left, and on which law."""

    code: str
    zh: str
    en: str


class ErasureView(Cited):
    """An erasure, and once all four services have obeyed, its certificate.

    ``stays``: what was not erased, and why.
    """

    erasure_id: UUID
    case_id: UUID
    case_number: str
    party_id: UUID | None
    ground: str
    state: str
    requested_by: str
    organisation: str | None
    decided_by: str | None
    refusal: str | None
    parties: list[UUID]
    done: dict[str, ServiceShare]
    stays: list[Staying]
    occurred_at: Instant
    decided_at: Instant | None
    certified_at: Instant | None
    sha256: str | None = Field(description="Of the certificate's members, once it is certified")


class Erasures(BaseModel):
    """The erasures of a case or of a party."""

    case_id: UUID
    items: list[ErasureView]
