"""Facts of the last hop: what reached whom, by which channel, never what it said."""

from uuid import UUID

from services.events.envelope import Event, Instant, Part, Slug, event

OWNER = "notification"


@event(
    "liandiao.assignment.offer-numbered-late.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="an offer came into its organisation's feed on a later day than it was made",
    source="design.md 4",
)
class OfferNumberedLate(Event):
    """An organisation could read an offer only on a later day (Asia/Shanghai) than it was made."""

    assignment_id: UUID
    organisation: str
    offered_at: Instant
    numbered_at: Instant


class Delivery(Part):
    """One message that its recipient's channel took; ids and codes, never what it said."""

    message_id: UUID
    purpose: Slug
    recipient_kind: Slug
    party_id: UUID | None = None
    organisation: str | None = None
    channel: Slug
    delivered_at: Instant


@event(
    "liandiao.message.delivered.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="channels took messages about one fact; each message is told once",
    source="design.md 3.6",
)
class MessageDelivered(Event):
    """Messages about one fact reached their recipients' channels.

    Those that are recorded together are told together: a fact told to both parties at once is one
    event, not two.
    """

    about: UUID
    deliveries: tuple[Delivery, ...]


@event(
    "liandiao.message.failed.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="the last attempt failed; somebody must act",
    source="design.md 3.6",
)
class MessageFailed(Event):
    """A message could not be delivered."""

    message_id: UUID
    about: UUID
    purpose: Slug
    recipient_kind: Slug
    party_id: UUID | None = None
    organisation: str | None = None
    channel: Slug
    reason: Slug
    failed_at: Instant
