"""Tables of a person's rights, on intake's metadata."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

from intake.rights.model import CORRECTABLE
from intake.tables import METADATA, sees_case
from services.tables import instant


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _case(*, unique: bool = False) -> "sa.Column[object]":
    return sa.Column(
        "case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False, unique=unique
    )


def _party(*, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), nullable=nullable)


def _who() -> tuple["sa.Column[object]", "sa.Column[object]"]:
    return sa.Column("organisation", sa.Text), sa.Column("acted_by", sa.Text)


request = sa.Table(
    "correction_request",
    METADATA,
    sa.Column("request_id", UUID, primary_key=True),
    _case(),
    _party(),
    sa.Column("member", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("wish", BYTEA, nullable=False, comment="sealed: the value and why"),
    sa.Column("answer", BYTEA, comment="sealed: why it was refused"),
    *_who(),
    instant("decided_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(f"member IN ({_listed(CORRECTABLE)})", name="member"),
    sa.CheckConstraint("state IN ('waiting', 'accepted', 'refused')", name="state"),
    sa.CheckConstraint("(state = 'waiting') = (decided_at IS NULL)", name="decided"),
    comment="A party asks that its data be put right; the sender of the referral decides",
)
sa.Index("ix_correction_request_case_id", request.c.case_id)

consent = sa.Table(
    "sharing_consent",
    METADATA,
    sa.Column("consent_id", UUID, primary_key=True),
    _case(),
    _party(),
    sa.Column("given_to", sa.Text, nullable=False, comment="the agency that has the papers"),
    sa.Column("agency", sa.Text, nullable=False, comment="the agency that may use them"),
    sa.Column("papers", ARRAY(sa.Text), nullable=False, comment="by hash"),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("sensitive", sa.Boolean, nullable=False),
    sa.Column("told_by", sa.Text, nullable=False),
    *_who(),
    instant("valid_until"),
    instant("withdrawn_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("cardinality(papers) > 0", name="papers"),
    sa.CheckConstraint("valid_until > occurred_at", name="valid"),
    sa.CheckConstraint("given_to <> agency", name="another"),
    comment="Ask once: papers that one agency has may be used by another, for a purpose and time",
)
sa.Index("ix_sharing_consent_case_id", consent.c.case_id)

hold = sa.Table(
    "legal_hold",
    METADATA,
    sa.Column("hold_id", UUID, primary_key=True),
    _case(),
    sa.Column("ground", sa.Text, nullable=False),
    *_who(),
    sa.Column("lifted_by", sa.Text),
    instant("lifted_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    comment="While it stands nothing of the file is erased, on any ground",
)
sa.Index("ix_legal_hold_standing", hold.c.case_id, postgresql_where=hold.c.lifted_at.is_(None))

retention = sa.Table(
    "retention",
    METADATA,
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), primary_key=True),
    sa.Column("class", sa.Text, nullable=False),
    sa.Column("ground", sa.Text, nullable=False),
    instant("keep_until", nullable=True),
    sa.Column("proposed", sa.Boolean, nullable=False, server_default="false"),
    *_who(),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("class IN ('short', 'long', 'permanent')", name="class"),
    comment="How long a closed file is kept, by its class; no end: for ever, or open again",
)
sa.Index("ix_retention_due", retention.c.keep_until, postgresql_where=sa.text("NOT proposed"))

erasure = sa.Table(
    "erasure",
    METADATA,
    sa.Column("erasure_id", UUID, primary_key=True),
    _case(),
    _party(nullable=True),
    sa.Column("ground", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="requested"),
    sa.Column("requested_by", sa.Text, nullable=False),
    *_who(),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_acted_by", sa.Text),
    sa.Column("refusal", sa.Text),
    sa.Column("parties", ARRAY(UUID), nullable=False, server_default="{}"),
    sa.Column("done", JSONB, nullable=False, server_default="{}"),
    sa.Column("stays", ARRAY(sa.Text), nullable=False, server_default="{}"),
    instant("decided_at", nullable=True),
    instant("certified_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("state IN ('requested', 'refused', 'erased', 'certified')", name="state"),
    sa.CheckConstraint("requested_by IN ('machine', 'organisation', 'party')", name="requested_by"),
    sa.CheckConstraint("(state = 'requested') = (decided_at IS NULL)", name="decided"),
    sa.CheckConstraint(
        "acted_by IS NULL OR decided_acted_by IS NULL OR state = 'refused'"
        " OR acted_by <> decided_acted_by",
        name="two_people",
    ),
    comment="A person's data, or a file's, were erased: on what ground, by whom, in which service",
)
sa.Index("ix_erasure_case_id", erasure.c.case_id)

limitation = sa.Table(
    "limitation_record",
    METADATA,
    _case(),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), primary_key=True),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("person", BYTEA, nullable=False, comment="sealed: name and document, nothing else"),
    instant("request_made_at", nullable=True),
    instant("ended_at"),
    instant("keep_until"),
    instant("recorded_at", default_now=True),
    comment="That a party asked, and when, stays provable after its file is gone (民法典 195)",
)
sa.Index("ix_limitation_record_keep_until", limitation.c.keep_until)

_SEALED: Final = ("correction_request", "limitation_record")
EXTRA_DDL: Final = tuple(
    statement
    for table in _SEALED
    for statement in (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {table}_read ON {table} FOR SELECT USING ({sees_case(table)})",
        f"CREATE POLICY {table}_change ON {table} FOR UPDATE USING ({sees_case(table)})",
        f"CREATE POLICY {table}_remove ON {table} FOR DELETE USING ({sees_case(table)})",
        f"CREATE POLICY {table}_add ON {table} FOR INSERT WITH CHECK (true)",
    )
)
