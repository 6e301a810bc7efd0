"""What receipts and tracking take and show."""

from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

from intake.schemas import Body, DeadlineView, Instant, OrganisationName, PartyCase, ReceiptView
from services.events.sources import Cited


class Words(BaseModel):
    """The same in both languages."""

    zh: str
    en: str


class DocumentSeen(StrEnum):
    """By which paper a desk knew who stood before it (its number is never taken down)."""

    RESIDENT_ID_CARD = "resident_id_card"
    TEMPORARY_ID_CARD = "temporary_id_card"
    HOUSEHOLD_REGISTER = "household_register"
    RESIDENCE_PERMIT = "residence_permit"
    HK_MACAU_TAIWAN_PERMIT = "hk_macau_taiwan_permit"
    PASSPORT = "passport"
    BUSINESS_LICENCE = "business_licence"
    MANDATE = "mandate"
    KNOWN_BY_VILLAGE = "known_by_village"


class LostReceipt(Body):
    """Whose receipt was lost, by the referral's own ref, and the paper that the desk saw."""

    party_ref: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")
    document_seen: DocumentSeen


class DeskReceipt(Body):
    """The party that stands at the desk, and the paper that the desk saw."""

    party_id: UUID
    document_seen: DocumentSeen


class RepresentativeOwn(Body):
    """On whose authority; may be left out where only one is in force."""

    representation_id: UUID | None = None


class RepresentativeAtDesk(DeskReceipt):
    """The party, the paper the desk saw, and on whose authority the representative acts."""

    representation_id: UUID | None = None


class Remedy(Cited):
    """A way that is open to the party."""

    code: str
    zh: str
    en: str


class PastHolder(BaseModel):
    """Somebody who answered for the case: from when until when, and why it began."""

    organisation: OrganisationName
    since: Instant
    until: Instant | None
    ground: str
    words: Words


class TrackedStep(BaseModel):
    """One step of the case, in words; ``ground`` is why a body gave the case back."""

    what: str
    words: Words
    occurred_at: Instant
    organisation: OrganisationName | None
    ground: Words | None = None


class TrackedDue(DeadlineView):
    """The clock that ends next, in words; ``due_on`` is the last day."""

    words: Words


class TrackedWords(BaseModel):
    """The file's codes in both languages."""

    your_role: Words
    stage: Words
    outcome: Words | None
    lane: Words
    dispute_type: Words


class TrackedCase(PartyCase):
    """Where the case is, in words: who holds it and who did, until when on what rule, what next."""

    words: TrackedWords
    next_step: Words | None
    remedies: list[Remedy]
    holders: list[PastHolder]
    due: TrackedDue | None
    steps: list[TrackedStep]  # type: ignore[assignment]  # narrower than its parent's


class ReceiptPaper(BaseModel):
    """A receipt as it is handed over; ``secret`` only to the desk that hands it to the party."""

    number: str
    party_id: UUID
    secret: str | None
    role: Words
    lane: Words
    received_by: OrganisationName
    request_made_at: Instant | None
    received_at: Instant
    registered_at: Instant
    follow_url: str
    rights: list[Remedy]


class RepresentativeReceipt(ReceiptView):
    """A representative's own number and secret; shown once."""

    receipt_id: UUID


class RepresentativeView(BaseModel):
    """That somebody follows the case for the party, since when and until when."""

    receipt_id: UUID
    party_id: UUID
    representation_id: UUID
    issued_at: Instant
    ends_at: Instant | None = None
    issued_by: str = Field(description="The organisation's code, or `party`")
    revoked_at: Instant | None
    revoked_mandate_id: UUID | None = Field(description="The mandate it was ended under")


class Representatives(BaseModel):
    """Receipts that were given to a party's representatives."""

    items: list[RepresentativeView]


class Unlocked(BaseModel):
    """How many locks were opened."""

    case_id: UUID
    unlocked: int
