"""What a service's run-time role can do in PostgreSQL, enumerated from its own catalogue."""

import asyncio

import asyncpg
import pytest

from services.ids import new_id
from services.migrate import refused_rights
from services.stack.postgres import SERVICES
from tests.fixtures.servers import Database, PostgresServer

pytestmark = pytest.mark.postgres

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.fixture(scope="module")
def databases(postgres_server: PostgresServer) -> dict[str, Database]:
    """The four databases at the newest revision."""

    async def made() -> dict[str, Database]:
        return {name: await postgres_server.fresh_database(name) for name in SERVICES}

    return asyncio.run(made())


@pytest.mark.parametrize("service", SERVICES)
async def test_the_role_has_exactly_the_declared_rights_on_every_table(
    service: str, databases: dict[str, Database]
) -> None:
    db = await asyncpg.connect(databases[service].url)
    try:
        rows = await db.fetch(
            """SELECT relname AS name, verb, has_table_privilege(current_user, c.oid, verb) AS may
               FROM pg_class c CROSS JOIN unnest($1::text[]) AS verb
               WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace""",
            list(VERBS),
        )
    finally:
        await db.close()
    found = {(row["name"], row["verb"]): row["may"] for row in rows}
    declared = {
        (table, verb): verb in VERBS[:4] and verb not in refused_rights(service, table)
        for table, verb in found
    }

    assert len(found) > 7 * 15
    assert found == declared


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("other", SERVICES)
async def test_a_role_enters_its_own_database_alone(
    service: str, other: str, databases: dict[str, Database], postgres_server: PostgresServer
) -> None:
    role = f"{service}_app"
    url = postgres_server.server.url(databases[other].name, role, postgres_server.passwords[role])
    if service == other:
        await (await asyncpg.connect(url)).close()
        return
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url)


FORBIDDEN = (
    "CREATE TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE mine",
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "DROP TRIGGER audit_entry_append_only ON audit_entry",
    "TRUNCATE audit_entry",
    "DELETE FROM audit_entry",
    "DELETE FROM outbox",
    "UPDATE alembic_version SET version_num = '9999'",
    "SET session_replication_role = replica",
    "SET ROLE {service}_migrator",
    "SET SESSION AUTHORIZATION {service}_migrator",
    "GRANT {service}_migrator TO {service}_app",
    "ALTER ROLE {service}_app SUPERUSER",
    "ALTER ROLE {service}_app BYPASSRLS",
    "COPY audit_entry TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/hostname')",
)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_role_changes_no_schema_no_history_and_nobodys_rights(
    service: str, databases: dict[str, Database]
) -> None:
    db = await asyncpg.connect(databases[service].url)
    allowed = []
    try:
        for statement in FORBIDDEN:
            try:
                await db.execute(statement.format(service=service))
            except asyncpg.InsufficientPrivilegeError:
                continue
            allowed.append(statement)
    finally:
        await db.close()

    assert allowed == []


@pytest.mark.parametrize("service", SERVICES)
async def test_an_audit_entry_cannot_be_rewritten(
    service: str, databases: dict[str, Database]
) -> None:
    db = await asyncpg.connect(databases[service].url)
    try:
        await db.execute(
            """INSERT INTO audit_entry (id, action, actor, correlation_id, detail, recorded_at)
               VALUES ($1, 'case.read', 'somebody', 'x', '{}', now())""",
            new_id(),
        )
        with pytest.raises(asyncpg.RaiseError):
            await db.execute("UPDATE audit_entry SET actor = 'nobody'")
    finally:
        await db.close()


SEALED = {
    "intake": (
        "alert",
        "correction_request",
        "limitation_record",
        "party_vault",
        "representation",
        "screening",
    ),
    "routing": (),
    "mediation": ("party_sheet", "session_note"),
    "notification": (),
}
# Something of each type, for the columns that must hold something.
ANY_VALUE = {
    "uuid": "gen_random_uuid()",
    "bytea": "'\\x00'",
    "jsonb": "'{}'",
    "text[]": "'{}'",
    "boolean": "false",
    "integer": "1",
    "bigint": "1",
    "timestamp with time zone": "now()",
}


async def _plant(superuser: asyncpg.Connection, table: str) -> None:
    """A row of anything, its foreign keys asleep."""
    columns = await superuser.fetch(
        """SELECT attname AS name, format_type(atttypid, NULL) AS kind FROM pg_attribute
           WHERE attrelid = $1::regclass AND attnum > 0 AND attnotnull AND attidentity = ''""",
        table,
    )
    names = ", ".join(f'"{row["name"]}"' for row in columns)
    values = ", ".join(ANY_VALUE.get(row["kind"], "'x'") for row in columns)
    checks = await superuser.fetch(
        "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'", table
    )
    for check in checks:  # any value will do
        await superuser.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{check["conname"]}"')
    async with superuser.transaction():
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await superuser.execute(f'INSERT INTO "{table}" ({names}) VALUES ({values})')


@pytest.mark.parametrize("service", SERVICES)
async def test_rows_of_sealed_tables_are_not_there_for_who_does_not_say_who_they_are(
    service: str, databases: dict[str, Database]
) -> None:
    superuser = await asyncpg.connect(databases[service].superuser_url)
    db = await asyncpg.connect(databases[service].url)
    try:
        forced = await db.fetch(
            """SELECT relname FROM pg_class WHERE relforcerowsecurity AND relrowsecurity
               AND relnamespace = 'public'::regnamespace"""
        )
        assert {row["relname"] for row in forced} == set(SEALED[service])
        for table in SEALED[service]:
            await _plant(superuser, table)
            for organisation in ("", "000000-XX-0000"):
                async with db.transaction():
                    await db.execute(
                        "SELECT set_config('liandiao.organisation', $1, true)", organisation
                    )
                    assert await db.fetchval(f'SELECT count(*) FROM "{table}"') == 0
                    changed = await db.execute(f'UPDATE "{table}" SET case_id = case_id')
                    assert changed == "UPDATE 0"
            assert await superuser.fetchval(f'SELECT count(*) FROM "{table}"') == 1
    finally:
        await db.close()
        await superuser.close()
