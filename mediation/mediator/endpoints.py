"""The roster over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response

from mediation.gate import act
from mediation.mediator import handlers, repository
from mediation.mediator.schemas import MediatorBody, MediatorView, view
from services.auth import Caller
from services.errors import (
    Conflict,
    CursorInvalid,
    IdempotencyInProgress,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
)
from services.http import Reader, Unit, etag, requires
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems

router = APIRouter(prefix="/v1/mediators")


@router.get("", response_model=Items[MediatorView], responses=problems(CursorInvalid))
async def list_mediators(
    caller: Annotated[Caller, requires("mediator:read")], uow: Reader, page: Paging
) -> dict[str, Any]:
    """The organisation's active mediators, with their load."""
    filters = {"organisation": caller.organisation}
    after = page.after(filters)
    rows = await repository.page(
        uow.db, caller.organisation, after=str(after[0]) if after else None, limit=page.fetch
    )
    return page.answer(rows, lambda row: (row["staff_id"],), view, filters)


@router.get("/{mediator_id}", response_model=MediatorView, responses=problems())
async def read_mediator(
    mediator_id: UUID,
    caller: Annotated[Caller, requires("mediator:read")],
    uow: Reader,
    response: Response,
) -> dict[str, Any]:
    """One mediator of the organisation."""
    row = await handlers.read(mediator_id, caller.organisation, uow)
    etag(response, row["version"])
    return view(row)


@router.post(
    "",
    status_code=201,
    response_model=MediatorView,
    responses=problems(
        Conflict, IdempotencyKeyMissing, IdempotencyKeyReused, IdempotencyInProgress
    ),
)
async def add_mediator(
    body: MediatorBody,
    caller: Annotated[Caller, requires("mediator:write")],
    uow: Unit,
    once: Once,
    response: Response,
) -> dict[str, Any]:
    """Put a mediator on the organisation's roster."""
    if once.replayed:
        row = await handlers.read(UUID(once.resource_id), caller.organisation, uow)
    else:
        done_by = await act(uow, caller.organisation, acted_by=caller.acted_by)
        row = await handlers.add(body.model_dump(mode="json"), done_by, uow)
        await once.store(201, location=f"/v1/mediators/{row['id']}", resource_id=str(row["id"]))
    etag(response, row["version"])
    return view(row)
