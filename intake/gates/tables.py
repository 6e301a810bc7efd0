"""Refusals on record, and what another desk said of them."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

from intake.tables import METADATA
from services.tables import instant

refusal: Final = sa.Table(
    "refusal",
    METADATA,
    sa.Column("refusal_id", UUID, primary_key=True),
    sa.Column("number", sa.Text, nullable=False, unique=True),
    sa.Column("organisation", sa.Text, nullable=False, comment="who sent the referral"),
    sa.Column("connection", sa.Text),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("normal_reference", sa.Text, nullable=False),
    sa.Column("fingerprint", BYTEA, nullable=False, comment="keyed hash of what was sent"),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("ground", sa.Text, nullable=False, comment="code of the gate"),
    sa.Column("citation", sa.Text, nullable=False),
    sa.Column("go_to", JSONB, nullable=False),
    sa.Column("until", JSONB, nullable=False),
    sa.Column("reviewers", ARRAY(sa.Text), nullable=False, comment="other desks that may review"),
    sa.Column("state", sa.Text, nullable=False, server_default="standing"),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("document", BYTEA, nullable=False, comment="sealed: the referral as it was sent"),
    sa.Column("receipt_hash", BYTEA, nullable=False),
    instant("request_made_at", nullable=True),
    instant("received_at"),
    instant("due_at"),
    instant("recorded_at", default_now=True),
    sa.UniqueConstraint("organisation", "normal_reference", "fingerprint"),
    sa.CheckConstraint("state IN ('standing', 'upheld', 'overturned')", name="state"),
    comment="A referral that law keeps from mediation: ground, where to go, until when, receipt",
)
sa.Index("ix_refusal_organisation_refusal_id", refusal.c.organisation, refusal.c.refusal_id)
sa.Index("ix_refusal_reviewers", refusal.c.reviewers, postgresql_using="gin")

sa.Table(
    "refusal_review",
    METADATA,
    sa.Column("review_id", UUID, primary_key=True),
    sa.Column("refusal_id", UUID, sa.ForeignKey("refusal.refusal_id"), nullable=False, unique=True),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", BYTEA, nullable=False, comment="sealed under the refusal's key"),
    sa.Column("acted_by", sa.Text),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("outcome IN ('upheld', 'overturned')", name="outcome"),
    comment="What another desk decided about a refusal, once",
)
