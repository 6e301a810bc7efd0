"""Mediations over REST: read, appoint, consent, end, party sheet, hand-over."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from mediation.agreement import handlers as agreements
from mediation.errors import MOVES
from mediation.gate import act, hold, own, seal
from mediation.mandate.schemas import UnderMandate
from mediation.mediator.model import Relation
from mediation.proceeding import handlers, repository
from mediation.proceeding.schemas import (
    AppointmentBody,
    ConsentBody,
    ConsentView,
    EndingBody,
    HandOverView,
    MediationListed,
    MediationView,
    PartySheetView,
    WithdrawalBody,
)
from mediation.proceeding.views import consent_with_effect, listed, whole
from services.access import AgencyScope
from services.auth import Caller
from services.errors import (
    CaseClosedProblem,
    Conflict,
    CursorInvalid,
    Gone,
    NotFound,
    Unavailable,
)
from services.http import IfMatch, Reader, Unit, etag, requires
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems

router = APIRouter(prefix="/v1")
Reading = Annotated[Caller, requires("mediation:read")]
Writing = Annotated[Caller, requires("mediation:write")]


@router.get("/mediations", response_model=Items[MediationListed], responses=problems(CursorInvalid))
async def list_mediations(
    caller: Reading,
    uow: Reader,
    page: Paging,
    state: Annotated[Literal["open", "agreed", "ended"] | None, Query()] = None,
    lane: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """The organisation's own mediations, newest first."""
    filters = {"organisation": caller.organisation, "state": state, "lane": lane}
    after_id = page.after_id(filters, direction="desc")
    rows = await repository.page(
        uow.db, caller.organisation, state=state, lane=lane, after=after_id, limit=page.fetch
    )
    answer = page.answer(
        rows, lambda row: (row["mediation_id"],), lambda row: row, filters, direction="desc"
    )
    return {**answer, "items": await listed(answer["items"], uow)}


@router.get("/mediations/{mediation_id}", response_model=MediationView, responses=problems())
async def read_mediation(
    mediation_id: UUID, caller: Reading, uow: Reader, response: Response
) -> dict[str, Any]:
    """One mediation of the organisation, with consents, sessions, agreement and obligations."""
    row = await own(uow, "mediation", mediation_id, caller.organisation)
    etag(response, row["version"])
    return await whole(row, uow)


