"""Links between cases, on intake's metadata."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from intake.linking.model import KINDS
from intake.tables import METADATA
from services.tables import instant

link: Final = sa.Table(
    "case_link",
    METADATA,
    sa.Column("link_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("other_case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("linked_by", sa.Text, nullable=False),
    sa.Column("acted_by", sa.Text),
    instant("linked_at"),
    sa.Column("removed_by", sa.Text),
    instant("removed_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("case_id <> other_case_id", name="another"),
    sa.CheckConstraint("kind IN (" + ", ".join(f"'{k}'" for k in KINDS) + ")", name="kind"),
    sa.CheckConstraint("(removed_at IS NULL) = (removed_by IS NULL)", name="removed"),
    comment="Two cases that belong together and go on apart; told to who takes part in both",
)
sa.Index("ix_case_link_case_id", link.c.case_id)
sa.Index("ix_case_link_other_case_id", link.c.other_case_id)
sa.Index(
    "ix_case_link_standing",
    sa.func.least(link.c.case_id, link.c.other_case_id),
    sa.func.greatest(link.c.case_id, link.c.other_case_id),
    link.c.kind,
    unique=True,
    postgresql_where=link.c.removed_at.is_(None),
)
