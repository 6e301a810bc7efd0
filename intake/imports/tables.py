"""The tables of imports; run-time SQL is in ``repository.py``."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

from intake.tables import METADATA
from services.tables import instant


def _count(name: str) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _key(name: str, of: str) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, UUID, sa.ForeignKey(f"{of}.{name}"), primary_key=True)


sa.Table(
    "layout",
    METADATA,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("definition", sa.Text, nullable=False, comment="JSON; its order is kept"),
    instant("recorded_at", default_now=True),
    comment="A connection's own layouts, every version for ever; never a value of an export",
)

sa.Table(
    "import_file",
    METADATA,
    sa.Column("file_id", UUID, primary_key=True),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped_key", BYTEA, comment="null once the file is deleted"),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, comment="null until it is whole"),
    sa.Column("sha256", BYTEA, comment="keyed, so that nobody can try contents out"),
    sa.Column("delete_at", sa.DateTime(timezone=True), nullable=False),
    instant("recorded_at", default_now=True),
    comment="An uploaded export, sealed in parts under a key of its own; deleted after a term",
)

sa.Table(
    "import_part",
    METADATA,
    _key("file_id", "import_file"),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("data", BYTEA, nullable=False, comment="sealed: 256 KiB of the file"),
    comment="The parts of an uploaded file",
)

run = sa.Table(
    "import_run",
    METADATA,
    sa.Column("import_id", UUID, primary_key=True),
    sa.Column("file_id", UUID, sa.ForeignKey("import_file.file_id"), nullable=False),
    sa.Column("run_of", UUID, unique=True, comment="the dry run that this one makes real"),
    sa.Column("organisation", sa.Text, nullable=False),
    sa.Column("organisations", JSONB, nullable=False, comment="those whose rows it may send"),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("client_id", sa.Text, nullable=False),
    sa.Column("acted_by", sa.Text),
    sa.Column("dry", sa.Boolean, nullable=False),
    sa.Column("layout", sa.Text, comment="as it stood; null: the one that fits is looked for"),
    sa.Column("drop_name", sa.Text, unique=True, comment="connection and name of a dropped file"),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("fault", sa.Text, comment="why the file cannot be read: a rule"),
    sa.Column("fault_line", sa.Integer),
    _count("rows_read"),
    _count("accepted"),
    _count("warned"),
    _count("repeated"),
    _count("refused"),
    sa.Column("bytes_read", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("holder", sa.Text, comment="the process that works on it, until held_until"),
    instant("held_until", nullable=True),
    instant("started_at", nullable=True),
    instant("finished_at", nullable=True),
    instant("recorded_at", default_now=True),
    sa.CheckConstraint(
        "state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"
    ),
    sa.CheckConstraint("accepted + repeated + refused = rows_read", name="rows_read"),
    comment="One reading of an uploaded file, dry or for real, and how far it has come",
)
sa.Index(
    "ix_import_run_due",
    run.c.recorded_at,
    postgresql_where=sa.text("state IN ('queued', 'running')"),
)
sa.Index("ix_import_run_organisation", run.c.organisation, run.c.import_id)
sa.Index("ix_import_run_file_id", run.c.file_id)

row = sa.Table(
    "import_row",
    METADATA,
    _key("import_id", "import_run"),
    sa.Column("row", sa.Integer, primary_key=True),
    sa.Column("line", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("referral_id", UUID),
    sa.Column("reasons", JSONB, comment="column, pointer, rule; never a value"),
    sa.Column("mark", BYTEA, comment="dry runs: keyed hash of organisation and reference"),
    sa.Column("content", BYTEA, comment="dry runs: the fingerprint"),
    sa.CheckConstraint("outcome IN ('accepted', 'repeated', 'refused')", name="outcome"),
    comment="What became of each row",
)
sa.Index(
    "ix_import_row_mark", row.c.import_id, row.c.mark, postgresql_where=row.c.mark.is_not(None)
)

sa.Table(
    "import_refusal",
    METADATA,
    _key("import_id", "import_run"),
    sa.Column("ordinal", sa.Integer, primary_key=True, comment="the last row in it"),
    sa.Column("data", BYTEA, nullable=False, comment="sealed under the file's key"),
    comment="The refused rows in the sender's own layout, to be given back",
)
