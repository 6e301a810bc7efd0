"""Sessions, bookings and sealed notes as rows."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from mediation.repository import Row


async def book(
    db: asyncpg.Connection,
    session_id: UUID,
    keys: Iterable[str],
    starts_at: datetime,
    ends_at: datetime,
) -> None:
    """Book everything a session needs.

    The exclusion constraint refuses what is taken (``asyncpg.ExclusionViolationError``). Keys are
    taken in order, so that two sessions never wait for each other.
    """
    ordered = sorted(set(keys))
    booked = await db.fetch(_MAKE_AND_BOOK, session_id, ordered, starts_at, ends_at)
    if len(booked) < len(ordered):  # somebody else made one of the keys at this very moment
        await db.execute(_BOOK, session_id, ordered, starts_at, ends_at)


_BOOK: Final = """
    INSERT INTO booking (session_id, bookable, during)
    SELECT $1, number, tstzrange($3, $4) FROM bookable WHERE key = ANY($2) ORDER BY number
    ON CONFLICT (session_id, bookable) DO NOTHING
"""
_MAKE_AND_BOOK: Final = """
    WITH made AS (
      INSERT INTO bookable (key) SELECT k FROM unnest($2::text[]) AS k
      WHERE NOT EXISTS (SELECT 1 FROM bookable WHERE key = k)
      ORDER BY k ON CONFLICT (key) DO NOTHING RETURNING number)
    INSERT INTO booking (session_id, bookable, during)
    SELECT $1, number, tstzrange($3, $4)
    FROM (SELECT number FROM made UNION SELECT number FROM bookable WHERE key = ANY($2)) AS b
    ORDER BY number RETURNING bookable
"""


async def free(db: asyncpg.Connection, session_id: UUID) -> None:
    """Give back what a session had booked."""
    await db.execute("DELETE FROM booking WHERE session_id = $1", session_id)


async def of_mediation(db: asyncpg.Connection, mediation_id: UUID) -> list[Row]:
    """The sessions of a mediation, in order of time."""
    return await db.fetch(
        "SELECT * FROM session WHERE mediation_id = $1 ORDER BY starts_at, session_id", mediation_id
    )


async def planned(db: asyncpg.Connection, mediation_id: UUID) -> list[Row]:
    """The sessions that are still to be held."""
    return await db.fetch(
        """SELECT * FROM session WHERE mediation_id = $1 AND state = 'scheduled'
           ORDER BY starts_at, session_id""",
        mediation_id,
    )


async def open_to_author(db: asyncpg.Connection, author: str) -> None:
    """Tell row-level security whose notes this transaction may see: the author's own, no others."""
    await db.execute("SELECT set_config('liandiao.staff', $1, true)", author)


async def notes(db: asyncpg.Connection, session_id: UUID) -> list[Row]:
    """The notes of a session that row-level security lets be seen."""
    return await db.fetch(
        "SELECT * FROM session_note WHERE session_id = $1 ORDER BY recorded_at, id", session_id
    )


async def note(db: asyncpg.Connection, note_id: UUID) -> Row | None:
    """One note, if row-level security lets it be seen."""
    return await db.fetchrow("SELECT * FROM session_note WHERE id = $1", note_id)
