"""Rounds and findings; a finding is a place and a cause."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from intake.tables import METADATA
from services.tables import instant

round_: Final = sa.Table(
    "round",
    METADATA,
    sa.Column("round_id", UUID, primary_key=True),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("began_on", sa.Date, nullable=False),
    sa.Column("ended_on", sa.Date, nullable=False),
    sa.Column("nothing_found", sa.Boolean, nullable=False, comment="said, not left out"),
    sa.Column("acted_by", sa.Text),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("level IN ('village', 'town', 'county')", name="level"),
    sa.CheckConstraint("began_on <= ended_on", name="ended_on"),
    comment="That a body looked for disputes in a place, and whether it found any",
)
sa.Index("ix_round_organisation_place", round_.c.organisation, round_.c.place, round_.c.ended_on)

finding: Final = sa.Table(
    "finding",
    METADATA,
    sa.Column("finding_id", UUID, primary_key=True),
    sa.Column("round_id", UUID, sa.ForeignKey("round.round_id"), nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id")),
    instant("recorded_at", default_now=True),
    comment="A place and a cause; it names nobody until a party is willing",
)
sa.Index("ix_finding_round_id", finding.c.round_id)
