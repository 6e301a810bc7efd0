"""What the API of notification answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, PlainSerializer

from services.clock import wire

Instant = Annotated[
    datetime, PlainSerializer(wire, return_type=str, when_used="json"), Field(description="UTC")
]
State = Literal["waiting", "sending", "delivered", "failed", "unknown", "dropped"]


class FeedEntryView(BaseModel):
    """One numbered entry of a connection's feed; it never changes."""

    feed_sequence: str = Field(description="Ten digits, gapless per connection")
    reference: str | None = Field(description="The organisation's own number, where it is a source")
    read_after: str = Field(description="To be sent back as `Case-After`")
    event: dict[str, Any] = Field(description="A CloudEvent in structured JSON")


class FeedView(BaseModel):
    """A stretch of a feed; `next` is the `after` of the next call, also when nothing is new."""

    items: list[FeedEntryView]
    next: str


class MessageView(BaseModel):
    """A message: to whom, about which fact, what became of it; never its text."""

    id: UUID
    case_id: UUID
    case_number: str | None
    episode: int
    recipient_kind: Literal["party", "organisation"]
    party_id: UUID | None
    organisation: str | None
    event_id: UUID = Field(description="The event it tells of")
    event_type: str
    purpose: str = Field(description="Code of the template")
    template_version: int
    statutory: bool
    state: State
    reason: str | None
    attempts: int
    locale: str | None
    occurred_at: Instant = Field(description="When the fact happened")
    recorded_at: Instant = Field(description="When the message was written")
    settled_at: Instant | None = Field(description="When it was delivered, failed or dropped")


class AttemptView(BaseModel):
    """One try and its proof."""

    ordinal: int
    channel: str | None
    outcome: Literal["started", "delivered", "failed", "unknown", "dropped"]
    reason: str | None
    provider_receipt: str | None
    address_hash: str | None = Field(description="Keyed hash of the address that was used")
    address_masked: str | None
    occurred_at: Instant
    ended_at: Instant | None


class MessageWithAttemptsView(MessageView):
    """A message with every try to deliver it."""

    tries: list[AttemptView]


class LegalBasisView(BaseModel):
    """The law a template rests on."""

    zh: str
    en: str
    certainty: str


class TemplateView(BaseModel):
    """A kind of message: which fact, to whom, on which law, in which words."""

    code: str
    version: int
    events: list[str]
    when: dict[str, list[str | bool]]
    to: list[str]
    statutory: bool
    legal_basis: list[LegalBasisView]
    placeholders: list[str]
    texts: dict[str, dict[str, str]]


class TemplatesView(BaseModel):
    """All templates."""

    items: list[TemplateView]
    next: str | None = None
