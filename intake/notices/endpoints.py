"""Notices over REST: the tasks of a desk, and the proof that somebody was told."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from intake.doors.mandates import NOTHING_UNMARKED
from intake.handlers import fault
from intake.notices import model, repository
from intake.notices.schemas import NoticeView, PassedOn, ProofBody
from services.access import AgencyScope
from services.auth import Caller
from services.errors import CursorInvalid, Invalid, NotFound, TooLarge, UnsupportedMediaType
from services.http import Reader, Unit, requires
from services.paging import Items, Paging
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])


@router.get(
    "/v1/notices",
    response_model=Items[NoticeView],
    responses=problems(CursorInvalid),
    summary="What your desk still has to tell somebody",
)
async def list_notices(
    caller: Annotated[Caller, requires("matter:read")], uow: Reader, page: Paging
) -> Any:
    """Open tasks, oldest first: a notice to the party, or one that you were sent yourself."""
    after = page.after_id({})
    rows = await repository.tasks(uow, caller.organisation, after=after, limit=page.fetch)
    return page.answer(rows, lambda row: [row["notice_id"]], dict, {})


@router.get(
    "/v1/cases/{case_id}/notices",
    response_model=Items[PassedOn],
    responses=problems(),
    summary="To whom the case was passed on, and who was told of it",
)
async def list_case_notices(
    case_id: UUID, caller: Annotated[Caller, requires("case:read")], uow: Reader
) -> Any:
    """One item per turn, first to last: a notice to each party and one to the receiver."""
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    owed = [dict(row) for row in await repository.of_case(uow, case_id)]
    items = []
    for turn in await repository.turns(uow, case_id):
        own = [each for each in owed if each["subject_id"] == turn["assignment_id"]]
        state = {"sent": model.sent(own), "told": model.told(own), "notices": own}
        items.append({**dict(turn), **state})
    return {"items": items, "next": None}


@router.post(
    "/v1/notices/{notice_id}/proofs",
    response_model=NoticeView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="Record that somebody was told",
)
async def prove_notice(
    notice_id: UUID, body: ProofBody, caller: Annotated[Caller, requires("matter:write")], uow: Unit
) -> Any:
    """How and when; a repeat answers the first proof. Needs no Idempotency-Key for that reason."""
    at = body.occurred_at or uow.now
    if at > uow.now:
        raise Invalid(errors=[fault("/occurred_at", "in_future")])
    row = await repository.prove(uow, notice_id, caller.organisation, means=body.means, at=at)
    if row is None:
        raise NotFound()
    uow.audit("notice.proved", subject=str(notice_id), detail={"means": body.means})
    return dict(row)
