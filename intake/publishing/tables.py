"""Consents to a public version of a case, on intake's metadata."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from intake.tables import METADATA
from services.tables import instant

consent: Final = sa.Table(
    "publication_consent",
    METADATA,
    sa.Column("consent_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), nullable=False),
    sa.Column("told_by", sa.Text, nullable=False, comment="party, or the code of the desk"),
    sa.Column("acted_by", sa.Text),
    instant("withdrawn_at", nullable=True),
    sa.Column("withdrawn_told_by", sa.Text),
    sa.Column("withdrawn_mandate_id", UUID, comment="the mandate it was taken back under"),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "(withdrawn_at IS NULL) = (withdrawn_told_by IS NULL)", name="withdrawn_told_by"
    ),
    comment="A party lets coarse facts of its case be shown to everybody, until it says otherwise",
)
sa.Index("ix_publication_consent_case_id", consent.c.case_id)
sa.Index(
    "ix_publication_consent_standing",
    consent.c.party_id,
    unique=True,
    postgresql_where=consent.c.withdrawn_at.is_(None),
)
