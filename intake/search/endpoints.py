"""REST: staff search among the cases their organisation takes part in."""

from typing import Annotated, Any

from fastapi import APIRouter

from intake.doors.mandates import NOTHING_UNMARKED
from intake.duplicates.handlers import hasher_of
from intake.search import handlers, schemas
from intake.search.repository import Found
from services.access import AgencyScope
from services.auth import Caller
from services.errors import CursorInvalid, Forbidden, TooLarge, UnsupportedMediaType
from services.http import Unit, requires
from services.paging import Page, Paging
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])


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

    Nothing is changed, so no Idempotency-Key. Where little fits, a page may hold fewer than
    `limit`, or none, with a `next`: that far it has looked, older cases follow. A new
    referral is found by reference and party a moment after its answer.
    """
    if body.party is not None and "party:read" not in caller.scopes:
        raise Forbidden("searching by a party needs party:read")
    asked = handlers.sought(body, hasher_of(uow.runtime))
    filters = asked.filters()
    found = await handlers.search(
        uow,
        AgencyScope(caller),
        body,
        asked,
        before=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    return page_of(found, page, filters)


def page_of(found: Found, page: Page, filters: dict[str, Any]) -> dict[str, Any]:
    """Cases that were found, and from where to go on."""
    return page.answer(
        found.rows,
        lambda row: [row["case_id"]],
        dict,
        filters,
        direction="desc",
        furthest=None if found.furthest is None else [found.furthest],
    )
