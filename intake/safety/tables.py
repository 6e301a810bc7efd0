"""Tables of screening and alerts, on intake's metadata."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, UUID

from intake.safety.model import CONSEQUENCES
from intake.tables import METADATA, sees_case
from services.tables import instant

screening = sa.Table(
    "screening",
    METADATA,
    sa.Column("screening_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), nullable=False),
    sa.Column("form_version", sa.Integer, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("organisation", sa.Text, comment="who asked; null: the party answered by itself"),
    sa.Column("acted_by", sa.Text),
    sa.Column("confirmed_by", sa.Text),
    sa.Column("consequences", ARRAY(sa.Text), nullable=False),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("answers", BYTEA, nullable=False, comment="sealed"),
    sa.Column("safe_contact", BYTEA, comment="sealed: how to reach the party without danger"),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "consequences <@ ARRAY[" + ", ".join(f"'{c}'" for c in CONSEQUENCES) + "]::text[]",
        name="consequences",
    ),
    comment="Private answers of one party, sealed; what they change is told, they never are",
)
sa.Index(
    "ix_screening_party_id",
    screening.c.party_id,
    screening.c.recorded_at,
    screening.c.screening_id,
)
sa.Index("ix_screening_case_id", screening.c.case_id)

alert = sa.Table(
    "alert",
    METADATA,
    sa.Column("alert_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("raised_by", sa.Text, nullable=False),
    sa.Column("acted_by", sa.Text),
    sa.Column("asked", sa.Text),
    sa.Column("linkage_id", UUID, unique=True),
    sa.Column("result", sa.Text),
    sa.Column("dismissal_ground", sa.Text),
    sa.Column("proposed_by", sa.Text),
    sa.Column("dismissed_by", sa.Text),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("ground", BYTEA, nullable=False, comment="sealed: what was said, and the law"),
    instant("settled_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "kind IN ('threat', 'report_duty', 'report_civil_affairs', 'report_education')",
        name="kind",
    ),
    sa.CheckConstraint("state IN ('raised', 'asked', 'answered', 'dismissed')", name="state"),
    sa.CheckConstraint(
        "state <> 'dismissed' OR (proposed_by IS NOT NULL AND dismissed_by <> proposed_by)",
        name="two_people",
    ),
    comment="The police are asked to protect somebody, at once; two people dismiss it, never one",
)
sa.Index("ix_alert_case_id", alert.c.case_id)
sa.Index(
    "uq_alert_open",
    alert.c.party_id,
    alert.c.kind,
    unique=True,
    postgresql_where=sa.text("state IN ('raised', 'asked')"),
)
sa.Index("ix_alert_waiting", alert.c.recorded_at, postgresql_where=sa.text("state = 'raised'"))

EXTRA_DDL: Final = tuple(
    statement
    for table in ("screening", "alert")
    for statement in (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {table}_read ON {table} FOR SELECT USING ({sees_case(table)})",
        f"CREATE POLICY {table}_change ON {table} FOR UPDATE USING ({sees_case(table)})",
        f"CREATE POLICY {table}_add ON {table} FOR INSERT WITH CHECK (true)",
    )
)
