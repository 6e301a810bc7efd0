"""What is compared (hashes alone), which pairs were found, what was joined."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from intake.tables import METADATA
from services.tables import instant


def _case(name: str, *, primary_key: bool = False) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(
        name, UUID, sa.ForeignKey("case_file.case_id"), primary_key=primary_key, nullable=False
    )


sa.Table(
    "duplicate_queue",
    METADATA,
    sa.Column("referral_id", UUID, primary_key=True),
    instant("recorded_at", default_now=True),
    comment="Referrals, new or corrected, that are not compared yet",
)

sa.Table(
    "duplicate_trait",
    METADATA,
    _case("case_id", primary_key=True),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("dispute_type", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("claim_fen", sa.BigInteger),
    sa.Column("occurred_on", sa.Date),
    sa.Column("people", JSONB, nullable=False, comment="per party: keyed hashes, role, kind"),
    sa.Column("words", ARRAY(sa.Integer), nullable=False, comment="keyed hashes of text"),
    sa.Column("figures", ARRAY(sa.Integer), nullable=False, comment="keyed hashes of figures"),
    sa.Column("keys", ARRAY(sa.BigInteger), nullable=False, comment="its rows of duplicate_key"),
    sa.Column("guarded", sa.Boolean, nullable=False, comment="nobody outside is told of it"),
    instant("received_at"),
    instant("recorded_at", default_now=True),
    comment="What of a dispute is compared; nothing of it can be read without the key",
)

sa.Table(
    "duplicate_key",
    METADATA,
    sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("case_id", UUID, primary_key=True),
    comment="Which cases have a hash: read from the newest, a bounded number per hash",
)

pair = sa.Table(
    "duplicate_pair",
    METADATA,
    _case("case_id", primary_key=True),
    _case("other_case_id", primary_key=True),
    sa.Column("score", sa.SmallInteger, nullable=False, comment="0 to 100, of the pair of files"),
    sa.Column("reasons", ARRAY(sa.Text), nullable=False),
    sa.Column("same_applicant", sa.Boolean, nullable=False),
    sa.Column("dismissed_by", sa.Text),
    sa.Column("dismissed_by_staff", sa.Text),
    sa.Column("dismissed_because", sa.Text),
    instant("dismissed_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("case_id < other_case_id", name="order"),
    sa.CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    comment="Two files that may be one dispute: suggested to staff, joined by people alone",
)
sa.Index("ix_duplicate_pair_other_case_id", pair.c.other_case_id)

join = sa.Table(
    "case_join",
    METADATA,
    sa.Column("join_id", UUID, primary_key=True),
    _case("surviving_case_id"),
    _case("joined_case_id"),
    sa.Column("ground", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("decided_by_staff", sa.Text, nullable=False),
    instant("joined_at"),
    sa.Column("undone_because", sa.Text),
    sa.Column("undone_by", sa.Text),
    sa.Column("undone_by_staff", sa.Text),
    instant("undone_at", nullable=True),
    instant("outcome_told_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("surviving_case_id <> joined_case_id", name="two"),
    comment="Two files handled as one by a person's decision, until that is undone",
)
sa.Index("ix_case_join_surviving_case_id", join.c.surviving_case_id)
sa.Index(
    "uq_case_join_joined_case_id",
    join.c.joined_case_id,
    unique=True,
    postgresql_where=join.c.undone_at.is_(None),
)
sa.Index("ix_case_join_joined_case_id", join.c.joined_case_id)
