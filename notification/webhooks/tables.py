"""Webhooks, what waits for them, and every try."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from notification.tables import METADATA
from services.tables import instant

webhook: Final = sa.Table(
    "webhook",
    METADATA,
    sa.Column("webhook_id", UUID, primary_key=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("types", sa.ARRAY(sa.Text), comment="what is sent; null: everything"),
    sa.Column("state", sa.Text, nullable=False, server_default="active"),
    sa.Column("reason", sa.Text, comment="why it is paused or ended"),
    sa.Column("position", sa.BigInteger, nullable=False, comment="taken up as far as this number"),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
    sa.Column("secret", BYTEA, nullable=False, comment="sealed"),
    sa.Column("secret_version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("previous_secret", BYTEA, comment="sealed; signs too until its time is over"),
    instant("previous_secret_until", nullable=True),
    instant("created_at"),
    instant("changed_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("state IN ('active', 'paused', 'ended')", name="state"),
    sa.CheckConstraint("reason IN ('asked', 'failing', 'gone')", name="reason"),
    sa.CheckConstraint("(state = 'active') = (reason IS NULL)", name="why"),
    sa.CheckConstraint(
        "(previous_secret IS NULL) = (previous_secret_until IS NULL)", name="previous"
    ),
    sa.CheckConstraint("position >= 0", name="position"),
    comment="Where a connection wants its feed to be brought; its secrets are sealed",
)
sa.Index("ix_webhook_connection", webhook.c.connection, webhook.c.webhook_id)

waiting: Final = sa.Table(
    "webhook_waiting",
    METADATA,
    sa.Column("webhook_id", UUID, sa.ForeignKey("webhook.webhook_id"), primary_key=True),
    sa.Column("feed_sequence", sa.BigInteger, primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("event_id", UUID, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    instant("next_attempt_at", default_now=True),
    instant("failing_since", nullable=True),
    instant("recorded_at", default_now=True),
    sa.Index("ix_webhook_waiting_case", "webhook_id", "case_id", "feed_sequence"),
    comment="Entries that were taken up for a webhook and not delivered yet; number 0 is a ping",
)

attempt: Final = sa.Table(
    "webhook_attempt",
    METADATA,
    sa.Column("attempt_id", UUID, primary_key=True),
    sa.Column("webhook_id", UUID, sa.ForeignKey("webhook.webhook_id"), nullable=False),
    sa.Column("feed_sequence", sa.BigInteger, nullable=False),
    sa.Column("event_id", UUID, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("outcome IN ('delivered', 'failed', 'gone')", name="outcome"),
    sa.Index("ix_webhook_attempt_webhook", "webhook_id", "attempt_id"),
    sa.Index("ix_webhook_attempt_recorded_at", "recorded_at"),
    comment="Every try for some weeks: when, what came of it; never what the receiver said",
)
