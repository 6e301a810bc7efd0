"""The tables of notification: the copy of a case, feeds and their numbers, messages and proof."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.tables import instant, new_metadata

METADATA: Final = new_metadata()

case_copy = sa.Table(
    "case_copy",
    METADATA,
    sa.Column("case_id", UUID, primary_key=True),
    sa.Column("case_number", sa.Text),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("closed", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("lane", sa.Text),
    sa.Column("dispute_type", sa.Text),
    sa.Column("place", sa.Text),
    sa.Column("first_receiver", sa.Text),
    sa.Column("holder", sa.Text),
    sa.Column("parties", JSONB, nullable=False),
    sa.Column("facts", JSONB, nullable=False),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "state IN ('registered', 'offered', 'accepted', 'in_mediation', 'agreed', 'failed',"
        " 'undecided', 'closed')",
        name="state",
    ),
    comment="What is known of a case from events; no name is in it",
)

case_reference = sa.Table(
    "case_reference",
    METADATA,
    sa.Column("case_id", UUID, primary_key=True),
    sa.Column("organisation", sa.Text, primary_key=True),
    sa.Column("referral_id", UUID, primary_key=True),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    instant("left_at", nullable=True),
    comment="Each source's own number; makes it a hearer before routing says so",
)

standing_fact = sa.Table(
    "standing_fact",
    METADATA,
    sa.Column("case_id", UUID, primary_key=True),
    sa.Column("fact", sa.Text, primary_key=True),
    sa.Column("event_id", UUID, nullable=False),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    comment="The latest word on each fact; a message whose event is not the latest is not sent",
)

feed_entry = sa.Table(
    "feed_entry",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("feed_sequence", sa.BigInteger, nullable=False),
    sa.Column("event_id", UUID, nullable=False),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("reference", sa.Text),
    sa.Column("read_after", sa.Text, nullable=False),
    sa.Column("event", JSONB, nullable=False),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.UniqueConstraint("connection", "event_id", name="uq_feed_entry_connection_event_id"),
    sa.UniqueConstraint("connection", "feed_sequence", name="uq_feed_entry_connection_sequence"),
    sa.CheckConstraint("feed_sequence >= 1", name="feed_sequence"),
    comment="What each connection hears, numbered without gaps; never changed",
)

feed_head = sa.Table(
    "feed_head",
    METADATA,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("feed_sequence", sa.BigInteger, nullable=False),
    comment="The last number of each feed; locked from the giving of numbers to the commit",
)

feed_delivery = sa.Table(
    "feed_delivery",
    METADATA,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("feed_sequence", sa.BigInteger, nullable=False),
    sa.Column("partition", sa.Integer),
    sa.Column("offset", sa.BigInteger),
    sa.Column("generation", sa.Integer, nullable=False, server_default="1"),
    instant("stamped_at", default_now=True),
    comment="How far the Kafka topic of a connection has acknowledged its feed",
)

message = sa.Table(
    "message",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("recipient_kind", sa.Text, nullable=False),
    sa.Column("party_id", UUID),
    sa.Column("organisation", sa.Text),
    sa.Column("event_id", UUID, nullable=False),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("template_version", sa.Integer, nullable=False),
    sa.Column("statutory", sa.Boolean, nullable=False),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("facts", JSONB, nullable=False),
    sa.Column("stands", sa.ARRAY(sa.Text), nullable=False),
    instant("valid_until", nullable=True),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    instant("next_attempt_at"),
    instant("claimed_at", nullable=True),
    sa.Column("locale", sa.Text),
    sa.Column("correlation_id", sa.Text),
    sa.Column("traceparent", sa.Text),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    instant("settled_at", nullable=True),
    sa.UniqueConstraint("recipient", "event_id", "purpose", name="uq_message_once_per_fact"),
    sa.CheckConstraint(
        "state IN ('waiting', 'sending', 'delivered', 'failed', 'unknown', 'dropped')",
        name="state",
    ),
    sa.CheckConstraint(
        "(recipient_kind = 'party') = (party_id IS NOT NULL)"
        " AND (recipient_kind = 'organisation') = (organisation IS NOT NULL)",
        name="recipient",
    ),
    comment="One message per recipient, fact and purpose; ids and codes only, no name, no address",
)
sa.Index(
    "ix_message_due",
    message.c.next_attempt_at,
    postgresql_where=sa.text("state IN ('waiting', 'sending')"),
)
sa.Index("ix_message_case_id", message.c.case_id, message.c.id)

attempt = sa.Table(
    "attempt",
    METADATA,
    sa.Column("message_id", UUID, sa.ForeignKey("message.id"), primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("channel", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False, server_default="started"),
    sa.Column("reason", sa.Text),
    sa.Column("provider_receipt", sa.Text),
    sa.Column("address_hash", sa.Text),
    sa.Column("address_masked", sa.Text),
    sa.Column("neutral", sa.Boolean),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    instant("ended_at", nullable=True),
    sa.CheckConstraint(
        "outcome IN ('started', 'delivered', 'failed', 'unknown', 'dropped')", name="outcome"
    ),
    comment="Every try and its proof: channel, when, the provider's receipt, a hash of the address",
)

EXTRA_DDL: Final = (
    """
    CREATE FUNCTION feed_entry_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'a feed entry is never changed nor removed';
    END $$
    """,
    """
    CREATE TRIGGER feed_entry_final BEFORE UPDATE OR DELETE ON feed_entry
    FOR EACH ROW EXECUTE FUNCTION feed_entry_is_final()
    """,
)
