"""REST: staff search among the cases their organisation takes part in."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from intake.duplicates.handlers import hasher_of
from intake.search import handlers, schemas
from services.access import AgencyScope
from services.auth import Caller
from services.errors import CursorInvalid, Forbidden, TooLarge, UnsupportedMediaType
from services.http import Unit, requires
from services.paging import Paging
from services.problem import problems

router = APIRouter()


@router.post(
    "/v1/cases/searches",
    response_model=schemas.FoundCases,
    responses=problems(CursorInvalid, TooLarge, UnsupportedMediaType),
    summary="Search your cases",
)
async def search_cases(
    body: schemas.SearchBody,
    caller: Annotated[Caller, requires("case:read")],
    uow: Unit,
    page: Paging,
) -> Any:
    """By number, place, type, state, time; by a party for a purpose (scope `party:read`), logged.

    Nothing is changed, so no Idempotency-Key. A new referral is found by reference and party a
    moment after its answer.
    """
    if body.party is not None and "party:read" not in caller.scopes:
        raise Forbidden("searching by a party needs party:read")
    asked = handlers.sought(body, hasher_of(uow.runtime))
    filters = asked.filters()
    rows = await handlers.search(
        uow,
        AgencyScope(caller),
        body,
        asked,
        before=_before(page.after(filters, direction="desc")),
        limit=page.fetch,
    )
    return page.answer(rows, lambda row: [row["case_id"]], dict, filters, direction="desc")


def _before(after: list[Any] | None) -> UUID | None:
    if after is None:
        return None
    try:
        return UUID(after[0])
    except (ValueError, TypeError, IndexError, AttributeError):
        raise CursorInvalid() from None
