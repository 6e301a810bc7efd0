"""Migrations: one Alembic history per service, run by the migrator role under an advisory lock."""

import asyncio
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from services.service import NAMES, Service, load
from services.tables import CHASSIS_DDL

ROOT = Path(__file__).resolve().parent.parent
RIGHTS_FILE = ROOT / "deploy" / "roles" / "tables.json"
LOCK = 0x11A5D1A0


def sqlalchemy_url(url: str) -> str:
    """The same address for SQLAlchemy's asyncpg dialect."""
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


def newest_revision(name: str) -> str:
    """The revision this release expects: the highest file in the service's history."""
    files = sorted((ROOT / name / "migrations" / "versions").glob("[0-9]*.py"))
    if not files:
        raise SystemExit(f"{name} has no migration yet: python -m services migrate draft {name}")
    return files[-1].stem.split("_")[0]


async def current_revision(url: str) -> str | None:
    """What the database is at, or None when it is empty."""
    import asyncpg

    db = await asyncpg.connect(url)
    try:
        if not await db.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
            return None
        revision: str | None = await db.fetchval("SELECT version_num FROM alembic_version")
        return revision
    finally:
        await db.close()


def _config(name: str) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / "alembic_env"))
    config.set_main_option("version_locations", str(ROOT / name / "migrations" / "versions"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: sa.Connection, name: str) -> None:
    from alembic import command

    connection.execute(sa.text("SELECT pg_advisory_lock(:n)"), {"n": LOCK})
    config = _config(name)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    _take_rights(connection, name)
    connection.execute(sa.text("SELECT pg_advisory_unlock(:n)"), {"n": LOCK})
    connection.commit()


def refused_rights(name: str, table: str) -> str:
    """What the run-time role may not do to a table, as SQL's words (deploy/roles/tables.json)."""
    rights = json.loads(RIGHTS_FILE.read_text(encoding="utf-8"))
    if table in rights["read_only"]:
        return "INSERT, UPDATE, DELETE"
    deleted = (*rights["delete"]["every"], *rights["delete"][name])
    return "" if table in deleted else "DELETE"


def _take_rights(connection: sa.Connection, name: str) -> None:
    """Take from everybody but the owner what this service's code never does to a table."""
    given = connection.execute(
        sa.text(
            """SELECT DISTINCT table_name, grantee FROM information_schema.role_table_grants
               WHERE table_schema = 'public' AND grantee <> current_user"""
        )
    )
    for table, grantee in given.all():
        if words := refused_rights(name, table):
            connection.execute(sa.text(f'REVOKE {words} ON "{table}" FROM "{grantee}"'))


async def upgrade(name: str, url: str) -> bool:
    """Bring one service's database to this release; answers whether anything was done."""
    if await current_revision(url) == newest_revision(name):
        return False
    engine = create_async_engine(sqlalchemy_url(url))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, name)
    finally:
        await engine.dispose()
    return True


async def upgrade_all(urls: dict[str, str]) -> None:
    """Bring all four databases (service -> migrator's address) to this release."""
    await asyncio.gather(*(upgrade(name, urls[name]) for name in NAMES))


# -- drafting (developers) -----------------------------------------------------------------------

_TEMPLATE = '''"""Create the tables of {name}.

The first migration; there is no previous release, and downgrading removes everything.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create tables, constraints, policies and triggers."""
{body}


def downgrade() -> None:
    """Remove everything this migration made."""
    op.execute("DROP OWNED BY CURRENT_USER CASCADE")
'''


def draft(name: str) -> Path:
    """Write ``0001_create_tables.py`` anew from the metadata (before the first release)."""
    from alembic.autogenerate import render_python_code
    from alembic.migration import MigrationContext
    from alembic.operations import ops

    service: Service = load(name)
    from sqlalchemy.dialects import postgresql

    operations: list[Any] = []
    schema = service.schema()
    for table in schema.metadata.sorted_tables:
        operations.append(ops.CreateTableOp.from_table(table))
        operations.extend(
            ops.CreateIndexOp.from_index(i)
            for i in sorted(table.indexes, key=lambda i: str(i.name))
        )
    operations.extend(
        ops.ExecuteSQLOp(statement.strip()) for statement in (*CHASSIS_DDL, *schema.extra_ddl)
    )
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped there
    context = MigrationContext.configure(dialect=dialect)
    code = render_python_code(
        ops.UpgradeOps(ops=operations), migration_context=context, sqlalchemy_module_prefix="sa."
    )
    lines = [line.removeprefix("    ") for line in code.splitlines()]
    body = "\n".join(f"    {line}" if line else "" for line in lines)
    folder = ROOT / name / "migrations" / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "0001_create_tables.py"
    path.write_text(_TEMPLATE.format(name=name, body=body), encoding="utf-8")
    import subprocess
    import sys

    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(path)], check=False)  # noqa: S603
    return path
