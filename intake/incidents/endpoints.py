"""Incidents over REST: one number, several cases, evidence once."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from intake.doors.mandates import NOTHING_UNMARKED
from intake.doors.schemas import ScanBody
from intake.handlers import submit_referral
from intake.incidents import repository
from intake.matters.record import registered
from intake.schemas import Body, DocumentView, SubmittedView
from intake.validation import normal_reference
from services.access import AgencyScope
from services.auth import Caller
from services.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    NotFound,
    Problem,
    Refused,
    TooLarge,
    UnsupportedMediaType,
)
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.problem import body as problem_body
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)


class IncidentBody(Body):
    """One accident, its evidence, and a referral for each of its disputes."""

    accident_number: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*$",
    )
    evidence: list[ScanBody] = Field(default=[], max_length=200)
    referrals: list[dict[str, Any]] = Field(min_length=1, max_length=50)


class IncidentCase(BaseModel):
    """A case of the incident."""

    case_id: UUID
    case_number: str


class IncidentView(BaseModel):
    """The incident, for the body that made it."""

    incident_id: UUID
    accident_number: str
    cases: list[IncidentCase]
    evidence: list[DocumentView]


class IncidentResult(BaseModel):
    """What became of one referral: its answer, or the problem with it."""

    submitted: SubmittedView | None = None
    problem: dict[str, Any] | None = None


class IncidentTaken(IncidentView):
    """The incident with what became of each referral, in order; empty in a repeat."""

    results: list[IncidentResult]


class SharedEvidence(BaseModel):
    """What a case shares with its happening; of other cases it knows nothing."""

    accident_number: str | None
    evidence: list[DocumentView]


@router.post(
    "/v1/incidents",
    status_code=201,
    response_model=IncidentTaken,
    responses=problems(*_WRITES),
    summary="Register one accident with all its cases",
)
async def take_incident(
    body: IncidentBody, caller: Annotated[Caller, requires("referral:write")], uow: Unit, once: Once
) -> Any:
    """One case a referral, evidence once, files closed to each other; the same number again adds.

    A referral that is refused keeps none of the others from being registered.
    """
    if once.replayed:
        incident_id = UUID(once.resource_id)
        await _view(incident_id, caller, uow)  # the gate, before anything is read again
    else:
        incident_id = await repository.put(
            uow,
            caller.organisation,
            body.accident_number,
            normal_reference(body.accident_number),
            [paper.model_dump() for paper in body.evidence],
        )
    # A replay too: each referral has its first answer under its own number, so no receipt is lost.
    results = [await _one(document, caller, uow) for document in body.referrals]
    done = [each["submitted"].case_id for each in results if each["submitted"]]
    await repository.add_cases(uow, incident_id, done)
    if not once.replayed:
        uow.audit("incident.registered", subject=str(incident_id), detail={"cases": len(done)})
        await once.store(201, location=f"/v1/incidents/{incident_id}", resource_id=str(incident_id))
    return {**await _view(incident_id, caller, uow), "results": results}


async def _one(document: dict[str, Any], caller: Caller, uow: Any) -> dict[str, Any]:
    try:
        done = await submit_referral(
            document, uow, organisations=(caller.organisation,), connection=caller.connection
        )
    except Refused as refusal:
        told = await registered(refusal, uow, connection=caller.connection)
        return {"submitted": None, "problem": problem_body(told)}
    except Problem as problem:  # each is raised before anything of its referral is written
        return {"submitted": None, "problem": problem_body(problem)}
    return {"submitted": done, "problem": None}


async def _view(incident_id: UUID, caller: Caller, uow: Any) -> dict[str, Any]:
    row = await repository.own(uow, caller.organisation, incident_id)
    if row is None:
        raise NotFound()
    return {
        **dict(row),
        "cases": [dict(each) for each in await repository.cases(uow, incident_id)],
        "evidence": [dict(each) for each in await repository.papers(uow, incident_id)],
    }


@router.get(
    "/v1/incidents/{incident_id}",
    response_model=IncidentView,
    responses=problems(),
    summary="One accident with its cases",
)
async def read_incident(
    incident_id: UUID, caller: Annotated[Caller, requires("referral:read")], uow: Reader
) -> Any:
    """For the body that made it alone."""
    return await _view(incident_id, caller, uow)


@router.get(
    "/v1/cases/{case_id}/shared-evidence",
    response_model=SharedEvidence,
    responses=problems(),
    summary="The evidence of the happening behind a case",
)
async def read_shared_evidence(
    case_id: UUID, caller: Annotated[Caller, requires("case:read")], uow: Reader
) -> Any:
    """Every participant of the case sees it; nobody sees which other cases there are."""
    await AgencyScope(caller).require(uow, case_id)
    incident_id = await repository.of_case(uow, case_id)
    if incident_id is None:
        return {"accident_number": None, "evidence": []}
    papers = await repository.papers(uow, incident_id)
    number = await repository.number(uow, incident_id)
    return {"accident_number": number, "evidence": [dict(each) for each in papers]}
