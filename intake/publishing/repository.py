"""All SQL of public versions and the consents they stand on."""

from typing import Any, Final
from uuid import UUID

import asyncpg

from services.ids import new_id
from services.unit_of_work import UnitOfWork

Row = asyncpg.Record

_MONTH: Final = "to_char({} AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM')"


async def give(uow: UnitOfWork, case_id: UUID, party_id: UUID, told_by: str) -> tuple[Row, bool]:
    """A party's consent, and whether it is new; one that stands is answered as it is."""
    fresh = await uow.db.fetchrow(
        """INSERT INTO publication_consent (consent_id, case_id, party_id, told_by, acted_by,
             occurred_at, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $6)
           ON CONFLICT (party_id) WHERE withdrawn_at IS NULL DO NOTHING RETURNING *""",
        new_id(),
        case_id,
        party_id,
        told_by,
        uow.actor.acted_by,
        uow.now,
    )
    return (fresh, True) if fresh else (await last(uow, party_id), False)


async def last(uow: UnitOfWork, party_id: UUID) -> Any:
    """What the party said last, or None."""
    return await uow.db.fetchrow(
        """SELECT * FROM publication_consent WHERE party_id = $1
           ORDER BY recorded_at DESC, consent_id DESC LIMIT 1""",
        party_id,
    )


async def one(uow: UnitOfWork, consent_id: UUID) -> Row | None:
    """A consent by its id."""
    return await uow.db.fetchrow(
        "SELECT * FROM publication_consent WHERE consent_id = $1", consent_id
    )


async def withdraw(
    uow: UnitOfWork, party_ids: list[UUID], told_by: str, mandate_id: UUID | None = None
) -> list[Row]:
    """Take standing consents back, from now; answers those that stood."""
    rows: list[Row] = await uow.db.fetch(
        """UPDATE publication_consent SET withdrawn_at = $2, withdrawn_told_by = $3,
             withdrawn_mandate_id = $4
           WHERE party_id = ANY($1) AND withdrawn_at IS NULL RETURNING *""",
        party_ids,
        uow.now,
        told_by,
        mandate_id,
    )
    return rows


async def published(uow: UnitOfWork, number: str) -> Row | None:
    """A closed case by its number, when every party consents and nobody is protected."""
    return await uow.db.fetchrow(
        f"""SELECT c.case_id, c.case_number, c.dispute_type, c.place, c.outcome,
              {_MONTH.format("c.registered_at")} AS registered_month,
              {_MONTH.format("c.closed_at")} AS closed_month
            FROM case_file c
            WHERE c.case_number = $1 AND c.state = 'closed' AND c.joint_sessions
              AND EXISTS (SELECT 1 FROM party p WHERE p.case_id = c.case_id)
              AND NOT EXISTS (SELECT 1 FROM party p WHERE p.case_id = c.case_id
                AND NOT EXISTS (SELECT 1 FROM publication_consent k
                  WHERE k.party_id = p.party_id AND k.withdrawn_at IS NULL))""",
        number,
    )


async def alike(uow: UnitOfWork, case: Row, least: int) -> bool:
    """Whether so many cases, this one among them, share everything that would be shown."""
    return bool(
        await uow.db.fetchval(
            f"""SELECT count(*) >= $6 FROM (
                  SELECT 1 FROM case_file c
                  WHERE c.place LIKE $1 AND c.dispute_type = $2 AND c.state = 'closed'
                    AND c.outcome = $3 AND {_MONTH.format("c.registered_at")} = $4
                    AND {_MONTH.format("c.closed_at")} = $5
                  LIMIT $6) found""",
            case["place"][:6] + "%",
            case["dispute_type"],
            case["outcome"],
            case["registered_month"],
            case["closed_month"],
            least,
        )
    )
