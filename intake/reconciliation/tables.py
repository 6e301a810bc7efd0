"""The tables of reconciliations; run-time SQL is in ``repository.py``."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from intake.tables import METADATA
from services.tables import instant

sa.Table(
    "reconciliation",
    METADATA,
    sa.Column("reconciliation_id", UUID, primary_key=True),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("drop_name", sa.Text, unique=True, comment="connection and name of a dropped file"),
    sa.Column("received_from", sa.DateTime(timezone=True)),
    sa.Column("received_until", sa.DateTime(timezone=True)),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("counts", JSONB, nullable=False),
    instant("recorded_at", default_now=True),
    comment="A sender's list held against ours",
)
sa.Index(
    "ix_reconciliation_organisation",
    METADATA.tables["reconciliation"].c.organisation,
    METADATA.tables["reconciliation"].c.reconciliation_id,
)

sa.Table(
    "reconciliation_difference",
    METADATA,
    sa.Column(
        "reconciliation_id",
        UUID,
        sa.ForeignKey("reconciliation.reconciliation_id"),
        primary_key=True,
    ),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("line", sa.Integer),
    sa.Column("reference", sa.Text, comment="the sender's number, where it is ours or well-formed"),
    sa.Column("referral_id", UUID),
    sa.Column("theirs", sa.Text),
    sa.Column("ours", sa.Text),
    sa.CheckConstraint(
        "kind IN ('unknown_here', 'unknown_there', 'other_state', 'other_place', 'other_content',"
        " 'listed_twice', 'line_broken')",
        name="kind",
    ),
    comment="Where the two lists differ: references, codes and states, no personal data",
)
