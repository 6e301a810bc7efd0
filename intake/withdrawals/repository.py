"""All SQL of withdrawals."""

from typing import Any
from uuid import UUID

import asyncpg

from services.unit_of_work import UnitOfWork

Row = asyncpg.Record


async def add(uow: UnitOfWork, row: dict[str, Any]) -> bool:
    """Write a withdrawal; False when this referral was withdrawn in this round before."""
    names = ", ".join(row)
    marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    status = await uow.db.execute(
        f"""INSERT INTO withdrawal ({names}) VALUES ({marks})
            ON CONFLICT (referral_id, episode) DO NOTHING""",
        *row.values(),
    )
    return bool(status.endswith(" 1"))


async def one(uow: UnitOfWork, withdrawal_id: UUID) -> Row | None:
    """A withdrawal by its id."""
    return await uow.db.fetchrow("SELECT * FROM withdrawal WHERE withdrawal_id = $1", withdrawal_id)


async def of_case(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The withdrawals of a case, oldest first."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM withdrawal WHERE case_id = $1 ORDER BY withdrawal_id", case_id
    )
    return rows


async def of_round(uow: UnitOfWork, case_id: UUID, episode: int) -> Row | None:
    """The withdrawal that decides whether this round goes on, if there is one."""
    return await uow.db.fetchrow(
        """SELECT * FROM withdrawal WHERE case_id = $1 AND episode = $2
             AND state <> 'others_go_on' ORDER BY withdrawal_id DESC LIMIT 1""",
        case_id,
        episode,
    )


async def others(uow: UnitOfWork, case_id: UUID) -> bool:
    """Whether referrals of joined files, which nobody took back, keep the case going."""
    return bool(
        await uow.db.fetchval(
            """SELECT EXISTS (SELECT 1 FROM case_join j JOIN referral r
                 ON r.case_id = j.joined_case_id
               WHERE j.surviving_case_id = $1 AND j.undone_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM withdrawal w
                                 WHERE w.referral_id = r.referral_id))""",
            case_id,
        )
    )


async def is_joined(uow: UnitOfWork, case_id: UUID) -> bool:
    """Whether the file rests because another one is handled for it."""
    return bool(
        await uow.db.fetchval(
            """SELECT EXISTS (SELECT 1 FROM case_join
                              WHERE joined_case_id = $1 AND undone_at IS NULL)""",
            case_id,
        )
    )


async def other_organisations(uow: UnitOfWork, case_id: UUID, source: str) -> list[str]:
    """Who else takes part in the case now."""
    rows = await uow.db.fetch(
        """SELECT DISTINCT organisation FROM participation
           WHERE case_id = $1 AND organisation <> $2 AND left_at IS NULL ORDER BY organisation""",
        case_id,
        source,
    )
    return [row["organisation"] for row in rows]


async def ask(
    uow: UnitOfWork, withdrawal_id: UUID, party_id: UUID, told_by: str, mandate_id: UUID | None
) -> None:
    """A party asked that the case goes on: it does."""
    await uow.db.execute(
        """UPDATE withdrawal SET state = 'goes_on', asked_by_party = $2, told_by = $3,
             told_acted_by = $4, asked_at = $5, settled_at = $5, asked_mandate_id = $6
           WHERE withdrawal_id = $1""",
        withdrawal_id,
        party_id,
        told_by,
        uow.actor.acted_by,
        uow.now,
        mandate_id,
    )


async def settle(uow: UnitOfWork, withdrawal_id: UUID, state: str) -> None:
    """What became of it without anybody's word."""
    await uow.db.execute(
        "UPDATE withdrawal SET state = $2, settled_at = $3 WHERE withdrawal_id = $1",
        withdrawal_id,
        state,
        uow.now,
    )


async def due(uow: UnitOfWork, limit: int) -> list[Row]:
    """Withdrawals whose time to ask has elapsed, the longest first."""
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT withdrawal_id, case_id FROM withdrawal WHERE state = 'waiting' AND ask_by <= $1
            ORDER BY ask_by, withdrawal_id LIMIT {int(limit)}""",
        uow.now,
    )
    return rows
