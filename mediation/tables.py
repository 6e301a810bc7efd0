"""What mediation stores; every invariant that the database can hold is a constraint here."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TSTZRANGE, UUID

from services.tables import instant, new_metadata

METADATA: Final = new_metadata()


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def _version() -> "sa.Column[int]":
    return sa.Column("version", sa.Integer, nullable=False, server_default="1")


def _under(name: str = "mandate_id") -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, UUID, comment="the mandate (代办) it was done under")


CASE_COPY: Final = sa.Table(
    "case_copy",
    METADATA,
    sa.Column("case_id", UUID, primary_key=True),
    sa.Column("case_number", sa.Text),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("sector", sa.Text),
    sa.Column("dispute_type", sa.Text, nullable=False),
    sa.Column("dispute_subtype", sa.Text),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("claim_fen", sa.BigInteger),
    sa.Column("source_organisation", sa.Text),
    sa.Column("parties", JSONB, nullable=False),
    sa.Column("joint_sessions", sa.Boolean, nullable=False, server_default="true"),
    instant("lane_since", nullable=True),
    comment="What mediation must know of a case, built from events; holds no name",
)

sa.Table(
    "departure",
    METADATA,
    sa.Column("case_id", UUID, primary_key=True),
    sa.Column("episode", sa.Integer, primary_key=True),
    sa.Column("party_id", UUID, primary_key=True),
    instant("left_at"),
    instant("recorded_at", default_now=True),
    comment="Which parties left a round; the next round asks everybody again",
)

sa.Table(
    "mandate",
    METADATA,
    sa.Column("mandate_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, nullable=False, index=True),
    sa.Column("party_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    instant("given_at"),
    instant("revoked_at", nullable=True),
    instant("recorded_at", default_now=True),
    comment="Who may file for which party (代办), as intake tells it; kept before any offer too",
)


ASSIGNMENT: Final = sa.Table(
    "assignment",
    METADATA,
    sa.Column("assignment_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_copy.case_id"), nullable=False),
    sa.Column("case_number", sa.Text),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("decision_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("source_organisation", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("sector", sa.Text),
    sa.Column("dispute_type", sa.Text, nullable=False),
    sa.Column("dispute_subtype", sa.Text),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("claim_fen", sa.BigInteger),
    sa.Column("returnable", sa.Boolean, nullable=False),
    sa.Column("refusal_kind", sa.Text, nullable=False),
    sa.Column("on_silence", sa.Text, nullable=False),
    sa.Column("preferred_mode", sa.Text),
    sa.Column("documents", JSONB, nullable=False),
    sa.Column("rules", JSONB, nullable=False),
    instant("offered_at"),
    instant("accept_by"),
    instant("received_at"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("basis", sa.Text),
    instant("accepted_at", nullable=True),
    sa.Column("ground", sa.Text),
    sa.Column("note_sealed", BYTEA),
    instant("refused_at", nullable=True),
    sa.Column("end", sa.Text),
    sa.Column("outcome", sa.Text),
    instant("ended_at", nullable=True),
    sa.Column("mediation_id", UUID),
    sa.Column("terms", JSONB, nullable=False),
    instant("due_at"),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _version(),
    sa.UniqueConstraint("case_id", "episode", "ordinal", name="uq_assignment_turn"),
    _one_of("state", "offered", "objected", "accepted", "returned", "ended"),
    _one_of("refusal_kind", "return", "objection"),
    sa.CheckConstraint("(state = 'ended') = (\"end\" IS NOT NULL)", name="ended_says_why"),
    sa.CheckConstraint(
        "state <> 'accepted' OR (mediation_id IS NOT NULL AND accepted_at IS NOT NULL)",
        name="accepted_has_mediation",
    ),
    comment="The queue: one organisation's turn at a case",
)
#: Two holders never exist: one open turn per round of a case.
sa.Index(
    "uq_assignment_open",
    ASSIGNMENT.c.case_id,
    ASSIGNMENT.c.episode,
    unique=True,
    postgresql_where=sa.text("state IN ('offered', 'objected', 'accepted')"),
)
sa.Index(
    "ix_assignment_queue",
    ASSIGNMENT.c.organisation,
    ASSIGNMENT.c.state,
    ASSIGNMENT.c.due_at,
    ASSIGNMENT.c.assignment_id,
)

STAFF: Final = sa.Table(
    "staff",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("staff_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("employment", sa.Text, nullable=False, server_default="full_time"),
    sa.Column("languages", JSONB, nullable=False),
    sa.Column("specialities", JSONB, nullable=False),
    sa.Column("phone", sa.Text),
    sa.Column("open_case_limit", sa.Integer),
    sa.Column("relations", JSONB, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, server_default="true"),
    instant("recorded_at", default_now=True),
    _version(),
    sa.UniqueConstraint("organisation", "staff_id", name="uq_staff_organisation_staff_id"),
    sa.CheckConstraint("open_case_limit IS NULL OR open_case_limit >= 0", name="limit"),
    comment="People who work for an organisation; their names are personal and stay here",
)

MEDIATION: Final = sa.Table(
    "mediation",
    METADATA,
    sa.Column("mediation_id", UUID, primary_key=True),
    sa.Column(
        "assignment_id",
        UUID,
        sa.ForeignKey("assignment.assignment_id"),
        nullable=False,
        unique=True,
    ),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("case_number", sa.Text),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("lanes", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("mediator_id", UUID, sa.ForeignKey("staff.id")),
    sa.Column("outcome", sa.Text),
    sa.Column("succeeded", sa.Boolean),
    sa.Column("remedies", JSONB, nullable=False),
    sa.Column("remedies_told", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("report_sealed", BYTEA),
    instant("started_at"),
    instant("ended_at", nullable=True),
    instant("recorded_at", default_now=True),
    _version(),
    _one_of("state", "open", "agreed", "ended"),
    sa.CheckConstraint("(state = 'open') = (outcome IS NULL)", name="outcome"),
)
sa.Index("ix_mediation_case_id", MEDIATION.c.case_id)
sa.Index("ix_mediation_organisation", MEDIATION.c.organisation, MEDIATION.c.mediation_id)
sa.Index(
    "ix_mediation_mediator_open",
    MEDIATION.c.mediator_id,
    postgresql_where=sa.text("state = 'open'"),
)

sa.Table(
    "appointment",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column(
        "mediation_id", UUID, sa.ForeignKey("mediation.mediation_id"), nullable=False, index=True
    ),
    sa.Column("mediator_id", UUID, sa.ForeignKey("staff.id"), nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("declared", JSONB, nullable=False),
    sa.Column("waived_by", JSONB, nullable=False),
    sa.Column("replaces", UUID),
    sa.Column("reason", sa.Text),
    sa.Column("acted_by", sa.Text),
    _under(),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _one_of("mode", "appointed", "chosen"),
)

PARTY_SHEET: Final = sa.Table(
    "party_sheet",
    METADATA,
    sa.Column("assignment_id", UUID, sa.ForeignKey("assignment.assignment_id"), primary_key=True),
    sa.Column("case_id", UUID, nullable=False, index=True),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("sealed", BYTEA, nullable=False),
    instant("fetched_at"),
    comment="The sealed copy of names and contacts; row-level security by organisation",
)

CONSENT: Final = sa.Table(
    "consent",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("mediation_id", UUID, sa.ForeignKey("mediation.mediation_id"), nullable=False),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("party_id", UUID, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, server_default=""),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("acted_by", sa.Text),
    sa.Column("superseded", sa.Boolean, nullable=False, server_default="false"),
    _under(),
    _under("withdrawn_mandate_id"),
    instant("withdrawn_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _version(),
    _one_of("state", "given", "refused", "withdrawn"),
    _one_of(
        "step",
        "mediate",
        "mediator",
        "open",
        "invite",
        "share",
        "record",
        "e_sign",
        "extend",
        "be_represented",
    ),
)
sa.Index(
    "uq_consent_current",
    *[CONSENT.c[n] for n in ("mediation_id", "party_id", "step", "subject")],
    unique=True,
    postgresql_where=sa.text("NOT superseded"),
)

SESSION: Final = sa.Table(
    "session",
    METADATA,
    sa.Column("session_id", UUID, primary_key=True),
    sa.Column(
        "mediation_id", UUID, sa.ForeignKey("mediation.mediation_id"), nullable=False, index=True
    ),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("mediator_id", UUID, sa.ForeignKey("staff.id"), nullable=False),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("room", sa.Text),
    sa.Column("parties", JSONB, nullable=False),
    instant("starts_at"),
    instant("ends_at"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("cancel_reason", sa.Text),
    sa.Column("attended", JSONB, nullable=False),
    sa.Column("absent", JSONB, nullable=False),
    sa.Column("without_prejudice", sa.Boolean, nullable=False, server_default="true"),
    _under(),
    instant("held_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _version(),
    _one_of("form", "joint", "separate"),
    _one_of("mode", "in_person", "online", "phone", "shuttle"),
    _one_of("state", "scheduled", "held", "cancelled"),
    sa.CheckConstraint("starts_at < ends_at", name="length"),
)

sa.Table(
    "bookable",
    METADATA,
    sa.Column("number", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    comment="A mediator, room or party that can be in one place at a time",
)

sa.Table(
    "booking",
    METADATA,
    sa.Column("session_id", UUID, sa.ForeignKey("session.session_id"), primary_key=True),
    sa.Column("bookable", sa.Integer, sa.ForeignKey("bookable.number"), primary_key=True),
    sa.Column("during", TSTZRANGE, nullable=False),
    comment="No two overlap for one bookable: an exclusion constraint, no btree_gist needed",
)

sa.Table(
    "session_note",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("session_id", UUID, sa.ForeignKey("session.session_id"), nullable=False, index=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("sealed", BYTEA, nullable=False),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    comment="Caucus notes, sealed to their author; row-level security by organisation and author",
)

AGREEMENT: Final = sa.Table(
    "agreement",
    METADATA,
    sa.Column("agreement_id", UUID, primary_key=True),
    sa.Column(
        "mediation_id", UUID, sa.ForeignKey("mediation.mediation_id"), nullable=False, index=True
    ),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("partial", sa.Boolean, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("effect_rule", sa.Text, nullable=False),
    sa.Column("parties", JSONB, nullable=False),
    sa.Column("flags", JSONB, nullable=False),
    sa.Column("text_sha256", sa.Text, nullable=False),
    sa.Column("sealed", BYTEA, nullable=False),
    sa.Column("confirmable", sa.Boolean, nullable=False),
    sa.Column("confirmation_source", sa.Text, nullable=False),
    sa.Column("to_be_confirmed", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    instant("agreed_at", nullable=True),
    instant("effective_at", nullable=True),
    instant("confirm_by", nullable=True),
    sa.Column("confirm_by_on", sa.Text),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _version(),
    _one_of("form", "paper", "online", "oral"),
    _one_of("state", "draft", "effective", "signed", "void"),
    sa.CheckConstraint("(state = 'effective') = (effective_at IS NOT NULL)", name="effect"),
    comment="One frozen text; clauses and text are encrypted, the hash is not",
)
sa.Index(
    "uq_agreement_current",
    AGREEMENT.c.mediation_id,
    unique=True,
    postgresql_where=sa.text("state <> 'void'"),
)

sa.Table(
    "signature",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("agreement_id", UUID, sa.ForeignKey("agreement.agreement_id"), nullable=False),
    sa.Column("signer_kind", sa.Text, nullable=False),
    sa.Column("signer", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("text_sha256", sa.Text, nullable=False),
    sa.Column("proof_sha256", sa.Text),
    sa.Column("acted_by", sa.Text),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.UniqueConstraint("agreement_id", "signer_kind", "signer", name="uq_signature_signer"),
    _one_of("signer_kind", "party", "mediator", "seal"),
)

OBLIGATION: Final = sa.Table(
    "obligation",
    METADATA,
    sa.Column("obligation_id", UUID, primary_key=True),
    sa.Column("agreement_id", UUID, sa.ForeignKey("agreement.agreement_id"), nullable=False),
    sa.Column("mediation_id", UUID, nullable=False),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("debtor", UUID, nullable=False),
    sa.Column("creditor", UUID, nullable=False),
    sa.Column("amount_fen", sa.BigInteger),
    sa.Column("paid_fen", sa.BigInteger, nullable=False, server_default="0"),
    instant("due_at", nullable=True),
    sa.Column("due_on", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("remedies", JSONB, nullable=False),
    instant("performed_at", nullable=True),
    instant("breached_at", nullable=True),
    _under("breached_mandate_id"),
    sa.Column("overdue", sa.Boolean, nullable=False, server_default="false"),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _version(),
    sa.UniqueConstraint("agreement_id", "ordinal", name="uq_obligation_ordinal"),
    _one_of("state", "open", "performed", "breached", "waived", "superseded"),
    sa.CheckConstraint(
        "paid_fen >= 0 AND (amount_fen IS NULL OR paid_fen <= amount_fen)", name="paid"
    ),
    sa.CheckConstraint("debtor <> creditor", name="two_people"),
)
sa.Index("ix_obligation_case_id", OBLIGATION.c.case_id)
sa.Index(
    "ix_obligation_organisation",
    *[OBLIGATION.c[n] for n in ("organisation", "state", "due_at", "obligation_id")],
)

sa.Table(
    "performance",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column(
        "obligation_id",
        UUID,
        sa.ForeignKey("obligation.obligation_id"),
        nullable=False,
        index=True,
    ),
    sa.Column("amount_fen", sa.BigInteger),
    sa.Column("waived", sa.Boolean, nullable=False),
    sa.Column("proved_by", sa.Text, nullable=False),
    sa.Column("proof_sha256", sa.Text),
    sa.Column("acted_by", sa.Text),
    _under(),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _one_of("proved_by", "debtor", "creditor", "organisation"),
)

CONFIRMATION: Final = sa.Table(
    "confirmation",
    METADATA,
    sa.Column("confirmation_id", UUID, primary_key=True),
    sa.Column(
        "agreement_id", UUID, sa.ForeignKey("agreement.agreement_id"), nullable=False, index=True
    ),
    sa.Column("mediation_id", UUID, nullable=False, index=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("court", sa.Text, nullable=False),
    sa.Column("applied_by", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("ground", sa.Text),
    sa.Column("remedies", JSONB, nullable=False),
    sa.Column("acted_by", sa.Text),
    instant("decided_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _version(),
    _one_of("state", "applied", "confirmed", "refused"),
    sa.CheckConstraint("(state = 'applied') = (decided_at IS NULL)", name="decided"),
    sa.CheckConstraint("(state = 'refused') = (ground IS NOT NULL)", name="ground"),
    comment="An application for judicial confirmation and the court's answer",
)
sa.Index(
    "uq_confirmation_lasting",
    CONFIRMATION.c.agreement_id,
    unique=True,
    postgresql_where=sa.text("state <> 'refused'"),
)

sa.Table(
    "hand_over",
    METADATA,
    sa.Column("mediation_id", UUID, sa.ForeignKey("mediation.mediation_id"), primary_key=True),
    sa.Column("case_id", UUID, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("source_organisation", sa.Text, nullable=False),
    sa.Column("package_sealed", BYTEA, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    comment="What goes back to the referrer, built from an allow-list; never rebuilt",
)

#: Row-level security beside the gate: the organisation of the transaction, `*` for the service's
#: own loops and consumers; notes only for their author, for nobody else, ever.
_SCOPED: Final = "current_setting('liandiao.organisation', true)"

EXTRA_DDL: Final = (
    """
    ALTER TABLE booking ADD CONSTRAINT ex_booking_during
    EXCLUDE USING gist (int4range(bookable, bookable, '[]') WITH &&, during WITH &&)
    """,
    "ALTER TABLE party_sheet ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE party_sheet FORCE ROW LEVEL SECURITY",
    f"""
    CREATE POLICY party_sheet_of_organisation ON party_sheet
    USING ({_SCOPED} IN (organisation, '*')) WITH CHECK ({_SCOPED} IN (organisation, '*'))
    """,
    "ALTER TABLE session_note ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE session_note FORCE ROW LEVEL SECURITY",
    f"""
    CREATE POLICY session_note_of_author ON session_note
    USING ({_SCOPED} = organisation AND current_setting('liandiao.staff', true) = author)
    WITH CHECK ({_SCOPED} = organisation AND current_setting('liandiao.staff', true) = author)
    """,
    # An erasure empties notes without being their author: it may write nothing but nothing.
    """
    CREATE POLICY session_note_erasing ON session_note
    USING (case_id::text = current_setting('liandiao.erasing', true)) WITH CHECK (sealed = '')
    """,
)
