"""All SQL of routing about organisations, places, calendars, connections and clients."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import orjson

Value = dict[str, Any]
# kind on the directory -> table, its key, and the columns beside the value
TABLES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "organisation": ("organisation", "code", ("kind", "place", "uscc")),
    "place": ("place", "code", ("parent", "name")),
    "calendar": ("calendar", "year", ()),
    "connection": ("connection", "name", ()),
}


async def values_of(db: asyncpg.Connection | asyncpg.Pool, kind: str) -> dict[str, Value]:
    """Every value of one kind by its key."""
    table, key, _ = TABLES[kind]
    rows = await db.fetch(f"SELECT {key} AS key, value FROM {table}")
    return {row["key"]: row["value"] for row in rows}


async def put(db: asyncpg.Connection, kind: str, values: Mapping[str, Value], version: int) -> None:
    """Insert or replace values of one kind."""
    table, key, columns = TABLES[kind]
    names = [key, *columns, "value", "version"]
    rows = [
        {
            key: code,
            **{name: value.get(name) or None for name in columns},
            "value": value,
            "version": version,
        }
        for code, value in values.items()
    ]
    listed = ", ".join(names)
    sets = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    await db.execute(
        f"""INSERT INTO {table} ({listed})
            SELECT {listed} FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb)
            ON CONFLICT ({key}) DO UPDATE SET {sets}, recorded_at = now()""",
        rows,
    )


async def put_entries(db: asyncpg.Connection, values: Mapping[str, Value], version: int) -> None:
    """This service's own copy of the directory takes its entries over at once."""
    await db.execute(
        """INSERT INTO directory_entry AS d (key, version, value, updated_at)
           SELECT key, $3, value::jsonb, clock_timestamp()
           FROM unnest($1::text[], $2::text[]) AS t(key, value) ORDER BY key
           ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value,
             updated_at = excluded.updated_at WHERE excluded.version > d.version""",
        list(values),
        [orjson.dumps(value).decode() for value in values.values()],
        version,
    )


async def entries(db: asyncpg.Connection | asyncpg.Pool) -> list[asyncpg.Record]:
    """Everything that is on the directory, with versions."""
    rows: list[asyncpg.Record] = await db.fetch(
        "SELECT key, version, value FROM directory_entry WHERE value IS NOT NULL ORDER BY key"
    )
    return rows


async def client_of(db: asyncpg.Connection | asyncpg.Pool, client_id: str) -> asyncpg.Record | None:
    """A machine client by its id."""
    return await db.fetchrow("SELECT * FROM client WHERE id = $1 AND active", client_id)


async def clients(db: asyncpg.Connection | asyncpg.Pool) -> dict[str, Value]:
    """Every client by its id."""
    rows = await db.fetch(
        "SELECT id, secret_sha256, connection, organisations, scopes, active FROM client"
    )
    return {row["id"]: dict(row) for row in rows}


async def put_clients(db: asyncpg.Connection, rows: list[Value]) -> None:
    """Insert or replace clients."""
    await db.executemany(
        """INSERT INTO client (id, secret_sha256, connection, organisations, scopes, active)
           VALUES ($1, $2, $3, $4, $5, true)
           ON CONFLICT (id) DO UPDATE SET secret_sha256 = excluded.secret_sha256,
             connection = excluded.connection, organisations = excluded.organisations,
             scopes = excluded.scopes, active = true, recorded_at = now()""",
        [
            (
                row["id"],
                row["secret_sha256"],
                row["connection"],
                row["organisations"],
                row["scopes"],
            )
            for row in rows
        ],
    )
