"""How long records are kept, holds on them, and their erasure; on intake's metadata."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, UUID

from intake.records.model import SUBJECTS
from intake.tables import METADATA
from services.tables import instant

_SUBJECT: Final = ", ".join(f"'{each}'" for each in SUBJECTS)


def _of(*, key: bool = False) -> tuple["sa.Column[object]", "sa.Column[object]"]:
    return (
        sa.Column(
            "record_id", UUID, primary_key=key, nullable=False, comment="a refusal or a matter"
        ),
        sa.Column("subject", sa.Text, nullable=False),
    )


def _known() -> sa.CheckConstraint:
    return sa.CheckConstraint(f"subject IN ({_SUBJECT})", name="subject")


def _who() -> tuple["sa.Column[object]", "sa.Column[object]"]:
    return sa.Column("organisation", sa.Text), sa.Column("acted_by", sa.Text)


retention = sa.Table(
    "record_retention",
    METADATA,
    *_of(key=True),
    sa.Column("class", sa.Text, nullable=False),
    instant("keep_until", nullable=True),
    sa.Column("proposed", sa.Boolean, nullable=False, server_default="false"),
    instant("recorded_at", default_now=True),
    _known(),
    comment="How long a refusal or an answered matter is kept that never became a case",
)
sa.Index(
    "ix_record_retention_due", retention.c.keep_until, postgresql_where=sa.text("NOT proposed")
)

hold = sa.Table(
    "record_hold",
    METADATA,
    sa.Column("record_hold_id", UUID, primary_key=True),
    *_of(),
    sa.Column("ground", sa.Text, nullable=False),
    *_who(),
    sa.Column("lifted_by", sa.Text),
    instant("lifted_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _known(),
    comment="While it stands the record is not erased, on any ground",
)
sa.Index("ix_record_hold_standing", hold.c.record_id, postgresql_where=hold.c.lifted_at.is_(None))

erasure = sa.Table(
    "record_erasure",
    METADATA,
    sa.Column("record_erasure_id", UUID, primary_key=True),
    *_of(),
    sa.Column("ground", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="requested"),
    sa.Column("requested_by", sa.Text, nullable=False),
    *_who(),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_acted_by", sa.Text),
    sa.Column("refusal", sa.Text),
    sa.Column("stays", ARRAY(sa.Text), nullable=False, server_default="{}"),
    instant("decided_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    _known(),
    sa.CheckConstraint("state IN ('requested', 'refused', 'erased')", name="state"),
    sa.CheckConstraint(
        "requested_by IN ('machine', 'organisation', 'person')", name="requested_by"
    ),
    sa.CheckConstraint("(state = 'requested') = (decided_at IS NULL)", name="decided"),
    sa.CheckConstraint(
        "acted_by IS NULL OR decided_acted_by IS NULL OR state = 'refused'"
        " OR acted_by <> decided_acted_by",
        name="two_people",
    ),
    comment="What was said in a refused referral or a matter was erased: on what ground, by whom",
)
sa.Index("ix_record_erasure_record_id", erasure.c.record_id)

limitation = sa.Table(
    "record_limitation",
    METADATA,
    *_of(key=True),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("people", BYTEA, nullable=False, comment="sealed: names and documents, nothing else"),
    instant("request_made_at"),
    instant("ended_at"),
    instant("keep_until"),
    instant("recorded_at", default_now=True),
    _known(),
    comment="That somebody asked, and when, stays provable after its record is gone (民法典 195)",
)
sa.Index("ix_record_limitation_keep_until", limitation.c.keep_until)
