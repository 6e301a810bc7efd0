"""Receipts of representatives."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from intake.tables import METADATA
from services.tables import instant

representative = sa.Table(
    "representative_receipt",
    METADATA,
    sa.Column("receipt_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), nullable=False),
    sa.Column(
        "representation_id",
        UUID,
        sa.ForeignKey("representation.representation_id"),
        nullable=False,
        comment="the authority it rests on; it ends with it",
    ),
    sa.Column("secret_hash", BYTEA, nullable=False),
    sa.Column("issued_by", sa.Text, nullable=False, comment="an organisation's code, or party"),
    instant("issued_at"),
    instant("ends_at", nullable=True),
    instant("revoked_at", nullable=True),
    sa.Column("revoked_by", sa.Text),
    sa.Column("revoked_mandate_id", UUID, comment="the mandate it was ended under"),
    sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked"),
    comment="A representative's own receipt: opens what its party may see, until it is revoked",
)
sa.Index("ix_representative_receipt_representation_id", representative.c.representation_id)
sa.Index("ix_representative_receipt_party_id", representative.c.party_id)
sa.Index("ix_representative_receipt_case_id", representative.c.case_id)
