"""The roster is kept by the organisation itself."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from mediation.errors import fail
from mediation.gate import Act
from mediation.mediator import repository
from mediation.repository import Row
from services.errors import NotFound
from services.unit_of_work import UnitOfWork


async def add(values: Mapping[str, Any], act: Act, uow: UnitOfWork) -> Row:
    """Put a mediator on the organisation's roster; a staff id is used once."""
    if await uow.db.fetchval(
        "SELECT true FROM staff WHERE organisation = $1 AND staff_id = $2",
        act.organisation,
        values["staff_id"],
    ):
        fail("staff-id-in-use", "该人员编号已被使用。/ The staff id is in use.")
    id_ = await repository.put(uow.db, {**values, "organisation": act.organisation})
    uow.audit("mediator.add", subject=str(id_))
    return await read(id_, act.organisation, uow)


async def read(mediator_id: UUID, organisation: str, uow: UnitOfWork) -> Row:
    """One mediator of the organisation. Raises ``NotFound``."""
    row = await repository.one(uow.db, mediator_id, organisation)
    if row is None:
        raise NotFound()
    return row
