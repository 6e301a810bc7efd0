"""Notices that somebody must give, and their proof."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from intake.tables import METADATA
from services.tables import instant

notice: Final = sa.Table(
    "notice",
    METADATA,
    sa.Column("notice_id", UUID, primary_key=True),
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject_id", UUID, nullable=False),
    sa.Column("case_id", UUID, comment="of a turn or withdrawal: its case"),
    sa.Column("party_id", UUID, comment="which of its parties is told"),
    sa.Column("to_organisation", sa.Text, comment="where it went"),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("organisation", sa.Text, nullable=False, comment="whose task it is"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("citation", sa.Text, nullable=False),
    sa.Column("means", sa.Text),
    instant("due_at", nullable=True),
    instant("proved_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "subject_kind IN ('matter', 'refusal', 'turn', 'withdrawal', 'alert')",
        name="subject_kind",
    ),
    sa.CheckConstraint(
        "about IN ('received', 'transferred', 'answered', 'refused', 'reviewed', 'offered',"
        " 'withdrawn', 'report_civil_affairs', 'report_education')",
        name="about",
    ),
    sa.CheckConstraint(
        "(subject_kind IN ('turn', 'withdrawal')) = (case_id IS NOT NULL)", name="case_id"
    ),
    sa.CheckConstraint("recipient IN ('party', 'receiver')", name="recipient"),
    sa.CheckConstraint("state IN ('task', 'proved', 'not_owed')", name="state"),
    sa.CheckConstraint("(state = 'proved') = (proved_at IS NOT NULL)", name="proved_at"),
    comment="A notice owed to the party or the receiver: a task of one organisation until proved",
)
sa.Index("ix_notice_subject_id", notice.c.subject_id)
sa.Index("ix_notice_case_id", notice.c.case_id, postgresql_where=notice.c.case_id.is_not(None))
sa.Index(
    "ix_notice_organisation_notice_id",
    notice.c.organisation,
    notice.c.notice_id,
    postgresql_where=notice.c.state == "task",
)
