"""All SQL of routing about cases, decisions, turns, settlements, linkages and clocks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

Row = dict[str, Any]

# Tables a change may write together, in this order; those with a key are upserted whole.
_TABLES: Final[dict[str, str | None]] = {
    "referral_heard": "referral_id",
    "routed_case": "case_id",
    "decision": None,
    "participation": None,
    "assignment": "id",
    "conference": None,
    "linkage": "id",
    "clock": "id",
    "clock_pause": None,
}
OPEN_TURNS: Final = "('offered', 'accepted', 'objected', 'recalling')"


class Writes:
    """Rows of one change, written together by one statement."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {}

    def add(self, table: str, row: Row) -> Row:
        """Write ``row`` with the others; a row added twice is written once, as it is then."""
        rows = self._rows.setdefault(table, [])
        if not any(row is known for known in rows):
            rows.append(row)
        return row

    async def write(self, db: asyncpg.Connection) -> None:
        """Insert or replace every row added; empties the list."""
        rows, self._rows = self._rows, {}
        tables = [name for name in _TABLES if name in rows]
        if not tables:
            return
        parts = [_write(name, n, list(rows[name][0])) for n, name in enumerate(tables, 1)]
        statement = "WITH " + ", ".join(parts) + " SELECT 1"
        await db.execute(statement, *[rows[name] for name in tables])


