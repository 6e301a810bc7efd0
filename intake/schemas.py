"""What intake takes and shows on REST. The referral itself is read raw; its schema is the JSON
Schema in ``data/referral.schema.json``."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from services.clock import wire
from services.events.sources import Cited

Instant = Annotated[datetime, PlainSerializer(wire, return_type=str, when_used="json")]


class Body(BaseModel):
    """A request's body; unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class Finding(BaseModel):
    """Where, which rule, in words."""

    pointer: str
    code: str
    message: str


class ReceiptView(BaseModel):
    """What one party needs to follow the case; hand it to the party and keep no copy."""

    party_id: UUID
    ref: str
    role: str
    number: str
    secret: str


class SubmittedView(BaseModel):
    """The answer to a referral; a repeat answers the same."""

    referral_id: UUID
    case_id: UUID
    case_number: str
    organisation: str
    reference: str
    received_at: Instant
    request_made_at: Instant | None
    registered_at: Instant
    receipts: list[ReceiptView]
    warnings: list[Finding]


class ReceiptsView(BaseModel):
    """The receipts of a referral's parties."""

    case_number: str
    receipts: list[ReceiptView]


class CorrectionView(BaseModel):
    """One correction in a referral's history."""

    version: int
    changed: list[str]
    organisation: str
    acted_by: str | None
    mandate_id: UUID | None = None
    occurred_at: Instant
    recorded_at: Instant


class ReferralView(BaseModel):
    """A referral of the caller; ``document`` only when a purpose was stated."""

    referral_id: UUID
    case_id: UUID
    case_number: str
    organisation: str
    reference: str
    channel: str
    lane: str
    place: str
    state: str
    stage: str
    version: int
    received_at: Instant
    request_made_at: Instant | None
    recorded_at: Instant
    warnings: list[Finding]
    corrections: list[CorrectionView] = []
    document: dict[str, Any] | None = None


class Change(Body):
    """One member's new value; the pointer is that of the referral (RFC 6901)."""

    pointer: str = Field(max_length=200)
    value: Any = None


class CorrectionBody(Body):
    """A correction with its reason; the version that stood is kept."""

    reason: str = Field(min_length=1, max_length=500)
    changes: list[Change] = Field(min_length=1, max_length=100)
    occurred_at: AwareDatetime | None = None


class CorrectedView(BaseModel):
    """The outcome of a correction."""

    referral_id: UUID
    case_id: UUID
    case_number: str
    version: int
    changed: list[str]
    mandate_id: UUID | None = None
    warnings: list[Finding]


class CaseItem(BaseModel):
    """A case in a list."""

    case_id: UUID
    case_number: str
    reference: str | None
    organisation: str
    lane: str
    dispute_type: str
    dispute_subtype: str | None
    place: str
    claim_fen: int | None
    state: str
    stage: str
    outcome: str | None
    episode: int
    holder: str
    held_since: Instant
    received_at: Instant
    registered_at: Instant
    closed_at: Instant | None


class HolderView(BaseModel):
    """Who answers or answered for the case, from when, on what ground."""

    organisation: str
    ground: str
    episode: int
    since: Instant


class DeadlineView(Cited):
    """A clock of the case; ``due_at`` is exclusive."""

    clock_id: UUID
    kind: str
    rule: str
    state: str
    due_at: Instant
    due_on: str
    original_due_at: Instant
    projected: bool


class AssignmentView(BaseModel):
    """One organisation's turn."""

    assignment_id: UUID
    episode: int
    organisation: str
    ordinal: int
    state: str
    ground: str | None
    outcome: str | None
    accept_by: Instant | None
    occurred_at: Instant


class PartyView(BaseModel):
    """A party without a name."""

    party_id: UUID
    ref: str
    role: str
    kind: str
    organisation: str | None
    consent: str
    left_at: Instant | None


class DocumentView(BaseModel):
    """A paper that a referral names, by its hash; ``arrived_at`` once it was handed in itself."""

    sha256: str
    size_bytes: int
    media_type: str
    arrived_at: Instant | None = None


class NextAct(BaseModel):
    """What is to happen next, by whom."""

    act: str
    by: str | None


class JoinedView(BaseModel):
    """A join that stands: this case goes on for both, or rests while the other goes on."""

    join_id: UUID
    ground: str
    joined_at: Instant
    surviving_case_id: UUID
    surviving_case_number: str
    joined_case_id: UUID
    joined_case_number: str


class WithdrawnView(BaseModel):
    """A source that took its referral back, and whether the case goes on."""

    withdrawal_id: UUID
    referral_id: UUID
    episode: int
    organisation: str
    reason: str
    state: str
    ask_by: Instant | None
    occurred_at: Instant
    settled_at: Instant | None


class CaseView(CaseItem):
    """The case file: where it is, who holds it, until when, on what rule, and what is next."""

    referral_id: UUID
    channel: str
    joint_sessions: bool
    civil_loss_only: bool = Field(
        description="The police have not classified it yet: only civil loss may be mediated"
    )
    occurred_at: Instant | None
    occurred_until: Instant | None
    request_made_at: Instant | None
    version: int
    your_roles: list[str]
    due: DeadlineView | None
    next_act: NextAct | None
    holders: list[HolderView]
    parties: list[PartyView]
    documents: list[DocumentView]
    assignments: list[AssignmentView]
    deadlines: list[DeadlineView]
    joins: list[JoinedView]
    withdrawals: list[WithdrawnView] = []
    as_of: dict[str, int]
    parked: bool


class TimelineEntry(BaseModel):
    """What happened, when, when it was recorded, by which organisation."""

    event_id: UUID
    source: str
    sequence: int
    episode: int
    type: str
    organisation: str | None
    occurred_at: Instant
    recorded_at: Instant
    data: dict[str, Any]


