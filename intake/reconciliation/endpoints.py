"""REST of reconciliations: translate, authorise, delegate."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from intake.doors.mandates import NOTHING_UNMARKED
from intake.imports.endpoints import media_type, pieces
from intake.imports.model import MEDIA_TYPES
from intake.reconciliation import handlers, repository, schemas
from services.access import AgencyScope
from services.auth import Caller
from services.errors import CursorInvalid, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from services.http import Reader, requires, runtime_of
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import Actor, UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_LISTS: Final = ("csv", "ndjson")


@router.post(
    "/v1/reconciliations",
    status_code=201,
    response_model=schemas.ReconciliationView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="Hold your list against ours",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string"}}
                for kind in ("text/csv", "application/x-ndjson")
            },
        }
    },
)
async def reconcile(
    request: Request,
    response: Response,
    caller: Annotated[Caller, requires("referral:read")],
    received_from: Annotated[
        AwareDatetime | None, Query(description="What we had from then on must be on the list")
    ] = None,
    received_until: Annotated[AwareDatetime | None, Query(description="Exclusive")] = None,
) -> Any:
    """`reference`, and where you have them `state`, `place`, `content_hash`; changes nothing.

    A list sent again is another comparison, so it needs no key. `content_hash` is the SHA-256 of
    the referral in the form of RFC 8785, as `GET /v1/referrals/{referral_id}` shows it.
    """
    runtime = runtime_of(request)
    if not runtime.writes_allowed:
        raise Unavailable("writes wait for recovery", retry_after_seconds=5)
    kind = MEDIA_TYPES.get(media_type(request), "")
    if kind not in _LISTS:
        raise UnsupportedMediaType()
    at_most: int = getattr(runtime.settings, "reconciliation_lines", 0)
    theirs = await handlers.read_list(pieces(request), kind, at_most)
    async with runtime.unit_of_work(
        actor=Actor(caller.client_id, caller.organisation, caller.acted_by),
        organisation=caller.organisation,
        caller=caller,
    ) as uow:
        made = await handlers.reconcile(
            uow,
            theirs,
            organisation=caller.organisation,
            connection=caller.connection,
            received_from=received_from,
            received_until=received_until,
        )
        response.headers["Location"] = f"/v1/reconciliations/{made}"
        return await _own(uow, caller, made)


async def _own(uow: UnitOfWork, caller: Caller, reconciliation_id: UUID) -> dict[str, Any]:
    found = await repository.own(uow, AgencyScope(caller), reconciliation_id)
    if found is None:
        raise NotFound()
    return dict(found)


@router.get(
    "/v1/reconciliations",
    response_model=Items[schemas.ReconciliationView],
    responses=problems(CursorInvalid),
    summary="Your reconciliations, youngest first",
)
async def list_reconciliations(
    caller: Annotated[Caller, requires("referral:read")], uow: Reader, page: Paging
) -> Any:
    """Those asked for, and those of dropped lists."""
    before = page.after_id({}, direction="desc")
    rows = await repository.of_the_organisation(
        uow, AgencyScope(caller), before=before, limit=page.fetch
    )
    return page.answer(rows, lambda r: [r["reconciliation_id"]], dict, {}, direction="desc")


@router.get(
    "/v1/reconciliations/{reconciliation_id}",
    response_model=schemas.ReconciliationView,
    responses=problems(),
    summary="One reconciliation",
)
async def read_reconciliation(
    reconciliation_id: UUID, caller: Annotated[Caller, requires("referral:read")], uow: Reader
) -> Any:
    """What was found, by kind."""
    return await _own(uow, caller, reconciliation_id)


@router.get(
    "/v1/reconciliations/{reconciliation_id}/differences",
    response_model=Items[schemas.DifferenceView],
    responses=problems(CursorInvalid),
    summary="Where the lists differ",
)
async def list_differences(
    reconciliation_id: UUID,
    caller: Annotated[Caller, requires("referral:read")],
    uow: Reader,
    page: Paging,
    kind: Annotated[schemas.Kind | None, Query()] = None,
) -> Any:
    """Each with what mends it, on which side."""
    await _own(uow, caller, reconciliation_id)
    filters = {"reconciliation_id": str(reconciliation_id), "kind": kind}
    rows = await repository.differences(
        uow.db, reconciliation_id, kind=kind, after=page.after_number(filters), limit=page.fetch
    )
    return page.answer(rows, lambda row: [row["number"]], handlers.difference_view, filters)
