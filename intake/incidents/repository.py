"""All SQL of incidents."""

from typing import Any
from uuid import UUID

from services.ids import new_id
from services.unit_of_work import UnitOfWork

Row = Any


async def put(
    uow: UnitOfWork, organisation: str, number: str, normal: str, papers: list[dict[str, Any]]
) -> UUID:
    """The incident of a number, made when it is new; new evidence joins what is there."""
    incident_id: UUID = await uow.db.fetchval(
        """INSERT INTO incident (incident_id, organisation, accident_number, normal_number,
             recorded_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (organisation, normal_number)
             DO UPDATE SET normal_number = excluded.normal_number
           RETURNING incident_id""",
        new_id(),
        organisation,
        number,
        normal,
        uow.now,
    )
    await uow.db.execute(
        """INSERT INTO incident_document (incident_id, sha256, size_bytes, media_type, recorded_at)
           SELECT $1, d.sha256, d.size, d.media_type, $5
           FROM unnest($2::text[], $3::bigint[], $4::text[]) AS d(sha256, size, media_type)
           ON CONFLICT DO NOTHING""",
        incident_id,
        [paper["sha256"] for paper in papers],
        [paper["size"] for paper in papers],
        [paper["media_type"] for paper in papers],
        uow.now,
    )
    return incident_id


async def add_cases(uow: UnitOfWork, incident_id: UUID, case_ids: list[UUID]) -> None:
    """Link cases to their incident; a repeat changes nothing."""
    await uow.db.execute(
        """INSERT INTO incident_case (case_id, incident_id, recorded_at)
           SELECT unnest($1::uuid[]), $2, $3 ON CONFLICT DO NOTHING""",
        case_ids,
        incident_id,
        uow.now,
    )


async def own(uow: UnitOfWork, organisation: str, incident_id: UUID) -> Row | None:
    """An incident, for the body that made it."""
    return await uow.db.fetchrow(
        "SELECT * FROM incident WHERE incident_id = $1 AND organisation = $2",
        incident_id,
        organisation,
    )


async def cases(uow: UnitOfWork, incident_id: UUID) -> list[Row]:
    """The cases of an incident, for the body that made it alone."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT c.case_id, c.case_number FROM incident_case i JOIN case_file c USING (case_id)
           WHERE i.incident_id = $1 ORDER BY c.case_id""",
        incident_id,
    )
    return rows


async def papers(uow: UnitOfWork, incident_id: UUID) -> list[Row]:
    """The evidence all cases share."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT sha256, size_bytes, media_type FROM incident_document WHERE incident_id = $1
           ORDER BY recorded_at, sha256""",
        incident_id,
    )
    return rows


async def of_case(uow: UnitOfWork, case_id: UUID) -> UUID | None:
    """The incident behind a case; the caller has passed the case's gate."""
    found: UUID | None = await uow.db.fetchval(
        "SELECT incident_id FROM incident_case WHERE case_id = $1", case_id
    )
    return found


async def number(uow: UnitOfWork, incident_id: UUID) -> str | None:
    """The accident's own number."""
    found: str | None = await uow.db.fetchval(
        "SELECT accident_number FROM incident WHERE incident_id = $1", incident_id
    )
    return found
