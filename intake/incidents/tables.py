"""Incidents: which cases spring from one happening, and the evidence they share."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from intake.tables import METADATA
from services.tables import instant

incident: Final = sa.Table(
    "incident",
    METADATA,
    sa.Column("incident_id", UUID, primary_key=True),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("accident_number", sa.Text, nullable=False),
    sa.Column("normal_number", sa.Text, nullable=False),
    instant("recorded_at", default_now=True),
    sa.UniqueConstraint("organisation", "normal_number"),
    comment="One accident under the number of the body that deals with it",
)

sa.Table(
    "incident_case",
    METADATA,
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), primary_key=True),
    sa.Column("incident_id", UUID, sa.ForeignKey("incident.incident_id"), nullable=False),
    instant("recorded_at", default_now=True),
    comment="The cases of an incident; none of them knows of the others",
)

sa.Table(
    "incident_document",
    METADATA,
    sa.Column("incident_id", UUID, sa.ForeignKey("incident.incident_id"), primary_key=True),
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    sa.CheckConstraint("size_bytes > 0", name="size_bytes"),
    comment="Evidence of the happening, kept once for all its cases",
)
