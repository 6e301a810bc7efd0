"""Papers of a case, the parts they came in, and with whom they were shared."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from intake.attachments.model import STATES
from intake.tables import METADATA
from services.tables import instant

attachment = sa.Table(
    "attachment",
    METADATA,
    sa.Column("attachment_id", UUID, primary_key=True),
    sa.Column("case_id", UUID, sa.ForeignKey("case_file.case_id"), nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="uploading"),
    sa.Column("reason", sa.Text, comment="why it was refused: a rule, never a value"),
    sa.Column("given_by", sa.Text, nullable=False, comment="an organisation, or party"),
    sa.Column("given_as", sa.Text, nullable=False),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id")),
    sa.Column("client", sa.Text, nullable=False, comment="who uploads; nobody else may go on"),
    sa.Column("mandate_id", UUID, comment="the mandate it was handed in under"),
    sa.Column("sensitive", sa.Text),
    sa.Column("retention", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("received_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("declared_sha256", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("media_type", sa.Text),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, comment="empty once the paper is gone: its bytes open nowhere"),
    sa.Column("name", BYTEA, comment="sealed: the file's name"),
    sa.Column("preview_name", sa.Text),
    sa.Column("preview_bytes", sa.BigInteger),
    sa.Column("copy_name", sa.Text),
    sa.Column("copy_bytes", sa.BigInteger),
    instant("occurred_at"),
    instant("expires_at"),
    instant("checked_at", nullable=True),
    instant("gone_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(f"state IN {STATES}", name="state"),
    sa.CheckConstraint("given_as IN ('source', 'handler', 'linked', 'party')", name="given_as"),
    sa.CheckConstraint("(given_as = 'party') = (party_id IS NOT NULL)", name="party_id"),
    sa.CheckConstraint("received_bytes BETWEEN 0 AND size_bytes", name="received_bytes"),
    comment="A paper handed in: sealed on disk under its own key, opened to nobody unchecked",
)
sa.Index("ix_attachment_case_id", attachment.c.case_id)
sa.Index(
    "ix_attachment_expires_at",
    attachment.c.expires_at,
    postgresql_where=attachment.c.state == "uploading",
)
sa.Index(
    "ix_attachment_checked_at",
    attachment.c.checked_at,
    postgresql_where=attachment.c.state.in_(("clean", "unscanned", "infected")),
)

sa.Table(
    "attachment_part",
    METADATA,
    sa.Column("attachment_id", UUID, sa.ForeignKey("attachment.attachment_id"), primary_key=True),
    sa.Column("starts_at_byte", sa.BigInteger, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("file_name", sa.Text, nullable=False),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint("size_bytes > 0", name="size_bytes"),
    comment="A part that counts: its segment on disk, from which byte on",
)

sa.Table(
    "attachment_share",
    METADATA,
    sa.Column("attachment_id", UUID, sa.ForeignKey("attachment.attachment_id"), primary_key=True),
    sa.Column("organisation", sa.Text, primary_key=True),
    sa.Column("basis", sa.Text, nullable=False, comment="consent, or a statute and its article"),
    sa.Column("party_id", UUID, sa.ForeignKey("party.party_id")),
    sa.Column("told_by", sa.Text, nullable=False, comment="an organisation, or party"),
    sa.Column("consented_on", sa.Date),
    instant("recorded_at", default_now=True),
    instant("ended_at", nullable=True),
    sa.Column("ended_mandate_id", UUID, comment="the mandate it was ended under"),
    sa.CheckConstraint("(basis = 'consent') = (party_id IS NOT NULL)", name="basis"),
    comment="A receiver beyond those by role: by separate consent, or on a legal basis",
)
