"""The tables every service has: stream heads, outbox, inbox, positions, parking, audit, jobs."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def new_metadata() -> sa.MetaData:
    """Metadata with the house's constraint names and the chassis tables in it."""
    metadata = sa.MetaData(naming_convention=NAMING)
    add_chassis_tables(metadata)
    return metadata


def instant(name: str, *, nullable: bool = False, default_now: bool = False) -> sa.Column[Any]:
    """A timestamptz column."""
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=sa.func.now() if default_now else None,
    )


def add_chassis_tables(metadata: sa.MetaData) -> None:
    """Add the chassis tables to a service's metadata."""
    sa.Table(
        "case_stream",
        metadata,
        sa.Column("case_id", UUID, primary_key=True),
        sa.Column("case_number", sa.Text),
        sa.Column("episode", sa.Integer, nullable=False, server_default="1"),
        sa.Column("closed", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("last_sequence", sa.BigInteger, nullable=False, server_default="0"),
        instant("created_at", default_now=True),
        comment="Head of this service's own stream of one subject; the lock of all its changes",
    )
    outbox = sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("event_id", UUID, nullable=False, unique=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("data", BYTEA),
        instant("recorded_at"),
        sa.Column("heard", sa.Text),
        instant("published_at", nullable=True),
        sa.Column("partition", sa.Integer),
        sa.Column("offset", sa.BigInteger),
        sa.Column("held_reason", sa.Text),
        sa.UniqueConstraint("topic", "key", "sequence", name="uq_outbox_topic_key_sequence"),
        comment="Every event this service ever emitted; the record from which Kafka is rebuilt",
    )
    sa.Index("ix_outbox_unpublished", outbox.c.id, postgresql_where=outbox.c.published_at.is_(None))
    sa.Index(
        "ix_outbox_held",
        outbox.c.topic,
        outbox.c.key,
        postgresql_where=sa.and_(
            outbox.c.held_reason.is_not(None), outbox.c.published_at.is_(None)
        ),
    )
    sa.Index("ix_outbox_place", outbox.c.topic, outbox.c.partition, outbox.c.offset)
    sa.Table(
        "inbox",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("case_id", UUID, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("event_id", UUID, nullable=False),
        instant("at", default_now=True),
        comment="How far each case of each source has been handled",
    )
    sa.Table(
        "position",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        instant("updated_at", default_now=True),
        comment="The truth about what was consumed, and the fence against zombies",
    )
    sa.Table(
        "parked_case",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("source", sa.Text),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        instant("parked_at", default_now=True),
    )
    sa.Table(
        "parked_event",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("data", BYTEA),
        sa.Column("reason", sa.Text, nullable=False),
        instant("parked_at", default_now=True),
        sa.UniqueConstraint(
            "consumer", "topic", "generation", "partition", "offset", name="uq_parked_event_record"
        ),
    )
    sa.Index(
        "ix_parked_event_key",
        *[metadata.tables["parked_event"].c[n] for n in ("consumer", "key", "id")],
    )
    sa.Table(
        "lease",
        metadata,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        instant("expires_at"),
        sa.Column("progress", sa.BigInteger, nullable=False, server_default="0"),
    )
    job = sa.Table(
        "job",
        metadata,
        sa.Column("id", UUID, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, unique=True),
        sa.Column("payload", JSONB, nullable=False),
        instant("run_after"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error_code", sa.Text),
        instant("created_at", default_now=True),
        instant("done_at", nullable=True),
    )
    sa.Index("ix_job_due", job.c.run_after, postgresql_where=job.c.done_at.is_(None))
    audit = sa.Table(
        "audit_entry",
        metadata,
        sa.Column("id", UUID, primary_key=True),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("case_id", UUID),
        sa.Column("subject", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("organisation", sa.Text),
        sa.Column("acted_by", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("correlation_id", sa.Text),
        sa.Column("detail", JSONB, nullable=False),
        instant("recorded_at"),
        sa.Column("chain_number", sa.BigInteger, unique=True),
        sa.Column("chain_hash", BYTEA),
        comment="Who did what; numbered and chained after commit; never changed but for that",
    )
    sa.Index("ix_audit_entry_case_id", audit.c.case_id)
    sa.Index(
        "ix_audit_entry_unchained", audit.c.id, postgresql_where=audit.c.chain_number.is_(None)
    )
    sa.Table(
        "command",
        metadata,
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("command_id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("event_id", UUID, nullable=False),
        instant("at", default_now=True),
    )
    sa.Table(
        "directory_entry",
        metadata,
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("value", JSONB),
        instant("updated_at", default_now=True),
        comment="This service's copy of the compacted topic `directory`",
    )
    sa.Table(
        "idempotency",
        metadata,
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", BYTEA, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.Text),
        sa.Column("resource_id", sa.Text),
        instant("created_at", default_now=True),
    )
    participation = sa.Table(
        "participation",
        metadata,
        sa.Column("participation_id", UUID, primary_key=True),
        sa.Column("case_id", UUID, nullable=False),
        sa.Column("episode", sa.Integer, nullable=False, server_default="1"),
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("reference", sa.Text),
        instant("joined_at"),
        instant("left_at", nullable=True),
        instant("recorded_at", default_now=True),
        sa.CheckConstraint("role IN ('source', 'handler', 'linked', 'supervisor')", name="role"),
    )
    sa.Index("ix_participation_case_id", participation.c.case_id)
    sa.Index("ix_participation_organisation", participation.c.organisation, participation.c.case_id)


# The run-time role may neither change nor delete what it audited, save the chain's two columns.
CHASSIS_DDL: Final = (
    """
    CREATE FUNCTION audit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'DELETE' OR OLD.chain_number IS NOT NULL
         OR (to_jsonb(NEW) - 'chain_number' - 'chain_hash')
            <> (to_jsonb(OLD) - 'chain_number' - 'chain_hash') THEN
        RAISE EXCEPTION 'audit entries are append-only';
      END IF;
      RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_is_append_only()
    """,
)