@router.post(
    "/mediations/{mediation_id}/mediators",
    status_code=201,
    response_model=MediationView,
    responses=problems(*MOVES),
)
async def appoint_mediator(
    mediation_id: UUID,
    body: AppointmentBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Appoint a mediator, or replace the one there is, after the conflict check.

    Under a mandate (`Mandate-Id`) its party has `chosen`; a relation is waived by the party itself.
    """
    if not once.replayed:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        row = await hold(uow, "mediation", mediation_id, caller.organisation, version=version)
        row = await handlers.appoint(
            row,
            mediator_id=body.mediator_id,
            mode=body.mode,
            declared=[Relation(d.kind, d.party_id, d.organisation) for d in body.declared],
            waived_by=body.waived_by,
            reason=body.reason,
            act=done_by,
            uow=uow,
        )
        await agreements.follow_mediator(row, done_by.occurred_at, uow)
        await once.store(
            201, location=f"/v1/mediations/{mediation_id}", resource_id=str(mediation_id)
        )
    row = await own(uow, "mediation", mediation_id, caller.organisation)
    etag(response, row["version"])
    return await whole(row, uow)


@router.post(
    "/mediations/{mediation_id}/consents",
    status_code=201,
    response_model=ConsentView,
    responses=problems(Conflict, CaseClosedProblem),
)
async def record_consent(
    mediation_id: UUID,
    body: ConsentBody,
    caller: Writing,
    uow: Unit,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Record a party's consent or refusal. Refusing is never refused; the same word again answers
    as the first did.

    Under a mandate (`Mandate-Id`) for its party; to `share`, `record`, `e_sign` and
    `be_represented` only the party itself says yes.
    """
    done_by = await act(
        uow,
        caller.organisation,
        occurred_at=body.occurred_at,
        acted_by=caller.acted_by,
        mandate_id=mandate_id,
    )
    row = await hold(
        uow,
        "mediation",
        mediation_id,
        caller.organisation,
        even_when_over=body.state == "refused",
    )
    consent, new = await handlers.record_consent(
        row,
        party_id=body.party_id,
        step=body.step,
        subject=body.subject,
        state=body.state,
        channel=body.channel,
        remedies_told=body.remedies_told,
        act=done_by,
        uow=uow,
    )
    if not new:
        response.status_code = 200
    response.headers["Location"] = f"/v1/consents/{consent['id']}"
    etag(response, consent["version"])
    return await consent_with_effect(consent, uow)


@router.get("/consents/{consent_id}", response_model=ConsentView, responses=problems())
async def read_consent(
    consent_id: UUID, caller: Reading, uow: Reader, response: Response
) -> dict[str, Any]:
    """One line of the consent ledger."""
    consent = await own(uow, "consent", consent_id, caller.organisation)
    etag(response, consent["version"])
    return await consent_with_effect(consent, uow)


@router.post("/consents/{consent_id}/withdrawals", response_model=ConsentView, responses=problems())
async def withdraw_consent(
    consent_id: UUID,
    caller: Writing,
    uow: Unit,
    response: Response,
    body: WithdrawalBody | None = None,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Take a consent back. Needs neither key nor version and is never refused; withdrawing
    `mediate` ends the proceeding at once.

    Under a mandate that does not hold it is 422: then only the party itself, or a desk without it.
    """
    body = body or WithdrawalBody()
    done_by = await act(
        uow,
        caller.organisation,
        occurred_at=body.occurred_at,
        acted_by=caller.acted_by,
        mandate_id=mandate_id,
    )
    consent = await hold(uow, "consent", consent_id, caller.organisation, even_when_over=True)
    consent = await handlers.withdraw_consent(
        consent, remedies_told=body.remedies_told, act=done_by, uow=uow
    )
    etag(response, consent["version"])
    return await consent_with_effect(consent, uow)


@router.post(
    "/mediations/{mediation_id}/endings",
    response_model=MediationView,
    responses=problems(*MOVES),
)
async def end_mediation(
    mediation_id: UUID,
    body: EndingBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """End the proceeding: remedies told, in the court lanes with a report; builds the hand-over."""
    if not once.replayed:
        done_by = await act(
            uow, caller.organisation, occurred_at=body.occurred_at, acted_by=caller.acted_by
        )
        row = await hold(uow, "mediation", mediation_id, caller.organisation, version=version)
        await handlers.end(
            row,
            outcome=body.outcome,
            remedies_told=body.remedies_told,
            report=body.report.model_dump() if body.report else None,
            act=done_by,
            uow=uow,
        )
        await once.store(200, resource_id=str(mediation_id))
    row = await own(uow, "mediation", mediation_id, caller.organisation)
    etag(response, row["version"])
    return await whole(row, uow)


@router.get(
    "/mediations/{mediation_id}/party-sheet",
    response_model=PartySheetView,
    responses=problems(Unavailable),
)
async def read_party_sheet(
    mediation_id: UUID,
    purpose: Annotated[
        Literal["contact", "session", "agreement", "notice", "identity_check"],
        Query(description="What it is needed for; written into the access log"),
    ],
    caller: Annotated[Caller, requires("party:read")],
    uow: Unit,
) -> dict[str, Any]:
    """Names and contacts of the parties, for the body that holds the case; logged."""
    row = await own(uow, "mediation", mediation_id, caller.organisation)
    scope = AgencyScope(caller)
    held = await scope.roles(uow, row["case_id"])
    await scope.require_fresh(uow, held | {"handler"})
    sheet = await repository.party_sheet(uow.db, row["assignment_id"])
    if sheet is None:
        assignment = await repository.assignment_of(uow.db, row)
        if assignment["state"] != "accepted":
            raise NotFound()
        raise Unavailable("the party sheet is being fetched", retry_after_seconds=1)
    uow.audit(
        "party-sheet.read",
        case_id=row["case_id"],
        subject=str(row["assignment_id"]),
        purpose=purpose,
    )
    return {
        "assignment_id": row["assignment_id"],
        "case_id": row["case_id"],
        "fetched_at": sheet["fetched_at"],
        "purpose": purpose,
        "sheet": seal(uow, "party-sheet").open(sheet["sealed"], row["assignment_id"]),
    }


@router.get(
    "/mediations/{mediation_id}/hand-over", response_model=HandOverView, responses=problems(Gone)
)
async def read_hand_over(
    mediation_id: UUID, caller: Annotated[Caller, requires("handover:read")], uow: Unit
) -> dict[str, Any]:
    """The package for the referrer; nothing said in mediation is in it. Logged."""
    return await handlers.read_hand_over(uow, mediation_id, caller.organisation)
