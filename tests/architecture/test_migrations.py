"""Migrations make exactly what tables.py declares, and say why they exist."""

import ast

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from services.migrate import sqlalchemy_url
from services.service import Service, load
from tests.architecture.source import ROOT, SERVICES
from tests.fixtures.servers import PostgresServer


@pytest.mark.parametrize("service", SERVICES)
def test_each_migration_is_numbered_and_says_why(service: str) -> None:
    paths = sorted((ROOT / service / "migrations/versions").glob("*.py"))

    assert paths
    assert [p.name for p in paths if not p.name[:4].isdigit()] == []
    assert [p.name for p in paths if not ast.get_docstring(ast.parse(p.read_text("utf-8")))] == []


@pytest.mark.postgres
@pytest.mark.parametrize("service", SERVICES)
async def test_migrations_make_exactly_what_the_tables_declare(
    service: str, postgres_server: PostgresServer
) -> None:
    database = await postgres_server.fresh_database(service)
    engine = create_async_engine(sqlalchemy_url(database.migrator_url))
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(_differences, load(service))
    finally:
        await engine.dispose()
        await postgres_server.drop(database)

    assert found == []


def _differences(connection: sa.Connection, service: Service) -> list[str]:
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "include_object": lambda _o, name, kind, _r, _c: (
                (kind, name) != ("table", "alembic_version")
            ),
        },
    )
    return [str(difference) for difference in compare_metadata(context, service.schema().metadata)]
