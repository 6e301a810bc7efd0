"""The tables of routing: directory, cases, decisions, turns, linkages, settlements, clocks."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

from services.tables import instant, new_metadata

METADATA: Final = new_metadata()


def _directory_table(name: str, key: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column(key, sa.Text, primary_key=True),
        *columns,
        sa.Column("value", JSONB, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        instant("occurred_at", default_now=True),
        instant("recorded_at", default_now=True),
    )


organisation = _directory_table(
    "organisation",
    "code",
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("uscc", sa.Text, unique=True),
    sa.CheckConstraint("code ~ '^[0-9]{6}-[A-Z]{2}-[0-9]{4}$'", name="code"),
)
place = _directory_table(
    "place",
    "code",
    sa.Column("parent", sa.Text),
    sa.Column("name", sa.Text, nullable=False),
    sa.CheckConstraint("code ~ '^[0-9]{12}([0-9]{3})?$'", name="code"),
)
sa.Index("ix_place_parent", place.c.parent)
calendar = _directory_table("calendar", "year")
connection = _directory_table(
    "connection",
    "name",
    sa.CheckConstraint("name ~ '^[a-z][a-z0-9-]{2,31}$'", name="name"),
)
client = sa.Table(
    "client",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("secret_sha256", BYTEA, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("organisations", ARRAY(sa.Text), nullable=False),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, server_default="true"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("octet_length(secret_sha256) = 32", name="secret_sha256"),
    comment="Machine clients; a secret is random and long, so its SHA-256 is enough",
)

routed_case = sa.Table(
    "routed_case",
    METADATA,
    sa.Column("case_id", UUID, primary_key=True),
    sa.Column("case_number", sa.Text),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("referral_id", UUID, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("dispute_type", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("facts", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False, server_default="0"),
    sa.Column("returns", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_offer", JSONB),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.CheckConstraint(
        "state IN ('offered', 'held', 'undecided', 'ending', 'closed')", name="state"
    ),
    comment="What routing knows of a case: facts without people, and who has a turn",
)
sa.Index(
    "ix_routed_case_undecided", routed_case.c.place, postgresql_where=sa.text("state = 'undecided'")
)

sa.Table(
    "referral_heard",
    METADATA,
    sa.Column("referral_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    instant("occurred_at"),
    instant("recorded_at"),
    comment="Each source's own number of a case, for its participation",
)

decision = sa.Table(
    "decision",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("rule_set", sa.Text, nullable=False),
    sa.Column("inputs", JSONB, nullable=False),
    sa.Column("verdicts", JSONB, nullable=False),
    sa.Column("order_fired", ARRAY(sa.Text), nullable=False),
    sa.Column("chosen", sa.Text),
    sa.Column("runners_up", ARRAY(sa.Text), nullable=False),
    sa.Column("reasons_zh", ARRAY(sa.Text), nullable=False),
    sa.Column("reasons_en", ARRAY(sa.Text), nullable=False),
    sa.Column("undecided_reason", sa.Text),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("coordinator", sa.Text),
    sa.Column("ground", sa.Text),
    sa.Column("decided_by", sa.Text),
    sa.Column("overrides", UUID),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.CheckConstraint("kind IN ('automatic', 'override', 'settlement')", name="kind"),
    comment="Why a case went where it went; never changed",
)
sa.Index("ix_decision_case_id", decision.c.case_id, decision.c.id)

OPEN_TURN: Final = "state IN ('offered', 'accepted', 'objected', 'recalling')"
assignment = sa.Table(
    "assignment",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("decision_id", UUID, nullable=False),
    sa.Column("participation_id", UUID, nullable=False),
    sa.Column("mediation_id", UUID),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("returnable", sa.Boolean, nullable=False),
    sa.Column("refusal_kind", sa.Text, nullable=False),
    sa.Column("on_silence", sa.Text, nullable=False),
    instant("accept_by"),
    instant("offered_at"),
    instant("answered_at", nullable=True),
    instant("ended_at", nullable=True),
    sa.Column("ended_as", sa.Text),
    sa.Column("ground", sa.Text),
    instant("agreed_at", nullable=True),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.UniqueConstraint("case_id", "episode", "ordinal", name="uq_assignment_ordinal"),
    sa.CheckConstraint(
        "state IN ('offered', 'accepted', 'objected', 'recalling', 'returned', 'ended')",
        name="state",
    ),
    comment="One organisation's turn at a case",
)
sa.Index(
    "uq_assignment_one_open_turn",
    assignment.c.case_id,
    unique=True,
    postgresql_where=sa.text(OPEN_TURN),
)
sa.Index(
    "ix_assignment_open_of_organisation",
    assignment.c.organisation,
    postgresql_where=sa.text(OPEN_TURN),
)
sa.Index("ix_assignment_organisation", assignment.c.organisation, assignment.c.id)

conference = sa.Table(
    "conference",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("convened_by", sa.Text, nullable=False),
    sa.Column("members", ARRAY(sa.Text), nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("lead", sa.Text),
    sa.Column("ground", sa.Text),
    sa.Column("dissent", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("binding", sa.Boolean, nullable=False),
    sa.Column("decision_id", UUID),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.CheckConstraint("stage IN ('agreement', 'superior', 'conference')", name="stage"),
    sa.CheckConstraint("outcome IN ('lead_named', 'no_agreement')", name="outcome"),
    sa.CheckConstraint("(outcome = 'lead_named') = (lead IS NOT NULL)", name="lead"),
    comment="How a contested case was settled: agreement, superior, conference, in this order",
)
sa.Index("ix_conference_case_id", conference.c.case_id, conference.c.id)

linkage = sa.Table(
    "linkage",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("participation_id", UUID, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("items", ARRAY(sa.Text), nullable=False),
    sa.Column("legal_basis", sa.Text, nullable=False),
    instant("answer_by"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("ground", sa.Text),
    sa.Column("documents", JSONB, nullable=False, server_default="[]"),
    instant("requested_at"),
    instant("answered_at", nullable=True),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.CheckConstraint("kind IN ('evidence')", name="kind"),
    sa.CheckConstraint("state IN ('requested', 'answered', 'cancelled')", name="state"),
    sa.CheckConstraint("asked <> asked_by", name="asked"),
    comment="One agency asked to do one thing on a case by a date",
)
sa.Index("ix_linkage_case_id", linkage.c.case_id, linkage.c.id)
sa.Index("ix_linkage_asked", linkage.c.asked, linkage.c.id)

clock = sa.Table(
    "clock",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("rule_id", sa.Text, nullable=False),
    sa.Column("citation", sa.Text, nullable=False),
    sa.Column("subject_id", UUID),
    sa.Column("n", sa.Integer),
    sa.Column("unit", sa.Text, nullable=False),
    instant("fixed_due_at", nullable=True),
    sa.Column("extend_by", sa.Text, nullable=False, server_default=""),
    sa.Column("exclude", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("extensions", JSONB, nullable=False, server_default="[]"),
    sa.Column("on_expiry", sa.Text, nullable=False),
    instant("started_at"),
    instant("original_due_at"),
    instant("due_at"),
    sa.Column("due_on", sa.Date, nullable=False),
    sa.Column("projected", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("warnings", JSONB, nullable=False, server_default="[]"),
    instant("warn_at", nullable=True),
    instant("fired_at", nullable=True),
    instant("stopped_at", nullable=True),
    sa.Column("stop_reason", sa.Text),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.CheckConstraint(
        "kind IN ('acceptance', 'term', 'confirmation', 'ruling', 'obligation', 'linkage',"
        " 'settlement')",
        name="kind",
    ),
    sa.CheckConstraint("state IN ('running', 'paused', 'fired', 'stopped')", name="state"),
    sa.CheckConstraint("n IS NOT NULL OR fixed_due_at IS NOT NULL", name="length"),
    comment="One running legal or local deadline; the original due instant stays visible",
)
sa.Index("ix_clock_due", clock.c.due_at, postgresql_where=sa.text("state = 'running'"))
sa.Index(
    "ix_clock_warn",
    clock.c.warn_at,
    postgresql_where=sa.text("state = 'running' AND warn_at IS NOT NULL"),
)
sa.Index("ix_clock_case_id", clock.c.case_id, clock.c.id)
sa.Index(
    "ix_clock_projected", clock.c.id, postgresql_where=sa.text("projected AND state = 'running'")
)

sa.Table(
    "clock_pause",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("clock_id", UUID, sa.ForeignKey("clock.id"), nullable=False, index=True),
    sa.Column("ground", sa.Text, nullable=False),
    instant("paused_at"),
    instant("resumed_at", nullable=True),
    instant("expected_until", nullable=True),
    sa.Column("paused_by", sa.Text),
    instant("occurred_at"),
    instant("recorded_at"),
    sa.CheckConstraint("resumed_at IS NULL OR resumed_at >= paused_at", name="order"),
    comment="When a clock stood still, half-open, and on which ground of its rule",
)

# Decisions and settlements explain what was done to people: they are never rewritten.
EXTRA_DDL: Final[tuple[str, ...]] = (
    """
    CREATE FUNCTION decision_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'decisions and settlements are append-only';
    END $$
    """,
    """
    CREATE TRIGGER decision_append_only BEFORE UPDATE OR DELETE ON decision
    FOR EACH ROW EXECUTE FUNCTION decision_is_append_only()
    """,
    """
    CREATE TRIGGER conference_append_only BEFORE UPDATE OR DELETE ON conference
    FOR EACH ROW EXECUTE FUNCTION decision_is_append_only()
    """,
)
