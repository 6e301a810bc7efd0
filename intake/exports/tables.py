"""Exports of case files."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from intake.tables import METADATA
from services.tables import instant

export = sa.Table(
    "case_export",
    METADATA,
    sa.Column("export_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("client", sa.Text, nullable=False, comment="who asked; nobody else may fetch it"),
    sa.Column("acted_by", sa.Text),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("reason", sa.Text),
    sa.Column("progress_percent", sa.Integer, nullable=False, server_default="0"),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, comment="empty once it is over: its bytes open nowhere"),
    sa.Column("file_name", sa.Text),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("sha256", sa.Text),
    instant("occurred_at"),
    instant("made_at", nullable=True),
    instant("expires_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("format IN ('pdf', 'bundle')", name="format"),
    sa.CheckConstraint("state IN ('waiting', 'ready', 'failed', 'over')", name="state"),
    sa.CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress_percent"),
    comment="A copy of a case file for one organisation and purpose; sealed, kept for a day",
)
sa.Index("ix_case_export_case_id", export.c.case_id)
sa.Index(
    "ix_case_export_expires_at",
    export.c.expires_at,
    postgresql_where=export.c.wrapped_key.isnot(None),
)
