"""Obligations over REST."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from mediation.errors import MOVES
from mediation.gate import act, hold, own
from mediation.mandate.schemas import UnderMandate
from mediation.next_act import NextAct
from mediation.obligation import handlers, repository
from mediation.obligation.schemas import (
    BreachBody,
    ObligationListed,
    ObligationView,
    PerformanceBody,
)
from mediation.repository import Row
from mediation.schemas import next_act_view
from services.auth import Caller
from services.errors import (
    CursorInvalid,
)
from services.http import IfMatch, Reader, Unit, etag, requires
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(prefix="/v1/obligations")
Reading = Annotated[Caller, requires("mediation:read")]
Writing = Annotated[Caller, requires("mediation:write")]


def _listed(row: Row, now: datetime) -> dict[str, Any]:
    late = row["due_at"] is not None and row["due_at"] <= now
    next_ = {
        "open": NextAct(
            "perform_obligation", str(row["debtor"]), row["due_at"], row["due_on"], late
        ),
        "breached": NextAct("use_remedies", str(row["creditor"])),
    }.get(row["state"])
    return {
        **dict(row),
        "overdue": row["overdue"] or (row["state"] == "open" and late),
        "next_act": next_act_view(next_),
    }


async def _view(row: Row, uow: UnitOfWork) -> dict[str, Any]:
    done = await repository.performances(uow.db, row["obligation_id"])
    return {**_listed(row, uow.now), "performances": [dict(p) for p in done]}


@router.get("", response_model=Items[ObligationListed], responses=problems(CursorInvalid))
async def list_obligations(
    caller: Reading,
    uow: Reader,
    page: Paging,
    state: Annotated[
        Literal["open", "performed", "breached", "waived", "superseded"] | None, Query()
    ] = None,
    due_before: Annotated[AwareDatetime | None, Query()] = None,
) -> dict[str, Any]:
    """Obligations under the organisation's agreements, oldest due first."""
    filters = {"organisation": caller.organisation, "state": state, "due_before": due_before}
    keys = page.after(filters)
    try:
        after = (datetime.fromisoformat(keys[0]), UUID(keys[1])) if keys else None
    except (ValueError, TypeError, IndexError, AttributeError):
        raise CursorInvalid() from None
    rows = await repository.page(
        uow.db,
        caller.organisation,
        state=state,
        due_before=due_before,
        after=after,
        limit=page.fetch,
    )
    return page.answer(
        rows,
        lambda row: (row["sort_at"].isoformat(), row["obligation_id"]),
        lambda row: _listed(row, uow.now),
        filters,
    )


@router.get("/{obligation_id}", response_model=ObligationView, responses=problems())
async def read_obligation(
    obligation_id: UUID, caller: Reading, uow: Reader, response: Response
) -> dict[str, Any]:
    """One obligation with what was done on it."""
    row = await own(uow, "obligation", obligation_id, caller.organisation)
    etag(response, row["version"])
    return await _view(row, uow)


@router.post(
    "/{obligation_id}/performances",
    status_code=201,
    response_model=ObligationView,
    responses=problems(*MOVES),
)
async def record_performance(
    obligation_id: UUID,
    body: PerformanceBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Record a performance, in part or in full, or that the creditor waives the rest.

    Under a mandate (`Mandate-Id`) for who proves it; nobody waives under a mandate to file.
    """
    if not once.replayed:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        row = await hold(uow, "obligation", obligation_id, caller.organisation, version=version)
        if body.waived:
            await handlers.waive(row, proof_sha256=body.proof_sha256, act=done_by, uow=uow)
        else:
            await handlers.perform(
                row,
                amount_fen=body.amount_fen,
                proved_by=body.proved_by,
                proof_sha256=body.proof_sha256,
                act=done_by,
                uow=uow,
            )
        await once.store(
            201, location=f"/v1/obligations/{obligation_id}", resource_id=str(obligation_id)
        )
    row = await own(uow, "obligation", obligation_id, caller.organisation)
    etag(response, row["version"])
    return await _view(row, uow)


@router.post("/{obligation_id}/breaches", response_model=ObligationView, responses=problems(*MOVES))
async def record_breach(
    obligation_id: UUID,
    body: BreachBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Say that an obligation was not kept; the answer names the remedies.

    Under a mandate (`Mandate-Id`) for the creditor.
    """
    if not once.replayed:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        row = await hold(uow, "obligation", obligation_id, caller.organisation, version=version)
        await handlers.report_breach(row, declared=body.declared, act=done_by, uow=uow)
        await once.store(200, resource_id=str(obligation_id))
    row = await own(uow, "obligation", obligation_id, caller.organisation)
    etag(response, row["version"])
    return await _view(row, uow)
