"""Checks before registering, refusals on record, and their review, over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from intake import receipt
from intake.doors.mandates import NOTHING_UNMARKED
from intake.endpoints import referral_document
from intake.gates import handlers, model, repository
from intake.gates.schemas import (
    CheckedView,
    RefusalCounts,
    RefusalReceipt,
    RefusalView,
    ReviewBody,
)
from intake.handlers import require_own
from intake.keys import keys_of
from intake.notices import repository as notices
from intake.validation import validate
from services.auth import Caller
from services.calendar import day_of
from services.directory import DirectoryCopy
from services.errors import (
    Conflict,
    CursorInvalid,
    Gone,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from services.events import lanes
from services.http import Counted, Reader, Unit, requires
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_BODY = (TooLarge, UnsupportedMediaType)


@router.post(
    "/v1/referrals/checks",
    response_model=CheckedView,
    responses=problems(*_BODY),
    summary="What would happen to a referral; nothing is written",
)
async def check_referral(
    caller: Annotated[Caller, requires("referral:write")],
    document: Annotated[Any, Depends(referral_document)],
    uow: Reader,
) -> Any:
    """Every fault, doubt and gate at once, with what must be told before registering (M-26)."""
    require_own(document, (caller.organisation,))
    directory = uow.runtime.directory
    verdict = validate(document, directory, lanes.may_send, uow.now)
    answer: dict[str, Any] = {
        "accepted": False,
        "errors": [error.wire() for error in verdict.errors],
        "warnings": [warning.wire() for warning in verdict.warnings],
        "refusal": None,
        "lawful_route": None,
    }
    referral = verdict.referral
    if referral is None:
        return answer
    facts = model.facts_of(referral, directory)
    gate = model.refusing(facts)
    answer["warnings"] += [w.wire() for w in model.doubts(facts, before=True)]
    answer["accepted"] = gate is None and referral.document.get("kind", "dispute") == "dispute"
    if gate is not None:
        answer["refusal"] = _onward(gate, facts, referral, directory)
    route = next((g for g in model.gates() if g.route and g.holds(facts)), None)
    if route is not None:
        answer["lawful_route"] = {
            "number": route.route,
            "code": route.code,
            "zh": route.zh,
            "en": route.en,
            **{
                k: v for k, v in _onward(route, facts, referral, directory).items() if k != "ground"
            },
        }
    return answer


def _onward(
    gate: model.Gate, facts: model.Facts, referral: Any, directory: DirectoryCopy
) -> dict[str, Any]:
    return {
        "ground": gate.code,
        "citation": gate.citation,
        "go_to": handlers.named(model.where(gate, facts, referral.place, directory), directory),
        "until": model.until(gate, facts, referral.received_at),
    }


def _view(row: Any, caller: Caller, uow: UnitOfWork) -> dict[str, Any]:
    directory, today = uow.runtime.directory, day_of(uow.now)
    own = row["organisation"] == caller.organisation
    return {
        **dict(row),
        "reference": row["reference"] if own else None,
        "go_to": handlers.named(row["go_to"], directory),
        "due_source": model.told_within(row["lane"])["source"],
        "until_over": model.over(row["until"], today),
    }


@router.get(
    "/v1/refusals",
    response_model=Items[RefusalView],
    responses=problems(CursorInvalid),
    summary="Your refused referrals, or those you may review",
)
async def list_refusals(
    caller: Annotated[Caller, requires("refusal:read")],
    uow: Reader,
    page: Paging,
    to_review: Annotated[bool, Query(description="Those that wait for your review")] = False,
    overdue: Annotated[
        bool | None, Query(description="The party was not told in time, or only the others")
    ] = None,
) -> Any:
    """Youngest first, without what was written in them."""
    filters = {"to_review": to_review, "overdue": overdue}
    rows = await repository.listed(
        uow,
        caller.organisation,
        to_review=to_review,
        overdue=overdue,
        before=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    return page.answer(
        rows,
        lambda row: [row["refusal_id"]],
        lambda row: _view(row, caller, uow),
        filters,
        direction="desc",
    )


@router.get(
    "/v1/refusals/counts",
    response_model=RefusalCounts,
    responses=problems(),
    summary="How many referrals were refused, on which grounds",
)
async def count_refusals(
    caller: Annotated[Caller, requires("refusal:read")],
    uow: Reader,
    period: Counted,
) -> Any:
    """Your own, of the last 24 hours when left out, beside the referrals that were registered."""
    rows, registered = await repository.counts(uow, caller.organisation, period.since, period.until)
    return {
        "since": period.since,
        "until": period.until,
        "registered": registered,
        "refusals": sum(row["refusals"] for row in rows),
        "overdue": sum(row["overdue"] for row in rows),
        "by_ground": [dict(row) for row in rows],
    }


@router.get(
    "/v1/refusals/{refusal_id}",
    response_model=RefusalView,
    responses=problems(),
    summary="One refusal",
)
async def read_refusal(
    refusal_id: UUID, caller: Annotated[Caller, requires("refusal:read")], uow: Reader
) -> Any:
    """For its sender, and for a desk that may review it."""
    row = await repository.seen(uow, caller.organisation, refusal_id)
    if row is None:
        raise NotFound()
    given = [dict(n) for n in await notices.of_subject(uow, refusal_id)]
    return {**_view(row, caller, uow), "notices": given}


@router.get(
    "/v1/refusals/{refusal_id}/receipt",
    response_model=RefusalReceipt,
    responses=problems(),
    summary="The receipt of a refusal, to hand to the party",
)
async def read_refusal_receipt(
    refusal_id: UUID, caller: Annotated[Caller, requires("referral:write")], uow: Unit
) -> Any:
    """Number and secret, for the sender that used the stream."""
    row = await repository.seen(uow, caller.organisation, refusal_id)
    if row is None or row["organisation"] != caller.organisation:
        raise NotFound()
    uow.audit("receipt.read", subject=str(refusal_id))
    secret = receipt.secret(keys_of(uow.runtime).receipt, refusal_id, 1)
    return {"number": row["number"], "secret": secret}


@router.post(
    "/v1/refusals/{refusal_id}/reviews",
    status_code=201,
    response_model=RefusalView,
    responses=problems(Conflict, Gone, IdempotencyInProgress, IdempotencyKeyReused, *_BODY),
    summary="Uphold or overturn a refusal, as another desk",
)
async def review_refusal(
    refusal_id: UUID,
    body: ReviewBody,
    caller: Annotated[Caller, requires("refusal:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """Overturned, the same content under the same reference is registered when it is sent again."""
    if once.replayed:
        row = await repository.seen(uow, caller.organisation, refusal_id)
        if row is None:
            raise NotFound()
    else:
        row = await handlers.review(
            refusal_id,
            uow,
            organisation=caller.organisation,
            outcome=body.outcome,
            reason=body.reason,
            occurred_at=body.occurred_at,
        )
        await once.store(201, location=f"/v1/refusals/{refusal_id}", resource_id=str(refusal_id))
    return _view(row, caller, uow)
