"""What the endpoints of records take and show."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.records.model import Ground
from intake.rights.model import HoldGround
from intake.rights.schemas import ErasureDecision, Staying
from intake.schemas import Body, Instant, ReceiptSecret
from services.events.sources import Cited

__all__ = ["ErasureDecision"]


class RecordErasureBody(Body):
    """On what ground what was said is to be erased."""

    ground: Ground


class RecordErasureByReceipt(ReceiptSecret):
    """The secret on the receipt, and on what ground."""

    ground: Literal["purpose_achieved", "consent_withdrawn", "unlawful", "wrong_person"]


class RecordLeft(Cited):
    """What is left of the record: which gate or kind, on which law, where, when."""

    code: str = Field(description="Code of the gate that refused it, or kind of the matter")
    place: str
    received_at: Instant
    recorded_at: Instant


class RecordErasureView(Cited):
    """An erasure of a refusal or a matter; approved, its certificate.

    ``left``: what was not about a person; ``stays``: what was not erased, and why.
    """

    record_erasure_id: UUID
    record_id: UUID
    subject: str
    kind: str
    number: str
    ground: str
    state: str
    requested_by: str
    organisation: str | None
    decided_by: str | None
    refusal: str | None
    left: RecordLeft
    stays: list[Staying]
    occurred_at: Instant
    decided_at: Instant | None
    sha256: str | None = Field(description="Of the certificate's members, once it is erased")


class RecordRetention(Cited):
    """How long the record is kept, by which class, and whether a hold stands."""

    record_id: UUID
    retention_class: str = Field(validation_alias="class")
    zh: str
    en: str
    keep_until: Instant | None = Field(description="None: it has not been answered yet")
    held: bool


class RecordHoldBody(Body):
    """Why nothing of the record may be erased."""

    ground: HoldGround
    occurred_at: AwareDatetime | None = None


class RecordHoldView(BaseModel):
    """A legal hold on a record."""

    record_hold_id: UUID
    record_id: UUID
    ground: str
    organisation: str | None
    occurred_at: Instant
    recorded_at: Instant
    lifted_at: Instant | None