def _write(table: str, n: int, columns: list[str]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    text = (
        f"w{n} AS (INSERT INTO {table} ({names}) "
        f"SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, ${n}::jsonb)"
    )
    key = _TABLES[table]
    if key is not None:
        sets = ", ".join(f'"{c}" = excluded."{c}"' for c in columns if c != key)
        text += f" ON CONFLICT ({key}) DO UPDATE SET {sets}"
    return text + ")"


# -- cases ----------------------------------------------------------------------------------------


async def case_of(db: asyncpg.Connection, case_id: UUID) -> Row | None:
    """The routed case; its stream is locked by the caller when it is to be changed."""
    row = await db.fetchrow("SELECT * FROM routed_case WHERE case_id = $1", case_id)
    return dict(row) if row else None


async def loads_of(
    db: asyncpg.Connection, organisations: Sequence[str], referral_id: UUID
) -> tuple[dict[str, int], str | None]:
    """Open turns of each organisation, counted, never locked; and the source's own number."""
    row = await db.fetchrow(
        f"""SELECT (SELECT reference FROM referral_heard WHERE referral_id = $2) AS reference,
              (SELECT jsonb_object_agg(organisation, n) FROM (
                 SELECT organisation, count(*) AS n FROM assignment
                 WHERE organisation = ANY($1::text[]) AND state IN {OPEN_TURNS}
                 GROUP BY organisation) AS counted) AS loads""",
        list(organisations),
        referral_id,
    )
    if row is None:
        return {}, None
    return row["loads"] or {}, row["reference"]


async def refused_by(db: asyncpg.Connection, case_id: UUID, episode: int) -> list[str]:
    """Bodies that returned the case in this round, or left its offer unanswered."""
    rows = await db.fetch(
        """SELECT DISTINCT organisation FROM assignment
           WHERE case_id = $1 AND episode = $2
             AND ended_as IN ('returned', 'not_confirmed', 'escalated', 'objection_upheld')""",
        case_id,
        episode,
    )
    return [row["organisation"] for row in rows]


# -- turns ----------------------------------------------------------------------------------------


async def turn_of(db: asyncpg.Connection, assignment_id: UUID) -> Row | None:
    """One organisation's turn."""
    row = await db.fetchrow("SELECT * FROM assignment WHERE id = $1", assignment_id)
    return dict(row) if row else None


async def open_turn(db: asyncpg.Connection, case_id: UUID) -> Row | None:
    """The turn that is open now; there is one at most."""
    row = await db.fetchrow(
        f"SELECT * FROM assignment WHERE case_id = $1 AND state IN {OPEN_TURNS}",
        case_id,
    )
    return dict(row) if row else None


async def current_turn_of(db: asyncpg.Connection, case_id: UUID, episode: int) -> Row | None:
    """The latest turn of the round."""
    row = await db.fetchrow(
        """SELECT * FROM assignment WHERE case_id = $1 AND episode = $2
           ORDER BY ordinal DESC LIMIT 1""",
        case_id,
        episode,
    )
    return dict(row) if row else None


# -- participations -------------------------------------------------------------------------------


async def participations_of(
    db: asyncpg.Connection, case_id: UUID, roles: Sequence[str]
) -> list[Row]:
    """Parts in the case that have not ended."""
    rows = await db.fetch(
        """SELECT * FROM participation
           WHERE case_id = $1 AND role = ANY($2::text[]) AND left_at IS NULL ORDER BY joined_at""",
        case_id,
        list(roles),
    )
    return [dict(row) for row in rows]


# -- decisions and settlements --------------------------------------------------------------------


async def decision_of(db: asyncpg.Connection, decision_id: UUID) -> Row | None:
    """One decision with everything that explains it."""
    row = await db.fetchrow("SELECT * FROM decision WHERE id = $1", decision_id)
    return dict(row) if row else None


async def latest_decision(db: asyncpg.Connection, case_id: UUID) -> UUID | None:
    """Id of the newest decision on a case."""
    found: UUID | None = await db.fetchval(
        "SELECT id FROM decision WHERE case_id = $1 ORDER BY id DESC LIMIT 1", case_id
    )
    return found


async def undecided_reason(db: asyncpg.Connection, case_id: UUID) -> str | None:
    """Why the newest decision on a case asked nobody; ``None`` when it asked somebody."""
    found: str | None = await db.fetchval(
        "SELECT undecided_reason FROM decision WHERE case_id = $1 ORDER BY id DESC LIMIT 1",
        case_id,
    )
    return found


async def settlements_of(db: asyncpg.Connection, case_id: UUID, episode: int) -> list[Row]:
    """Settlements of this round, oldest first."""
    rows = await db.fetch(
        "SELECT * FROM conference WHERE case_id = $1 AND episode = $2 ORDER BY id", case_id, episode
    )
    return [dict(row) for row in rows]


async def conference_of(db: asyncpg.Connection, conference_id: UUID) -> Row | None:
    """One settlement."""
    row = await db.fetchrow("SELECT * FROM conference WHERE id = $1", conference_id)
    return dict(row) if row else None


# -- linkages -------------------------------------------------------------------------------------


async def linkage_of(db: asyncpg.Connection, linkage_id: UUID) -> Row | None:
    """One request for help."""
    row = await db.fetchrow("SELECT * FROM linkage WHERE id = $1", linkage_id)
    return dict(row) if row else None


async def open_linkages(db: asyncpg.Connection, case_id: UUID) -> list[Row]:
    """Requests of a case that wait for an answer."""
    rows = await db.fetch(
        "SELECT * FROM linkage WHERE case_id = $1 AND state = 'requested' ORDER BY id", case_id
    )
    return [dict(row) for row in rows]


# -- clocks ---------------------------------------------------------------------------------------


async def clock_of(db: asyncpg.Connection, clock_id: UUID) -> Row | None:
    """One clock; the case is locked by the caller when it is to be changed."""
    row = await db.fetchrow("SELECT * FROM clock WHERE id = $1", clock_id)
    return dict(row) if row else None


async def live_clocks(
    db: asyncpg.Connection,
    case_id: UUID,
    *,
    kinds: Sequence[str] | None = None,
    subject_id: UUID | None = None,
) -> list[Row]:
    """Clocks of a case that are not stopped: running, paused or fired."""
    rows = await db.fetch(
        """SELECT * FROM clock WHERE case_id = $1 AND state <> 'stopped'
             AND ($2::text[] IS NULL OR kind = ANY($2)) AND ($3::uuid IS NULL OR subject_id = $3)
           ORDER BY id""",
        case_id,
        None if kinds is None else list(kinds),
        subject_id,
    )
    return [dict(row) for row in rows]


async def has_clock(db: asyncpg.Connection, case_id: UUID, episode: int, kind: str) -> bool:
    """Whether the round ever had a clock of this kind: a clock is never started twice."""
    found = await db.fetchval(
        "SELECT EXISTS (SELECT 1 FROM clock WHERE case_id = $1 AND episode = $2 AND kind = $3)",
        case_id,
        episode,
        kind,
    )
    return bool(found)


async def pauses_of(db: asyncpg.Connection, clock_id: UUID) -> list[Row]:
    """When the clock stood still."""
    rows = await db.fetch(
        "SELECT * FROM clock_pause WHERE clock_id = $1 ORDER BY paused_at", clock_id
    )
    return [dict(row) for row in rows]


async def resume_pauses(db: asyncpg.Connection, clock_id: UUID, resumed_at: datetime) -> None:
    """End every pause that is still open."""
    await db.execute(
        """UPDATE clock_pause SET resumed_at = greatest(paused_at, $2)
           WHERE clock_id = $1 AND resumed_at IS NULL""",
        clock_id,
        resumed_at,
    )


_NOT_PARKED: Final = """NOT EXISTS (SELECT 1 FROM parked_case p WHERE p.key = c.case_id::text)"""


async def due_clocks(
    pool: asyncpg.Pool, before: datetime, limit: int, aside: Sequence[UUID] = ()
) -> list[asyncpg.Record]:
    """Running clocks due at or before an instant, oldest first, of cases that are not parked."""
    rows: list[asyncpg.Record] = await pool.fetch(
        f"""SELECT id, case_id, kind FROM clock c
            WHERE state = 'running' AND due_at <= $1 AND id <> ALL($3::uuid[]) AND {_NOT_PARKED}
            ORDER BY due_at LIMIT $2""",
        before,
        limit,
        list(aside),
    )
    return rows


async def clocks_to_warn(
    pool: asyncpg.Pool, now: datetime, limit: int, aside: Sequence[UUID] = ()
) -> list[asyncpg.Record]:
    """Running clocks whose next warning is due."""
    rows: list[asyncpg.Record] = await pool.fetch(
        f"""SELECT id, case_id FROM clock c
            WHERE state = 'running' AND warn_at IS NOT NULL AND warn_at <= $1
              AND id <> ALL($3::uuid[]) AND {_NOT_PARKED}
            ORDER BY warn_at LIMIT $2""",
        now,
        limit,
        list(aside),
    )
    return rows


async def projected_clocks(
    pool: asyncpg.Pool, after: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """Clocks counted in a year without an official calendar, by id."""
    rows: list[asyncpg.Record] = await pool.fetch(
        """SELECT id, case_id FROM clock WHERE projected AND state IN ('running', 'paused')
             AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2""",
        after,
        limit,
    )
    return rows


async def oldest_unfired_seconds(pool: asyncpg.Pool, now: datetime) -> float:
    """How late the latest clock is that should have fired and has not; 0 when none is."""
    due: datetime | None = await pool.fetchval(
        "SELECT min(due_at) FROM clock WHERE state = 'running' AND due_at <= $1", now
    )
    return max(0.0, (now - due).total_seconds()) if due else 0.0


# -- lists ----------------------------------------------------------------------------------------

_LISTS: Final = {
    "decision": ("case_id",),
    "assignment": ("case_id", "organisation", "state"),
    "conference": ("case_id", "stage"),
    "linkage": ("case_id", "asked", "asked_by", "state"),
    "clock": ("case_id", "kind", "state"),
}


async def list_rows(
    db: asyncpg.Connection,
    table: str,
    scope_sql: str,
    organisation: str,
    filters: dict[str, Any],
    after: UUID | None,
    limit: int,
) -> list[Row]:
    """A page of a table by id, of cases in which the organisation takes part."""
    where, arguments = [scope_sql], [organisation, limit]
    for column in _LISTS[table]:
        if filters.get(column) is not None:
            arguments.append(filters[column])
            where.append(f"t.{column} = ${len(arguments)}")
    if after is not None:
        arguments.append(after)
        where.append(f"t.id > ${len(arguments)}")
    rows = await db.fetch(
        f"SELECT t.* FROM {table} t WHERE {' AND '.join(where)} ORDER BY t.id LIMIT $2",
        *arguments,
    )
    return [dict(row) for row in rows]


# -- what must hold -------------------------------------------------------------------------------


async def broken_invariants(pool: asyncpg.Pool) -> list[str]:
    """Cases whose wait has no holder or no clock, in sentences, with what to do."""
    rows: Iterable[asyncpg.Record] = await pool.fetch(
        f"""SELECT c.case_number, c.case_id, 'is said to be offered or held, but no organisation '
              'has a turn: replay the case (parked replay) or override its decision' AS fault
            FROM routed_case c WHERE c.state IN ('offered', 'held') AND NOT EXISTS (
              SELECT 1 FROM assignment a WHERE a.case_id = c.case_id AND a.state IN {OPEN_TURNS})
            UNION ALL
            SELECT c.case_number, c.case_id, 'waits for acceptance without a clock: recall it'
            FROM routed_case c JOIN assignment a ON a.case_id = c.case_id AND a.state = 'offered'
            WHERE NOT EXISTS (SELECT 1 FROM clock k WHERE k.subject_id = a.id)
            UNION ALL
            SELECT c.case_number, c.case_id, 'is being mediated without a term: accept anew'
            FROM routed_case c WHERE c.state = 'held' AND NOT EXISTS (
              SELECT 1 FROM clock k WHERE k.case_id = c.case_id AND k.kind = 'term')
            UNION ALL
            SELECT c.case_number, c.case_id, 'nobody has a turn: the coordinator must settle or '
              'override (POST /v1/conferences, /v1/decisions/{{id}}/overrides)'
            FROM routed_case c WHERE c.state = 'undecided'
            UNION ALL
            SELECT c.case_number, c.case_id, 'is closed, but a clock still runs: replay the case'
            FROM routed_case c JOIN clock k USING (case_id)
            WHERE c.state = 'closed' AND k.state = 'running'
            LIMIT 1000"""
    )
    return [f"case {row['case_number'] or row['case_id']} {row['fault']}" for row in rows]
