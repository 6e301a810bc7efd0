"""The embedded PostgreSQL: roles, rights, and what its log must not say."""

from pathlib import Path

import asyncpg
import pytest

from services.stack.console import StackError
from services.stack.postgres import SERVICES, Postgres, provision
from tests.fixtures.servers import PostgresServer

pytestmark = pytest.mark.postgres


async def test_the_migrator_owns_and_the_app_only_uses(postgres_server: PostgresServer) -> None:
    database = await postgres_server.empty_database("intake")
    migrator = await asyncpg.connect(database.migrator_url)
    app = await asyncpg.connect(database.url)
    try:
        await migrator.execute("CREATE TABLE thing (a int GENERATED ALWAYS AS IDENTITY, b int)")

        await app.execute("INSERT INTO thing (b) VALUES (1)")

        for statement in ("CREATE TABLE other (a int)", "DROP TABLE thing", "TRUNCATE thing"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(statement)
        attributes = await app.fetchrow(
            "SELECT rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        )
        assert attributes is not None
        assert not any(attributes.values())
    finally:
        await migrator.close()
        await app.close()


async def test_a_service_cannot_enter_another_ones_database(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.server.url(
        "liandiao_routing", "intake_app", postgres_server.passwords["intake_app"]
    )

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url)


async def test_a_wrong_password_is_refused(postgres_server: PostgresServer) -> None:
    url = postgres_server.server.url("liandiao_intake", "intake_app", "wrong")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


async def test_provisioning_again_changes_nothing(postgres_server: PostgresServer) -> None:
    server = postgres_server.server
    urls = {service: server.url(f"liandiao_{service}") for service in SERVICES}

    await provision(server.url(), urls, postgres_server.passwords)

    connection = await asyncpg.connect(
        server.url("liandiao_intake", "intake_app", postgres_server.passwords["intake_app"])
    )
    await connection.close()


async def test_no_value_of_a_statement_reaches_the_log(postgres_server: PostgresServer) -> None:
    database = await postgres_server.empty_database("intake")
    connection = await asyncpg.connect(database.migrator_url)
    try:
        await connection.execute("CREATE TABLE person (name text PRIMARY KEY)")
        await connection.execute("INSERT INTO person VALUES ($1)", "canary-王小明")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO person VALUES ($1)", "canary-王小明")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO person VALUES ('canary-王小明')")
    finally:
        await connection.close()

    log = postgres_server.log.read_text(encoding="utf-8")
    assert "person_pkey" in log
    assert "canary" not in log


def test_a_folder_of_another_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("15\n")

    with pytest.raises(StackError, match="is of PostgreSQL 15 and this release runs PostgreSQL 18"):
        Postgres(tmp_path, 1, "p").make()


def test_a_stale_pid_file_of_a_number_that_lives_on_is_taken_away(tmp_path: Path) -> None:
    import os

    (tmp_path / "data").mkdir()
    stale = tmp_path / "data" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n")

    Postgres(tmp_path, 1, "p").clear_stale_pid()

    assert not stale.exists()
