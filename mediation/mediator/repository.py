"""Staff and their load as rows."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from mediation.mediator.model import MEDIATOR_ROLES, Mediator, Relation
from mediation.repository import Row
from services.ids import new_id

_WITH_LOAD = """
    SELECT s.*, (SELECT count(*) FROM mediation m
                 WHERE m.mediator_id = s.id AND m.state = 'open') AS open_cases
    FROM staff s
"""


async def mediator(db: asyncpg.Connection, mediator_id: UUID) -> Mediator | None:
    """A mediator with what the conflict check needs."""
    row = await db.fetchrow(f"{_WITH_LOAD} WHERE s.id = $1", mediator_id)
    if row is None:
        return None
    return Mediator(
        id=row["staff_id"],
        organisation=row["organisation"],
        role=row["role"],
        active=row["active"],
        open_cases=row["open_cases"],
        open_case_limit=row["open_case_limit"],
        relations=tuple(
            Relation(
                relation["kind"],
                UUID(relation["party_id"]) if relation.get("party_id") else None,
                relation.get("organisation"),
            )
            for relation in row["relations"]
        ),
    )


async def one(db: asyncpg.Connection, mediator_id: UUID, organisation: str) -> Row | None:
    """One mediator of an organisation."""
    return await db.fetchrow(
        f"{_WITH_LOAD} WHERE s.id = $1 AND s.organisation = $2", mediator_id, organisation
    )


async def page(
    db: asyncpg.Connection, organisation: str, *, after: str | None, limit: int
) -> list[Row]:
    """One page of an organisation's mediators, by staff id."""
    return await db.fetch(
        f"""{_WITH_LOAD} WHERE s.organisation = $1 AND s.role = ANY($2) AND s.active
              AND ($3::text IS NULL OR s.staff_id > $3)
            ORDER BY s.staff_id LIMIT $4""",
        organisation,
        list(MEDIATOR_ROLES),
        after,
        limit,
    )


async def put(db: asyncpg.Connection, values: Mapping[str, Any]) -> UUID:
    """Add or renew a member of staff by (organisation, staff id); answers the row's id."""
    id_: UUID = await db.fetchval(
        """INSERT INTO staff (id, organisation, staff_id, name, role, employment, languages,
             specialities, phone, open_case_limit, relations)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
           ON CONFLICT (organisation, staff_id) DO UPDATE SET
             name = excluded.name, role = excluded.role, employment = excluded.employment,
             languages = excluded.languages, specialities = excluded.specialities,
             phone = excluded.phone, open_case_limit = excluded.open_case_limit,
             relations = CASE WHEN excluded.relations = '[]' THEN staff.relations
                              ELSE excluded.relations END,
             version = staff.version + 1
           RETURNING id""",
        new_id(),
        values["organisation"],
        values["staff_id"],
        values["name"],
        values["role"],
        values.get("employment", "full_time"),
        values.get("languages", []),
        values.get("specialities", []),
        values.get("phone"),
        values.get("open_case_limit"),
        values.get("relations", []),
    )
    return id_
