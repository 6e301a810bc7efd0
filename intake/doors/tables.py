"""How a matter came through a desk's door, what was added, and who may act for whom."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

from intake.tables import METADATA
from services.tables import instant


def _case() -> sa.Column:  # type: ignore[type-arg]
    return sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False)


entry: Final = sa.Table(
    "counter_entry",
    METADATA,
    sa.Column("referral_id", UUID, sa.ForeignKey("referral.referral_id"), primary_key=True),
    _case(),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("place", sa.Text, nullable=False, comment="where it was put at first"),
    sa.Column("county_desk", sa.Boolean, nullable=False),
    sa.Column("overdue", sa.Boolean, nullable=False, comment="a period was over when it came in"),
    sa.Column("periods", JSONB, nullable=False, comment="which ones, as they were told"),
    sa.Column("second_person", sa.Text, comment="staff id of who stands for a late entry too"),
    sa.Column("paper_number", sa.Text),
    sa.Column("kek_id", sa.Text),
    sa.Column("wrapped_key", BYTEA),
    sa.Column("reason", BYTEA, comment="sealed: why it was entered late"),
    sa.Column("mandate_id", UUID, comment="the mandate it was filed under"),
    sa.Column("acted_by", sa.Text),
    instant("received_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "NOT late OR (reason IS NOT NULL AND second_person IS NOT NULL)", name="late"
    ),
    comment="A quick form at a desk: late or not, on paper or not",
)
sa.Index("ix_counter_entry_organisation_recorded_at", entry.c.organisation, entry.c.recorded_at)

supplement: Final = sa.Table(
    "supplement",
    METADATA,
    sa.Column("supplement_id", UUID, primary_key=True),
    _case(),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("reference", sa.Text),
    sa.Column("mandate_id", UUID, comment="the mandate it was given under"),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("text", BYTEA, comment="sealed: what was added"),
    sa.Column("acted_by", sa.Text),
    instant("received_at"),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("kind IN ('supplement', 'repeat_call')", name="kind"),
    comment="What was added to a case, and that somebody called again; changes no order",
)
sa.Index("ix_supplement_case_id", supplement.c.case_id)

mandate: Final = sa.Table(
    "mandate",
    METADATA,
    sa.Column("mandate_id", UUID, primary_key=True),
    _case(),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id"), nullable=False),
    sa.Column("organisation", sa.Text, nullable=False, comment="who recorded it"),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, nullable=False),
    sa.Column("agent", BYTEA, nullable=False, comment="sealed: who files for the party"),
    sa.Column("revoked_told_by", sa.Text),
    instant("given_at"),
    instant("revoked_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("form IN ('written', 'oral_recorded')", name="form"),
    comment="Somebody files for a party (代办); revoked by one call",
)
sa.Index("ix_mandate_case_id", mandate.c.case_id)
