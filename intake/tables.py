"""Intake's tables. Run-time SQL is in ``repository.py``; this file declares what it stands on."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

from services.tables import instant, new_metadata

METADATA: Final = new_metadata()

_FEN: Final = 10**15


def _text(name: str, *, nullable: bool = False) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.Text, nullable=nullable)


def _case() -> sa.Column:  # type: ignore[type-arg]
    return sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False)


case_file = sa.Table(
    "case_file",
    METADATA,
    sa.Column("case_id", UUID, primary_key=True),
    sa.Column("case_number", sa.Text, nullable=False, unique=True),
    sa.Column("referral_id", UUID, nullable=False, comment="the referral that opened the case"),
    _text("organisation"),
    _text("lane"),
    _text("dispute_type"),
    _text("dispute_subtype", nullable=True),
    _text("place"),
    sa.Column("claim_fen", sa.BigInteger),
    _text("channel"),
    sa.Column("legal_context", JSONB, nullable=False, comment="the allow-list alone"),
    sa.Column("joint_sessions", sa.Boolean, nullable=False),
    sa.Column("requested_within", JSONB),
    _text("preferred_mode", nullable=True),
    sa.Column("state", sa.Text, nullable=False, server_default="open"),
    sa.Column("stage", sa.Text, nullable=False, server_default="registered"),
    _text("outcome", nullable=True),
    sa.Column("episode", sa.Integer, nullable=False, server_default="1"),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
    _text("holder"),
    instant("held_since"),
    instant("occurred_at", nullable=True),
    instant("occurred_until", nullable=True),
    instant("request_made_at", nullable=True),
    instant("received_at"),
    instant("registered_at"),
    instant("closed_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("state IN ('open', 'closed')", name="state"),
    sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="closed_at"),
    sa.CheckConstraint(f"claim_fen BETWEEN 0 AND {_FEN}", name="claim_fen"),
    comment="One dispute's file: number, type, lane, place, round, open or closed, who holds it",
)
sa.Index("ix_case_file_dispute_type", case_file.c.dispute_type, case_file.c.case_id)
# Prefixes of places, in the order of their codes.
sa.Index(
    "ix_case_file_place",
    case_file.c.place,
    case_file.c.case_id,
    postgresql_ops={"place": "text_pattern_ops"},
)

referral = sa.Table(
    "referral",
    METADATA,
    sa.Column("referral_id", UUID, primary_key=True),
    _case(),
    _text("organisation"),
    _text("connection", nullable=True),
    _text("reference"),
    _text("normal_reference"),
    sa.Column("fingerprint", BYTEA, nullable=False, comment="keyed hash of what was sent first"),
    _text("channel"),
    sa.Column("warnings", JSONB, nullable=False),
    _text("kek_id"),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("document", BYTEA, nullable=False, comment="sealed: the referral as it stands"),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.UniqueConstraint("organisation", "normal_reference"),
    comment="One submission of a dispute by one source, under the source's own number",
)
sa.Index("ix_referral_case_id", referral.c.case_id)
sa.Index("ix_referral_organisation_referral_id", referral.c.organisation, referral.c.referral_id)

sa.Table(
    "referral_version",
    METADATA,
    sa.Column("referral_id", UUID, sa.ForeignKey("referral.referral_id"), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("document", BYTEA, nullable=False, comment="sealed: what stood before"),
    sa.Column("changed", ARRAY(sa.Text), nullable=False, comment="pointers, never values"),
    sa.Column("reason", BYTEA, nullable=False, comment="sealed"),
    _text("organisation"),
    _text("acted_by", nullable=True),
    sa.Column("mandate_id", UUID, comment="the mandate it was done under"),
    instant("occurred_at"),
    instant("recorded_at"),
    comment="The history of corrections: one row per replaced version",
)

party = sa.Table(
    "party",
    METADATA,
    sa.Column("party_id", UUID, primary_key=True),
    _case(),
    sa.Column("referral_id", UUID, sa.ForeignKey("referral.referral_id"), nullable=False),
    _text("ref"),
    _text("role"),
    _text("kind"),
    _text("organisation", nullable=True),
    _text("consent"),
    sa.Column("consent_on", sa.Date),
    sa.Column("receipt_version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("receipt_hash", BYTEA, nullable=False),
    instant("left_at", nullable=True),
    _text("left_told_by", nullable=True),
    sa.Column("left_mandate_id", UUID, comment="the mandate its leaving was told under"),
    instant("left_recorded_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.UniqueConstraint("referral_id", "ref"),
    sa.CheckConstraint("role IN ('applicant', 'respondent', 'third_party')", name="role"),
    sa.CheckConstraint("kind IN ('person', 'organisation')", name="kind"),
    sa.CheckConstraint("consent IN ('given', 'unknown', 'refused')", name="consent"),
    comment="A party without a name: what may travel, and the hash of its receipt's secret",
)
sa.Index("ix_party_case_id", party.c.case_id)

vault = sa.Table(
    "party_vault",
    METADATA,
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), primary_key=True),
    _case(),
    _text("source"),
    _text("kek_id"),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("name", BYTEA, nullable=False),
    sa.Column("identity", BYTEA),
    sa.Column("phone", BYTEA),
    sa.Column("address", BYTEA),
    sa.Column("details", BYTEA),
    sa.Column("protected", JSONB, nullable=False),
    sa.Column("identity_blind", BYTEA, comment="keyed hash: equality of identity, nothing else"),
    instant("recorded_at", default_now=True),
    comment="Who the party is: every field sealed under the party's own key; row-level security",
)
sa.Index(
    "ix_party_vault_identity_blind",
    vault.c.identity_blind,
    vault.c.source,
    postgresql_where=vault.c.identity_blind.isnot(None),
)
sa.Index("ix_party_vault_case_id", vault.c.case_id)

sa.Table(
    "document",
    METADATA,
    sa.Column("referral_id", UUID, sa.ForeignKey("referral.referral_id"), primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    _case(),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    _text("media_type"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    sa.CheckConstraint("size_bytes > 0", name="size_bytes"),
    comment="A paper by its hash and size; its name stays in the sealed referral",
)

holding = sa.Table(
    "holding",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _case(),
    sa.Column("episode", sa.Integer, nullable=False),
    _text("holder"),
    _text("ground"),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    comment="Everybody who answered for the case, from when, on what ground",
)
sa.Index("ix_holding_case_id", holding.c.case_id, holding.c.id)

assignment = sa.Table(
    "assignment",
    METADATA,
    sa.Column("assignment_id", UUID, primary_key=True),
    _case(),
    sa.Column("episode", sa.Integer, nullable=False),
    _text("organisation"),
    sa.Column("ordinal", sa.Integer, nullable=False),
    _text("state"),
    _text("ground", nullable=True),
    _text("outcome", nullable=True),
    sa.Column("handover_built", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("succeeded", sa.Boolean),
    sa.Column("failed_end", sa.Boolean, nullable=False, server_default="false"),
    instant("accept_by", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    comment="One organisation's turn, as heard",
)
sa.Index("ix_assignment_case_id", assignment.c.case_id)

deadline = sa.Table(
    "deadline",
    METADATA,
    sa.Column("clock_id", UUID, primary_key=True),
    _case(),
    sa.Column("episode", sa.Integer, nullable=False),
    _text("kind"),
    _text("rule"),
    _text("citation"),
    sa.Column("subject_id", UUID),
    _text("state"),
    instant("due_at"),
    _text("due_on"),
    instant("original_due_at"),
    sa.Column("projected", sa.Boolean, nullable=False),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    comment="The case's clocks, as heard from routing",
)
sa.Index("ix_deadline_case_id", deadline.c.case_id)

timeline = sa.Table(
    "timeline_entry",
    METADATA,
    sa.Column("event_id", UUID, primary_key=True),
    _case(),
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    _text("source"),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    _text("type"),
    sa.Column("data", JSONB, nullable=False),
    instant("occurred_at"),
    instant("recorded_at"),
    instant("heard_at", default_now=True),
    comment="What the other services said happened; intake's own events are in its outbox",
)
sa.Index("ix_timeline_entry_case_id", timeline.c.case_id)

sa.Table(
    "case_serial",
    METADATA,
    sa.Column("county", sa.Text, primary_key=True),
    sa.Column("year", sa.Integer, primary_key=True),
    sa.Column("next_serial", sa.Integer, nullable=False),
    comment="The next free serial per county and year; taken in blocks, outside any case's work",
)

sa.Table(
    "receipt_try",
    METADATA,
    sa.Column("number", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("tries", sa.Integer, nullable=False),
    instant("since"),
    comment="Wrong tries per receipt number and client address, both only as keyed hashes",
)


def sees_case(table: str) -> str:
    """The policy of a table with a person's data: who takes part in its case, or is the party."""
    return f"""
    current_setting('liandiao.organisation', true) = '*'
    OR {table}.party_id::text = current_setting('liandiao.party', true)
    OR EXISTS (SELECT 1 FROM participation p WHERE p.case_id = {table}.case_id
               AND p.organisation = current_setting('liandiao.organisation', true)
               AND p.left_at IS NULL)
"""


_SEES_VAULT: Final = sees_case("party_vault")
EXTRA_DDL: Final = (
    "ALTER TABLE party_vault ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE party_vault FORCE ROW LEVEL SECURITY",
    f"CREATE POLICY party_vault_read ON party_vault FOR SELECT USING ({_SEES_VAULT})",
    f"CREATE POLICY party_vault_change ON party_vault FOR UPDATE USING ({_SEES_VAULT})",
    "CREATE POLICY party_vault_add ON party_vault FOR INSERT WITH CHECK (true)",
)
