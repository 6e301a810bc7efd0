"""The queue over REST: see, accept, return, object."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from mediation import errors
from mediation.gate import act, handler_kind, hold, own
from mediation.queue import handlers, repository
from mediation.queue.schemas import (
    AcceptBody,
    CountsView,
    QueueItemView,
    RefusalBody,
    State,
    view,
)
from mediation.repository import Row
from services.auth import Caller
from services.calendar import CalendarYear, add, shipped
from services.errors import (
    AcceptanceWindowElapsed,
    CursorInvalid,
)
from services.events import lanes
from services.http import IfMatch, Reader, Unit, etag, requires
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(prefix="/v1/queue")
MOVES = (AcceptanceWindowElapsed, *errors.MOVES)
Reading = Annotated[Caller, requires("queue:read")]
Writing = Annotated[Caller, requires("queue:write")]


@router.get("", response_model=Items[QueueItemView], responses=problems(CursorInvalid))
async def list_queue(
    caller: Reading,
    uow: Reader,
    page: Paging,
    state: Annotated[
        list[State] | None, Query(description="Open states when left out; may be repeated")
    ] = None,
    lane: Annotated[str | None, Query(max_length=64)] = None,
    dispute_type: Annotated[str | None, Query(max_length=64)] = None,
    due_before: Annotated[AwareDatetime | None, Query()] = None,
    place: Annotated[
        str | None, Query(pattern=r"^[0-9]{2,15}$", description="A place and all below it")
    ] = None,
) -> dict[str, Any]:
    """The organisation's own queue, oldest due first."""
    states = sorted(set(state or ("offered", "objected", "accepted")))
    filters = {
        "organisation": caller.organisation,
        "state": states,
        "lane": lane,
        "dispute_type": dispute_type,
        "due_before": due_before,
        "place": place,
    }
    after = page.after(filters)
    rows = await repository.page(
        uow.db,
        caller.organisation,
        states=list(states),
        lane=lane,
        dispute_type=dispute_type,
        due_before=due_before,
        place=place,
        after=_after(after),
        limit=page.fetch,
    )
    return page.answer(
        rows, lambda row: (row["due_at"].isoformat(), row["assignment_id"]), view, filters
    )


def _after(keys: list[Any] | None) -> tuple[datetime, UUID] | None:
    if keys is None:
        return None
    try:
        return datetime.fromisoformat(keys[0]), UUID(keys[1])
    except (ValueError, TypeError, IndexError, AttributeError):
        raise CursorInvalid() from None


@router.get("/counts", response_model=CountsView, responses=problems())
async def count_queue(caller: Reading, uow: Reader) -> dict[str, Any]:
    """How many items are open, per state and lane."""
    rows = await repository.counts(uow.db, caller.organisation, uow.now)
    return {
        "organisation": caller.organisation,
        "total": sum(row["items"] for row in rows),
        "overdue": sum(row["overdue"] for row in rows),
        "counts": [dict(row) for row in rows],
    }


@router.get("/{assignment_id}", response_model=QueueItemView, responses=problems())
async def read_item(
    assignment_id: UUID, caller: Reading, uow: Reader, response: Response
) -> dict[str, Any]:
    """One item of the organisation's own queue."""
    row = await own(uow, "assignment", assignment_id, caller.organisation)
    etag(response, row["version"])
    return view(row)


@router.post("/{assignment_id}/accept", response_model=QueueItemView, responses=problems(*MOVES))
async def accept_item(
    assignment_id: UUID,
    body: AcceptBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Accept the offer; the answer tells the lane's term. Possible until it has ended."""
    if once.replayed:
        row = await own(uow, "assignment", assignment_id, caller.organisation)
    else:
        done_by = await act(
            uow, caller.organisation, occurred_at=body.occurred_at, acted_by=caller.acted_by
        )
        row = await hold(uow, "assignment", assignment_id, caller.organisation, version=version)
        row = await handlers.accept(row, done_by, uow)
        await once.store(200, resource_id=str(assignment_id))
    return _answer(row, uow, response)


@router.post("/{assignment_id}/return", response_model=QueueItemView, responses=problems(*MOVES))
async def return_item(
    assignment_id: UUID,
    body: RefusalBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Return the offer on a ground of the closed list, before `accept_by`."""
    if once.replayed:
        row = await own(uow, "assignment", assignment_id, caller.organisation)
    else:
        done_by = await act(uow, caller.organisation, acted_by=caller.acted_by)
        row = await hold(uow, "assignment", assignment_id, caller.organisation, version=version)
        row = await handlers.give_back(row, body.ground, body.note, done_by, uow)
        await once.store(200, resource_id=str(assignment_id))
    return _answer(row, uow, response)


@router.post("/{assignment_id}/object", response_model=QueueItemView, responses=problems(*MOVES))
async def object_to_item(
    assignment_id: UUID,
    body: RefusalBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Object to the offer where the lane knows objections; the sender decides (信访工作条例 23)."""
    if once.replayed:
        row = await own(uow, "assignment", assignment_id, caller.organisation)
    else:
        done_by = await act(uow, caller.organisation, acted_by=caller.acted_by)
        row = await hold(uow, "assignment", assignment_id, caller.organisation, version=version)
        row = await handlers.object_to(row, body.ground, body.note, done_by, uow)
        await once.store(200, resource_id=str(assignment_id))
    return _answer(row, uow, response)


def _answer(row: Row, uow: UnitOfWork, response: Response) -> dict[str, Any]:
    etag(response, row["version"])
    return view(row, term_starts=_term(row, uow) if row["state"] == "accepted" else None)


def _term(row: Row, uow: UnitOfWork) -> dict[str, Any] | None:
    """The lane's term from acceptance, as it is before any pause; routing's clock decides."""
    term = lanes.terms(
        row["lane"],
        dispute_type=row["dispute_type"],
        handler_kind=handler_kind(uow, row["organisation"]),
        place=row["place"],
    )[0]
    calendars = {**shipped()}
    for year, value in uow.runtime.directory.all("calendar").items():
        calendars[int(year)] = CalendarYear.from_value(value)
    due = add(row["accepted_at"], term.n, term.unit, calendars)
    return {
        "rule": term.deadline or "site",
        "n": term.n,
        "unit": term.unit,
        "source": term.source,
        "certainty": term.certainty,
        "due_at": due.due_at,
        "due_on": due.due_on.isoformat(),
    }
