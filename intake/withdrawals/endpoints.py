"""Withdrawals over REST: the source takes its referral back, a party asks that the case goes on."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from intake.doors.mandates import NOTHING_UNMARKED, UnderMandate
from intake.messages import fault
from intake.problems import BODY, WRITES
from intake.tracking.follower import Oneself
from intake.withdrawals import handlers, repository
from intake.withdrawals.schemas import ContinuationBody, WithdrawalBody, WithdrawalView
from services.access import AgencyScope
from services.auth import Caller
from services.errors import CaseClosedProblem, Conflict, Invalid, NotFound
from services.http import Unit, requires
from services.idempotency import Once
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])


def view(row: Any) -> dict[str, Any]:
    """A withdrawal as it is shown."""
    return {
        **dict(row),
        "withdrawn_at": row["occurred_at"],
        "mandate_id": row["asked_mandate_id"],
    }


@router.post(
    "/v1/referrals/{referral_id}/withdrawals",
    status_code=201,
    response_model=WithdrawalView,
    responses=problems(CaseClosedProblem, Conflict, *WRITES),
    summary="Take your referral back",
)
async def withdraw_referral(
    referral_id: UUID,
    body: WithdrawalBody,
    caller: Annotated[Caller, requires("referral:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """The case goes on if a party asks in time, or where others sent it too; else it closes."""
    scope = AgencyScope(caller)
    if once.replayed:
        row = await repository.one(uow, UUID(once.resource_id))
        if row is None or row["organisation"] != scope.organisation:
            raise NotFound()
        return view(row)
    id_ = await handlers.withdraw(referral_id, uow, scope, reason=body.reason, at=body.withdrawn_at)
    await once.store(201, location=f"/v1/referrals/{referral_id}", resource_id=str(id_))
    return view(await repository.one(uow, id_))


@router.post(
    "/v1/cases/{case_id}/continuations",
    status_code=201,
    response_model=WithdrawalView,
    responses=problems(Conflict, *BODY),
    summary="A party asks that its case goes on though the referral was taken back",
)
async def continue_case(
    case_id: UUID,
    body: ContinuationBody,
    caller: Annotated[Caller, requires("case:leave")],
    uow: Unit,
    mandate_id: UnderMandate = None,
) -> Any:
    """At a desk of source or handler. Needs no Idempotency-Key: a repeat answers the first time."""
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    if body.party_id is None and body.party_ref is None:
        raise Invalid(errors=[fault("/party_id", "required")])
    row = await handlers.go_on(
        case_id,
        uow,
        party_id=body.party_id,
        ref=body.party_ref,
        told_by=caller.organisation,
        mandate_id=mandate_id,
    )
    return view(row)


@router.post(
    "/v1/party/continuations",
    status_code=201,
    response_model=WithdrawalView,
    responses=problems(Conflict),
    summary="Ask that your case goes on though the referral was taken back",
)
async def continue_as_party(party: Oneself, uow: Unit) -> Any:
    """One call, no reason; by the party itself. A repeat answers the first time."""
    row = await handlers.go_on(
        party.case_id, uow, party_id=party.party_id, ref=None, told_by="party"
    )
    return view(row)
