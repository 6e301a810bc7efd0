"""Rows by id: the few statements that every noun's repository builds on."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

Row = asyncpg.Record


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]


async def insert(db: asyncpg.Connection, table: str, values: Mapping[str, Any]) -> Row:
    """Insert one row and return it."""
    marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    row = await db.fetchrow(
        f"INSERT INTO {table} ({', '.join(_quoted(list(values)))}) VALUES ({marks}) RETURNING *",
        *values.values(),
    )
    return _there(row)


async def change(
    db: asyncpg.Connection, table: str, key: str, id_: UUID, values: Mapping[str, Any]
) -> Row:
    """Set columns of one row, raise its version by one, return it."""
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(_quoted(list(values)), 2))
    row = await db.fetchrow(
        f"UPDATE {table} SET {sets + ', ' if sets else ''}version = version + 1"
        f" WHERE {key} = $1 RETURNING *",
        id_,
        *values.values(),
    )
    return _there(row)


def _there(row: Row | None) -> Row:
    if row is None:
        raise LookupError("a row that must be there is gone")
    return row


async def get(db: asyncpg.Connection, table: str, key: str, id_: UUID) -> Row | None:
    """One row by its id."""
    return await db.fetchrow(f"SELECT * FROM {table} WHERE {key} = $1", id_)


async def lock(
    db: asyncpg.Connection, table: str, key: str, id_: UUID, organisation: str
) -> Row | None:
    """One row of an organisation's with the head of its case, both locked, the case first.

    The order matters: whoever holds a case may change its rows without waiting for anybody.
    """
    return await db.fetchrow(
        f"""SELECT t.*, s.case_number AS stream_number, s.episode AS stream_episode,
              s.closed AS stream_closed, s.last_sequence AS stream_sequence
            FROM {table} t JOIN case_stream s ON s.case_id = t.case_id
            WHERE t.{key} = $1 AND t.organisation = $2 FOR UPDATE OF s, t""",
        id_,
        organisation,
    )


async def many(
    db: asyncpg.Connection, table: str, key: str, id_: UUID, order: str = "recorded_at"
) -> list[Row]:
    """All rows that belong to an id, in order."""
    return await db.fetch(f"SELECT * FROM {table} WHERE {key} = $1 ORDER BY {order}", id_)
