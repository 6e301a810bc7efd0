"""Judicial confirmation over REST: the holder applies for the parties, the court decides."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response

from mediation import repository
from mediation.confirmation import handlers
from mediation.confirmation.schemas import ApplicationBody, ConfirmationView, DecisionBody
from mediation.errors import MOVES
from mediation.gate import act, hold
from mediation.mandate.schemas import UnderMandate
from mediation.repository import Row
from services.access import AgencyScope
from services.auth import Caller
from services.errors import (
    Forbidden,
    NotFound,
)
from services.http import IfMatch, Unit, etag, requires
from services.idempotency import Once
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(prefix="/v1")
Reading = Annotated[Caller, requires("confirmation:read")]
Applying = Annotated[Caller, requires("mediation:write")]
Deciding = Annotated[Caller, requires("confirmation:write")]


async def _row(uow: UnitOfWork, confirmation_id: UUID) -> Row:
    row = await repository.get(uow.db, "confirmation", "confirmation_id", confirmation_id)
    if row is None:
        raise NotFound()
    return row


async def _readable(uow: UnitOfWork, caller: Caller, confirmation_id: UUID) -> Row:
    """For source and handler of the case and the court that has it. Raises ``NotFound``."""
    row = await _row(uow, confirmation_id)
    held = await AgencyScope(caller).require(uow, row["case_id"])
    if not held & {"source", "handler"} and caller.organisation != row["court"]:
        raise NotFound()
    return row


@router.post(
    "/agreements/{agreement_id}/confirmations",
    status_code=201,
    response_model=ConfirmationView,
    responses=problems(*MOVES),
)
async def apply_for_confirmation(
    agreement_id: UUID,
    body: ApplicationBody,
    caller: Applying,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Record that the parties applied together for judicial confirmation.

    Within 30 days of effect (民事诉讼法 205); If-Match is the agreement's. Nobody applies under a
    mandate to file (`Mandate-Id`: 422).
    """
    if once.replayed:
        row = await _readable(uow, caller, UUID(once.resource_id))
    else:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        agreement = await hold(uow, "agreement", agreement_id, caller.organisation, version=version)
        row = await handlers.apply(
            agreement, court=body.court, applied_by=body.applied_by, act=done_by, uow=uow
        )
        id_ = str(row["confirmation_id"])
        await once.store(201, location=f"/v1/confirmations/{id_}", resource_id=id_)
    etag(response, row["version"])
    return handlers.view(row)


@router.get(
    "/confirmations/{confirmation_id}", response_model=ConfirmationView, responses=problems()
)
async def read_confirmation(
    confirmation_id: UUID, caller: Reading, uow: Unit, response: Response
) -> dict[str, Any]:
    """One application, for source and handler of the case and the court that has it."""
    row = await _readable(uow, caller, confirmation_id)
    uow.audit("confirmation.read", case_id=row["case_id"], subject=str(confirmation_id))
    etag(response, row["version"])
    return handlers.view(row)


@router.post(
    "/confirmations/{confirmation_id}/decisions",
    response_model=ConfirmationView,
    responses=problems(*MOVES),
)
async def decide_confirmation(
    confirmation_id: UUID,
    body: DecisionBody,
    caller: Deciding,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Say whether the court confirms; a refusal names its ground, both tell what is open now."""
    row = await _row(uow, confirmation_id)
    await AgencyScope(caller).require(uow, row["case_id"])
    if caller.organisation != row["court"] or caller.organisation_kind != "court":
        raise Forbidden("only the court that was applied to decides")
    if not once.replayed:
        done_by = await act(uow, caller.organisation, occurred_at=body.occurred_at)
        row = await hold(uow, "confirmation", confirmation_id, row["organisation"], version=version)
        row = await handlers.decide(
            row, confirmed=body.confirmed, ground=body.ground, act=done_by, uow=uow
        )
        await once.store(200, resource_id=str(confirmation_id))
    etag(response, row["version"])
    return handlers.view(row)
