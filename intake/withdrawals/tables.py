"""Withdrawals of referrals, on intake's metadata."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from intake.tables import METADATA
from services.tables import instant

withdrawal: Final = sa.Table(
    "withdrawal",
    METADATA,
    sa.Column("withdrawal_id", UUID, primary_key=True),
    sa.Column("referral_id", UUID, sa.ForeignKey("referral.referral_id"), nullable=False),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("acted_by", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    instant("ask_by", nullable=True),
    sa.Column("asked_by_party", UUID, sa.ForeignKey("party.party_id")),
    sa.Column("told_by", sa.Text, comment="party, or the code of the desk that was told"),
    sa.Column("told_acted_by", sa.Text),
    instant("asked_at", nullable=True),
    sa.Column("asked_mandate_id", UUID, comment="the mandate it was asked under"),
    instant("settled_at", nullable=True),
    instant("occurred_at"),
    instant("recorded_at", default_now=True),
    sa.UniqueConstraint("referral_id", "episode"),
    sa.CheckConstraint(
        "state IN ('waiting', 'goes_on', 'others_go_on', 'ended', 'over')", name="state"
    ),
    sa.CheckConstraint("(state = 'others_go_on') = (ask_by IS NULL)", name="ask_by"),
    sa.CheckConstraint(
        "(asked_by_party IS NULL) = (asked_at IS NULL) AND (told_by IS NULL) = (asked_at IS NULL)",
        name="asked",
    ),
    sa.CheckConstraint("(state = 'waiting') = (settled_at IS NULL)", name="settled"),
    comment="A source took its referral back: until when a party may ask that the case goes on",
)
sa.Index("ix_withdrawal_case_id", withdrawal.c.case_id)
sa.Index("ix_withdrawal_due", withdrawal.c.ask_by, postgresql_where=withdrawal.c.state == "waiting")
