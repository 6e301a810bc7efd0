"""Matters, sealed, and what was done with them."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from intake.tables import METADATA
from services.tables import instant

matter: Final = sa.Table(
    "matter",
    METADATA,
    sa.Column("matter_id", UUID, primary_key=True),
    sa.Column("number", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False, comment="the desk that took it first"),
    sa.Column("connection", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("normal_reference", sa.Text),
    sa.Column("fingerprint", BYTEA, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("holder", sa.Text, comment="who must answer; empty when the directory has nobody"),
    sa.Column("about_agency", sa.Text, comment="head of the line it is about: invisible to it"),
    sa.Column("state", sa.Text, nullable=False, server_default="open"),
    sa.Column("adoption", sa.Text),
    sa.Column("reachable", sa.Boolean, nullable=False, comment="whether anybody can be told"),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id")),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("content", BYTEA, nullable=False, comment="sealed: who, about whom, what"),
    sa.Column("receipt_hash", BYTEA, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
    instant("request_made_at"),
    instant("received_at"),
    instant("due_at"),
    instant("answered_at", nullable=True),
    instant("missed_told_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.UniqueConstraint("organisation", "normal_reference"),
    sa.CheckConstraint(
        "kind IN ('advice', 'suggestion', 'accusation', 'hazard', 'handler_complaint')",
        name="kind",
    ),
    sa.CheckConstraint("state IN ('open', 'answered', 'converted', 'erased')", name="state"),
    sa.CheckConstraint("(state = 'converted') = (case_id IS NOT NULL)", name="converted"),
    sa.CheckConstraint(
        "adoption IN ('adopted', 'partly_adopted', 'not_adopted', 'under_study')", name="adoption"
    ),
    comment="What came in and is no dispute; never a case",
)
sa.Index("ix_matter_organisation_matter_id", matter.c.organisation, matter.c.matter_id)
sa.Index("ix_matter_holder_matter_id", matter.c.holder, matter.c.matter_id)

sa.Index(
    "ix_matter_answer_missed",
    matter.c.due_at,
    postgresql_where=sa.text("state = 'open' AND missed_told_at IS NULL AND holder IS NOT NULL"),
)

step: Final = sa.Table(
    "matter_step",
    METADATA,
    sa.Column("step_id", UUID, primary_key=True),
    sa.Column("matter_id", UUID, sa.ForeignKey("matter.matter_id"), nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("to_organisation", sa.Text),
    sa.Column("ground", sa.Text),
    sa.Column("citation", sa.Text),
    sa.Column("text", BYTEA, comment="sealed under the matter's key"),
    sa.Column("acted_by", sa.Text),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("step IN ('received', 'transferred', 'answered', 'converted')", name="step"),
    comment="What was done with a matter, by whom, on which ground",
)
sa.Index("ix_matter_step_matter_id", step.c.matter_id)
