"""Agreements over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response

from mediation.agreement import handlers
from mediation.agreement.model import Signature
from mediation.agreement.schemas import AgreementBody, AgreementView, SignatureBody
from mediation.agreement.views import view
from mediation.errors import KEYED
from mediation.gate import act, hold, own
from mediation.mandate.schemas import UnderMandate
from services.auth import Caller
from services.errors import (
    CaseClosedProblem,
    Conflict,
    Gone,
    IdempotencyInProgress,
    IdempotencyKeyReused,
)
from services.http import Unit, etag, requires
from services.idempotency import Once, OnceIfKeyed
from services.problem import problems

router = APIRouter(prefix="/v1")
Reading = Annotated[Caller, requires("mediation:read")]
Writing = Annotated[Caller, requires("mediation:write")]


@router.post(
    "/mediations/{mediation_id}/agreements",
    status_code=201,
    response_model=AgreementView,
    responses=problems(*KEYED),
)
async def draft_agreement(
    mediation_id: UUID,
    body: AgreementBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Write the agreement down. A new text voids the one before and its signatures; an oral
    agreement takes effect at once. Nobody agrees under a mandate to file (`Mandate-Id`: 422)."""
    if once.replayed:
        row = await own(uow, "agreement", UUID(once.resource_id), caller.organisation)
    else:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        mediation = await hold(uow, "mediation", mediation_id, caller.organisation)
        row = await handlers.draft(
            mediation,
            form=body.form,
            partial=body.partial,
            bound=list(dict.fromkeys(body.parties)),
            clauses=[c.model_dump(mode="json", exclude_none=True) for c in body.clauses],
            text=body.text,
            agreed_at=body.agreed_at,
            flags_told=body.flags_told,
            to_be_confirmed=body.to_be_confirmed,
            act=done_by,
            uow=uow,
        )
        id_ = str(row["agreement_id"])
        await once.store(201, location=f"/v1/agreements/{id_}", resource_id=id_)
    etag(response, row["version"])
    return await view(row, uow)


@router.get("/agreements/{agreement_id}", response_model=AgreementView, responses=problems(Gone))
async def read_agreement(
    agreement_id: UUID, caller: Reading, uow: Unit, response: Response
) -> dict[str, Any]:
    """One agreement with its text; the reading is logged."""
    row = await own(uow, "agreement", agreement_id, caller.organisation)
    uow.audit("agreement.read", case_id=row["case_id"], subject=str(agreement_id))
    etag(response, row["version"])
    return await view(row, uow)


@router.post(
    "/agreements/{agreement_id}/signatures",
    status_code=201,
    response_model=AgreementView,
    responses=problems(Conflict, CaseClosedProblem, IdempotencyKeyReused, IdempotencyInProgress),
)
async def sign_agreement(
    agreement_id: UUID,
    body: SignatureBody,
    caller: Writing,
    uow: Unit,
    once: OnceIfKeyed,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Add a signature, in any order; the last one the lane asks for puts it into effect.

    (agreement, kind, signer) is the natural key: the same again answers as the first did. Nobody
    signs under a mandate to file (`Mandate-Id`: 422 `mandate_not_enough`; 民诉法 62, N-19).
    """
    if once.replayed:
        row = await own(uow, "agreement", agreement_id, caller.organisation)
    else:
        done_by = await act(
            uow, caller.organisation, acted_by=caller.acted_by, mandate_id=mandate_id
        )
        row = await hold(uow, "agreement", agreement_id, caller.organisation, even_when_over=True)
        row = await handlers.sign(
            row,
            signature=Signature(
                body.signer_kind, body.signer, body.signed_at, body.text_sha256, body.method
            ),
            proof_sha256=body.proof_sha256,
            act=done_by,
            uow=uow,
        )
        await once.store(
            201, location=f"/v1/agreements/{agreement_id}", resource_id=str(agreement_id)
        )
    etag(response, row["version"])
    return await view(row, uow)
