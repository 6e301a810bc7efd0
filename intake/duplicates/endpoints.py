"""REST: what may be the same, what is not, joining and undoing."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from intake.doors.mandates import NOTHING_UNMARKED
from intake.duplicates import handlers, repository, schemas
from intake.duplicates.rules import RULES, words
from services.access import AgencyScope
from services.auth import Caller
from services.errors import (
    Conflict,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from services.http import Unit, requires
from services.idempotency import Once
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)


@router.get(
    "/v1/cases/{case_id}/duplicates",
    response_model=schemas.DuplicatesView,
    responses=problems(),
    summary="Files that may be about the same dispute",
)
async def read_duplicates(
    case_id: UUID,
    caller: Annotated[Caller, requires("case:read")],
    uow: Unit,
    least: Annotated[
        int, Query(ge=0, le=100, description="Show from this figure on; weak ones are kept too")
    ] = RULES.shown,
) -> Any:
    """For source and handler, with reasons; of files the caller may not see at most who has them.

    Such a notice is logged in the other file, where its applicant sees it.
    """
    scope = AgencyScope(caller)
    await scope.require(uow, case_id, roles=repository.SEES)
    rows = await repository.visible_pairs(uow, scope, case_id, least)
    return {
        "case_id": case_id,
        "compared": await repository.traits(uow.db, case_id) is not None,
        "shown_from": least,
        "items": [_shown(row) for row in rows],
        "already_handled": [
            {
                "organisation": code,
                "zh": RULES.notice_zh.format(organisation=_name(uow, code, "name_zh")),
                "en": RULES.notice_en.format(organisation=_name(uow, code, "name_en")),
            }
            for code in await handlers.handled_elsewhere(uow, scope, case_id)
        ],
    }


def _name(uow: Unit, code: str, language: str) -> str:
    return (uow.runtime.directory.organisation(code) or {}).get(language) or code


def _shown(row: Any) -> dict[str, Any]:
    known = words()
    return {
        **dict(row),
        "ground": "repeat" if "repeat" in row["reasons"] else "alike",
        "reasons": [
            {"code": code, "zh": known[code][0], "en": known[code][1]}
            for code in row["reasons"]
            if code in known
        ],
    }


@router.post(
    "/v1/cases/{case_id}/duplicates/dismissals",
    status_code=201,
    response_model=schemas.DismissalView,
    responses=problems(Conflict, *_WRITES),
    summary="Say that two files are two disputes",
)
async def dismiss_duplicate(
    case_id: UUID,
    body: schemas.DismissalBody,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """By a member of staff (`Acted-By`) of an organisation that may see both; kept for good."""
    scope = AgencyScope(caller)
    if once.replayed:
        await scope.require(uow, case_id, roles=repository.SEES)
    else:
        await handlers.dismiss(uow, scope, case_id, body.other_case_id, body.reason)
        await once.store(
            201, location=f"/v1/cases/{case_id}/duplicates", resource_id=str(body.other_case_id)
        )
    return {"case_id": case_id, **body.model_dump()}


@router.post(
    "/v1/cases/{case_id}/joins",
    status_code=201,
    response_model=schemas.JoinView,
    responses=problems(Conflict, *_WRITES),
    summary="Handle another file together with this one",
)
async def join_cases(
    case_id: UUID,
    body: schemas.JoinBody,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """A person decides (`Acted-By`), who may see both files. This file goes on, the other rests;

    both numbers and all receipts go on resolving, and each agency is told under its own number.
    """
    scope = AgencyScope(caller)
    if once.replayed:
        join_id = UUID(once.resource_id)
        await scope.require(uow, case_id, roles=repository.SEES)
    else:
        join_id = await handlers.join_cases(uow, scope, case_id, body.other_case_id, body.ground)
        await once.store(201, location=f"/v1/cases/{case_id}", resource_id=str(join_id))
    row = await repository.join_by_id(uow, join_id)
    if row is None:
        raise NotFound()
    return dict(row)


@router.post(
    "/v1/joins/{join_id}/undoings",
    status_code=201,
    response_model=schemas.UndoingView,
    responses=problems(Conflict, *_WRITES),
    summary="Undo a join",
)
async def undo_join(
    join_id: UUID,
    body: schemas.UndoingBody,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """Source or handler of either file; the joined one begins its next round."""
    row = await handlers.separate_cases(
        uow, AgencyScope(caller), join_id, body.reason, replayed=once.replayed
    )
    if not once.replayed:
        await once.store(
            201, location=f"/v1/cases/{row['joined_case_id']}", resource_id=str(join_id)
        )
    return {**dict(row), "reason": body.reason}