class Purpose(StrEnum):
    """Why somebody opens the file; every opening is logged and shown to the party."""

    HANDLING = "handling"
    CONTACT = "contact"
    VERIFICATION = "verification"
    SERVICE_OF_NOTICE = "service_of_notice"
    CONFLICT_CHECK = "conflict_check"
    CORRECTION = "correction"
    SUPERVISION = "supervision"
    ACCESS_REQUEST = "access_request"


class KnownParty(PartyView):
    """A party as far as the caller's part in the case lets it be known."""

    name: str | None = None
    identity: dict[str, Any] | None = None
    phone: str | None = None
    address: str | None = None
    protected: dict[str, bool] = {}
    details: dict[str, Any] | None = None
    consent_on: date | None = None
    representatives: list[dict[str, Any]] = Field(
        [], description="Who acts for the party now; who was revoked is not here"
    )
    safe_only: bool = Field(
        False, description="Reach it by this phone alone, else at the desk: others watch the rest"
    )
    safe_note: str | None = Field(None, description="When and how it is safe, in its own words")


class PartiesView(BaseModel):
    """The parties of a case, opened for a purpose."""

    case_id: UUID
    purpose: Purpose
    parties: list[KnownParty]


class AccessEntry(BaseModel):
    """One opening of the file, or one act that was done under a party's mandate."""

    at: Instant
    what: str
    organisation: str | None
    purpose: str | None
    mandate_id: UUID | None = None
    client: str | None = None
    acted_by: str | None = None
    chain_number: int | None = None


class LaneChangeBody(Body):
    """Another lane, and why."""

    to_lane: str = Field(pattern=r"^[a-z_]{1,32}$")
    ground: Literal[
        "reclassified",
        "filed",
        "withdrawn_from_filing",
        "enforcement",
        "review",
        "corrected",
        "other",
    ]
    changed_at: AwareDatetime | None = None


class CaseMoved(BaseModel):
    """The case after a transition."""

    case_id: UUID
    case_number: str
    lane: str
    state: str
    stage: str
    episode: int
    version: int


class ReopeningBody(Body):
    """Why the case begins another round."""

    ground: Literal[
        "set_aside_by_court", "agreement_breached", "new_facts", "party_returns", "closed_in_error"
    ]


class DepartureBody(Body):
    """Which party leaves, when it said so (now, when left out), and how it told the organisation.

    A reason is neither asked nor taken.
    """

    party_id: UUID | None = None
    party_ref: str | None = Field(None, pattern=r"^p[1-9][0-9]{0,3}$")
    left_at: AwareDatetime | None = None
    way: Literal["desk", "phone", "letter", "message"] = "desk"


class DepartureView(BaseModel):
    """That a party left: the first record, for ever."""

    case_id: UUID
    party_id: UUID
    left_at: Instant
    told_by: str
    mandate_id: UUID | None = None
    recorded_at: Instant


class ReceiptSecret(Body):
    """The secret on the receipt, as typed."""

    secret: str = Field(min_length=1, max_length=64)


class TokenView(BaseModel):
    """A party's token."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int


class SealingKeys(BaseModel):
    """Public keys (JWK) that commands are sealed to; use the last."""

    keys: list[dict[str, Any]]


class OrganisationName(BaseModel):
    """An organisation as the directory names it."""

    code: str
    name_zh: str | None = None
    name_en: str | None = None
    phone: str | None = None


class PartyStep(BaseModel):
    """One step of the case as a party sees it."""

    what: str
    occurred_at: Instant
    organisation: OrganisationName | None


class PartyHolder(BaseModel):
    """Somebody who answered for the case, and on what ground."""

    organisation: OrganisationName
    ground: str
    since: Instant


class PartyCase(BaseModel):
    """Where the case is, who holds it, until when, on what rule."""

    case_number: str
    your_role: str
    you_left_at: Instant | None
    joined_into: str | None = Field(description="The number of the case it is handled in")
    ask_by: Instant | None = Field(
        default=None,
        description="The sender took it back: ask before this instant that it goes on, or it ends",
    )
    state: str
    stage: str
    outcome: str | None
    lane: str
    dispute_type: str
    request_made_at: Instant | None
    received_at: Instant
    registered_at: Instant
    closed_at: Instant | None
    holder: PartyHolder
    due: DeadlineView | None
    next_act: NextAct | None
    earlier_holders: list[PartyHolder]
    steps: list[PartyStep]


class PartySheetView(BaseModel):
    """The sealed copy a handling organisation needs to work (当事人单)."""

    case_id: UUID
    case_number: str
    assignment_id: UUID
    organisation: str
    title: str
    summary: str
    claims: list[str]
    version: int
    parties: list[KnownParty]


class ContactView(BaseModel):
    """How to reach a party, at the moment of sending."""

    party_id: UUID
    case_id: UUID
    case_number: str
    role: str
    kind: str
    organisation: str | None
    name: str | None
    phone: str | None
    address: str | None
    protected: dict[str, bool]
    languages: list[str]
    needs: list[str]
    neutral: bool = Field(
        description="Write without name, matter and place: a safety screen says so"
    )
    representative: dict[str, Any] | None
    representatives: list[dict[str, Any]] = []
    safe_only: bool = Field(
        False, description="Reach it by this phone alone, else at the desk: others watch the rest"
    )
    safe_note: str | None = Field(None, description="When and how it is safe, in its own words")
    left_at: Instant | None


class Contacts(BaseModel):
    """How to reach the parties that were asked for."""

    items: list[ContactView]
