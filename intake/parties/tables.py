"""Tables of who acts for whom, on intake's metadata."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, UUID

from intake.parties.model import SCOPES
from intake.tables import METADATA, sees_case
from services.tables import instant

representation = sa.Table(
    "representation",
    METADATA,
    sa.Column("representation_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), nullable=False),
    sa.Column("representative_party_id", UUID, sa.ForeignKey("party.party_id")),
    sa.Column("authority", sa.Text, nullable=False),
    sa.Column("relation", sa.Text, nullable=False),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False),
    sa.Column("paper_sha256", sa.Text, comment="the power of attorney, by its hash"),
    sa.Column("told_by", sa.Text, nullable=False),
    sa.Column("organisation", sa.Text),
    sa.Column("acted_by", sa.Text),
    instant("valid_from"),
    instant("valid_until", nullable=True),
    instant("revoked_at", nullable=True),
    sa.Column("revoked_by", sa.Text),
    instant("revoked_recorded_at", nullable=True),
    sa.Column("revoked_mandate_id", UUID, comment="the mandate it was ended under"),
    sa.Column("kek_id", sa.Text),
    sa.Column("wrapped_key", BYTEA),
    sa.Column("person", BYTEA, comment="sealed: name, document and phone; null when a party acts"),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "authority IN ('special', 'general', 'statutory', 'elected')", name="authority"
    ),
    sa.CheckConstraint("told_by IN ('referral', 'organisation', 'party')", name="told_by"),
    sa.CheckConstraint(
        "cardinality(scopes) > 0 AND scopes <@ ARRAY["
        + ", ".join(f"'{scope}'" for scope in SCOPES)
        + "]::text[]",
        name="scopes",
    ),
    sa.CheckConstraint("paper_sha256 ~ '^[0-9a-f]{64}$'", name="paper_sha256"),
    sa.CheckConstraint("representative_party_id <> party_id", name="another"),
    sa.CheckConstraint(
        "(representative_party_id IS NULL) = (person IS NOT NULL)", name="one_representative"
    ),
    sa.CheckConstraint("valid_until > valid_from", name="valid"),
    sa.CheckConstraint(
        "(revoked_at IS NULL) = (revoked_by IS NULL)"
        " AND (revoked_at IS NULL) = (revoked_recorded_at IS NULL)",
        name="revoked",
    ),
    comment="Who acts for a party, with which authority, until when; revoked at once",
)
sa.Index("ix_representation_case_id", representation.c.case_id)
sa.Index("ix_representation_party_id", representation.c.party_id)

sa.Table(
    "split_case",
    METADATA,
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False, index=True),
    sa.Column("own_case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False, unique=True),
    instant("recorded_at", default_now=True),
    sa.Column("mandate_id", UUID, comment="the mandate it was asked under"),
    comment="A party that did not want to be spoken for went on in a case of its own",
)

EXTRA_DDL: Final = (
    "ALTER TABLE representation ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE representation FORCE ROW LEVEL SECURITY",
    "CREATE POLICY representation_read ON representation FOR SELECT"
    f" USING ({sees_case('representation')})",
    "CREATE POLICY representation_change ON representation FOR UPDATE"
    f" USING ({sees_case('representation')})",
    "CREATE POLICY representation_add ON representation FOR INSERT WITH CHECK (true)",
)
