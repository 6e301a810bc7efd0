"""All SQL of rounds: each organisation its own."""

from datetime import date
from typing import Any
from uuid import UUID

from services.errors import NotFound
from services.ids import new_id
from services.unit_of_work import UnitOfWork

Row = Any


async def add(
    uow: UnitOfWork,
    *,
    organisation: str,
    place: str,
    level: str,
    began_on: date,
    ended_on: date,
    findings: list[tuple[str, str]],
) -> UUID:
    """Write a round with its findings (place, cause)."""
    round_id = new_id()
    await uow.db.execute(
        """WITH r AS (INSERT INTO round (round_id, organisation, place, level, began_on, ended_on,
             nothing_found, acted_by, recorded_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9))
           INSERT INTO finding (finding_id, round_id, organisation, place, cause, recorded_at)
           SELECT f.id, $1, $2, f.place, f.cause, $9
           FROM unnest($10::uuid[], $11::text[], $12::text[]) AS f(id, place, cause)""",
        round_id,
        organisation,
        place,
        level,
        began_on,
        ended_on,
        not findings,
        uow.actor.acted_by,
        uow.now,
        [new_id() for _ in findings],
        [where for where, _ in findings],
        [cause for _, cause in findings],
    )
    return round_id


async def own(uow: UnitOfWork, organisation: str, round_id: UUID) -> Row | None:
    """A round of the organisation."""
    return await uow.db.fetchrow(
        "SELECT * FROM round WHERE round_id = $1 AND organisation = $2", round_id, organisation
    )


async def listed(
    uow: UnitOfWork, organisation: str, *, before: UUID | None, limit: int
) -> list[Row]:
    """The organisation's rounds, youngest first."""
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT * FROM round WHERE organisation = $1
             AND round_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           ORDER BY round_id DESC LIMIT {int(limit)}""",
        organisation,
        before,
    )
    return rows


async def findings(uow: UnitOfWork, round_ids: list[UUID]) -> list[Row]:
    """The findings of rounds, in order."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM finding WHERE round_id = ANY($1::uuid[]) ORDER BY finding_id", round_ids
    )
    return rows


async def last(uow: UnitOfWork, organisation: str) -> list[Row]:
    """The last round in each place the organisation looks at."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT DISTINCT ON (place) place, level, ended_on FROM round WHERE organisation = $1
           ORDER BY place, ended_on DESC""",
        organisation,
    )
    return rows


async def convert(uow: UnitOfWork, finding_id: UUID, organisation: str, case_id: UUID) -> None:
    """A finding has become a case. Raises ``NotFound`` for what is not the organisation's."""
    done = await uow.db.fetchval(
        """UPDATE finding SET case_id = $3 WHERE finding_id = $1 AND organisation = $2
           RETURNING true""",
        finding_id,
        organisation,
        case_id,
    )
    if not done:
        raise NotFound()
