"""All SQL of links between cases."""

from typing import Any, Final
from uuid import UUID

import asyncpg

from services.access import AgencyScope
from services.unit_of_work import UnitOfWork

Row = asyncpg.Record

# A link as it stands beside one of its cases: the other one, by number too.
_SEEN: Final = """
SELECT l.link_id, $2::uuid AS case_id, c.case_id AS other_case_id,
  c.case_number AS other_case_number, c.state AS other_state, l.kind, l.linked_by, l.linked_at,
  l.removed_at, l.case_id = $2 AS named_here
FROM case_link l
JOIN case_file c ON c.case_id = CASE WHEN l.case_id = $2 THEN l.other_case_id ELSE l.case_id END
"""


async def add(uow: UnitOfWork, row: dict[str, Any]) -> bool:
    """Write a link; False when these two stand linked so already."""
    names = ", ".join(row)
    marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    status = await uow.db.execute(
        f"INSERT INTO case_link ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING", *row.values()
    )
    return bool(status.endswith(" 1"))


async def one(uow: UnitOfWork, link_id: UUID) -> Row | None:
    """A link by its id; the caller passes the gate of both cases."""
    return await uow.db.fetchrow("SELECT * FROM case_link WHERE link_id = $1", link_id)


async def seen(uow: UnitOfWork, scope: AgencyScope, case_id: UUID, link_id: UUID) -> Row | None:
    """A link as it stands beside a case, for who takes part in the other one too."""
    return await uow.db.fetchrow(
        f"{_SEEN} WHERE l.link_id = $3 AND {scope.sql('c.case_id', 1)}",
        scope.organisation,
        case_id,
        link_id,
    )


async def of_case(uow: UnitOfWork, scope: AgencyScope, case_id: UUID) -> list[Row]:
    """The standing links of a case whose other case the organisation takes part in too."""
    rows: list[Row] = await uow.db.fetch(
        f"""{_SEEN} WHERE (l.case_id = $2 OR l.other_case_id = $2) AND l.removed_at IS NULL
              AND {scope.sql("c.case_id", 1)} ORDER BY l.link_id""",
        scope.organisation,
        case_id,
    )
    return rows


async def remove(uow: UnitOfWork, link_id: UUID, organisation: str) -> bool:
    """The link is over; False when it was before, and the first end stands."""
    status = await uow.db.execute(
        """UPDATE case_link SET removed_at = $2, removed_by = $3
           WHERE link_id = $1 AND removed_at IS NULL""",
        link_id,
        uow.now,
        organisation,
    )
    return bool(status.endswith(" 1"))
