"""Links over REST: made, seen and ended by who takes part in both cases."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from intake.doors.mandates import NOTHING_UNMARKED
from intake.linking import handlers, repository
from intake.linking.model import SEES
from intake.linking.schemas import LinkBody, LinkView
from intake.problems import WRITES
from services.access import AgencyScope
from services.auth import Caller
from services.errors import Conflict, NotFound
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.paging import Items
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])


@router.post(
    "/v1/cases/{case_id}/links",
    status_code=201,
    response_model=LinkView,
    responses=problems(Conflict, *WRITES),
    summary="Link a case with another one",
)
async def link_case(
    case_id: UUID,
    body: LinkBody,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """Counterclaims and linked matters stay cases of their own; neither file opens the other."""
    scope = AgencyScope(caller)
    if once.replayed:
        await scope.require(uow, case_id, roles=SEES)
        link_id = UUID(once.resource_id)
    else:
        link_id = await handlers.link(uow, scope, case_id, body.other_case_id, body.kind)
        await once.store(201, location=f"/v1/cases/{case_id}/links", resource_id=str(link_id))
    row = await repository.seen(uow, scope, case_id, link_id)
    if row is None:
        raise NotFound()
    return dict(row)


@router.get(
    "/v1/cases/{case_id}/links",
    response_model=Items[LinkView],
    responses=problems(),
    summary="Cases that are linked with this one",
)
async def list_links(
    case_id: UUID, caller: Annotated[Caller, requires("case:read")], uow: Reader
) -> Any:
    """Those alone that the caller takes part in too; of others it is not told that they exist."""
    scope = AgencyScope(caller)
    await scope.require(uow, case_id)
    rows = await repository.of_case(uow, scope, case_id)
    return {"items": [dict(row) for row in rows], "next": None}


@router.post(
    "/v1/case-links/{link_id}/removals",
    response_model=LinkView,
    responses=problems(),
    summary="End a link between two cases",
)
async def unlink_case(
    link_id: UUID, caller: Annotated[Caller, requires("case:write")], uow: Unit
) -> Any:
    """A repeat answers the first time, so it needs no Idempotency-Key."""
    row = await handlers.unlink(uow, AgencyScope(caller), link_id)
    if row is None:
        raise NotFound()
    return dict(row)
