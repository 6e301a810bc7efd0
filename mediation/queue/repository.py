"""Assignments and the case copy as rows."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from mediation.repository import Row

_PUT_CASE: Final = """
  INSERT INTO case_copy ({names}) VALUES ({marks})
  ON CONFLICT (case_id) DO UPDATE SET
    case_number = coalesce(excluded.case_number, case_copy.case_number),
    lane = excluded.lane, sector = excluded.sector,
    dispute_type = excluded.dispute_type, dispute_subtype = excluded.dispute_subtype,
    place = excluded.place, claim_fen = excluded.claim_fen,
    source_organisation = excluded.source_organisation, parties = excluded.parties,
    joint_sessions = excluded.joint_sessions
"""


async def put_offer(
    db: asyncpg.Connection, case: dict[str, Any], assignment: dict[str, Any]
) -> bool:
    """Make or renew the copy of a case and put its offer into the queue once; whether it is new."""

    def marks(after: int, values: dict[str, Any]) -> str:
        return ", ".join(f"${n}" for n in range(after + 1, after + 1 + len(values)))

    copy = _PUT_CASE.format(names=", ".join(case), marks=marks(0, case))
    return (
        await db.fetchval(
            f"""WITH copy AS ({copy})
                INSERT INTO assignment ({", ".join(assignment)})
                VALUES ({marks(len(case), assignment)})
                ON CONFLICT (case_id, episode, ordinal) DO NOTHING RETURNING assignment_id""",
            *case.values(),
            *assignment.values(),
        )
        is not None
    )


async def turn_of(db: asyncpg.Connection, case_id: UUID, episode: int) -> Row | None:
    """The open turn of a round of a case."""
    return await db.fetchrow(
        """SELECT * FROM assignment WHERE case_id = $1 AND episode = $2
             AND state IN ('offered', 'objected', 'accepted')""",
        case_id,
        episode,
    )


async def lock(db: asyncpg.Connection, assignment_id: UUID) -> Row | None:
    """One turn; its case is locked by the caller."""
    return await db.fetchrow("SELECT * FROM assignment WHERE assignment_id = $1", assignment_id)


async def page(
    db: asyncpg.Connection,
    organisation: str,
    *,
    states: list[str],
    lane: str | None,
    dispute_type: str | None,
    due_before: datetime | None,
    place: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Row]:
    """One page of an organisation's queue, oldest due first.

    Several states are read one index range each and merged, so that a page costs the same in a
    queue of ten or of ten million.
    """
    conditions = ["organisation = $1", "due_at IS NOT NULL"]
    values: list[Any] = [organisation]

    def add(condition: str, *more: Any) -> None:
        marks = [f"${len(values) + n}" for n in range(1, len(more) + 1)]
        values.extend(more)
        conditions.append(condition.format(*marks))

    if lane is not None:
        add("lane = {}", lane)
    if dispute_type is not None:
        add("dispute_type = {}", dispute_type)
    if due_before is not None:
        add("due_at < {}", due_before)
    if place is not None:
        add("place LIKE {} || '%'", place.rstrip("0"))
    if after is not None:
        add("(due_at, assignment_id) > ({}, {})", *after)
    where = " AND ".join(conditions)
    parts = " UNION ALL ".join(
        f"(SELECT * FROM assignment WHERE {where} AND state = '{state}'"
        f" ORDER BY due_at, assignment_id LIMIT {int(limit)})"
        for state in states
    )
    return await db.fetch(
        f"SELECT * FROM ({parts}) AS q ORDER BY due_at, assignment_id LIMIT {int(limit)}", *values
    )


async def counts(db: asyncpg.Connection, organisation: str, now: datetime) -> list[Row]:
    """How many items an organisation has per state and lane, and how many are overdue."""
    return await db.fetch(
        """SELECT state, lane, count(*) AS items, count(*) FILTER (WHERE due_at <= $2) AS overdue,
             min(due_at) AS oldest_due_at
           FROM assignment
           WHERE organisation = $1 AND state IN ('offered', 'objected', 'accepted')
           GROUP BY state, lane ORDER BY state, lane""",
        organisation,
        now,
    )
