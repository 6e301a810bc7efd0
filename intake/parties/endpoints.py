"""REST about representatives: who acts for whom, revoked at once; an objector goes his own way."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from intake import identity
from intake import repository as cases
from intake.doors.mandates import NOTHING_UNMARKED, UnderMandate, by_the_party_itself, own
from intake.keys import keys_of
from intake.messages import fault, message
from intake.parties import handlers, objecting, repository, rules, schemas
from intake.parties.handlers import Appointment, representation_of
from intake.parties.model import SCOPES, person_of
from intake.problems import BODY, WRITES
from intake.schemas import Purpose
from intake.tracking.follower import Follower, Oneself
from services.access import AgencyScope
from services.auth import Caller
from services.clock import SHANGHAI
from services.errors import CaseClosedProblem, Conflict, Invalid, NotFound
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_ROLES = ("source", "handler")


@router.post(
    "/v1/cases/{case_id}/representations",
    status_code=201,
    response_model=schemas.RepresentationView,
    responses=problems(*WRITES),
    dependencies=[own("represent")],
    summary="Record who acts for a party, on what authority",
)
async def appoint(
    case_id: UUID,
    body: schemas.RepresentationBody,
    caller: Annotated[Caller, requires("party:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """A lawyer, a guardian, a relative, or the party of the group that was elected (民诉法 62)."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    if not once.replayed:
        await uow.lock_case(case_id)
        party, found = await _appointment(case_id, body, uow)
        id_ = await handlers.appoint(
            uow,
            keys_of(uow.runtime),
            party,
            found,
            told_by="organisation",
            occurred_at=body.occurred_at,
        )
        await once.store(201, location=f"/v1/representations/{id_}", resource_id=str(id_))
    else:
        id_ = UUID(once.resource_id)
    return _view(await _one(uow, id_), uow)


async def _appointment(
    case_id: UUID, body: schemas.RepresentationBody, uow: UnitOfWork
) -> tuple[Any, Appointment]:
    """The party and its appointment. Raises ``Invalid``."""
    people = await cases.parties(uow, case_id)
    party = objecting.party_of(people, body.party_id, body.party_ref)
    if (body.representative is None) == (body.representative_ref is None):
        raise Invalid(errors=[fault("/representative", "representative_required")])
    elected = None
    if body.representative_ref is not None:
        other = objecting.party_of(
            people, None, body.representative_ref, pointer="/representative_ref"
        )
        if other["party_id"] == party["party_id"]:
            raise Invalid(errors=[fault("/representative_ref", "represents_itself")])
        if other["role"] != party["role"]:
            raise Invalid(errors=[fault("/representative_ref", "representative_of_other_side")])
        elected = other["party_id"]
        await _within_limit(case_id, party["role"], people, elected, uow)
    person = None
    if body.representative is not None:
        person = person_of(body.representative.model_dump())
        _check_identity(person, uow)
    return {**dict(party), "case_id": case_id}, Appointment(
        authority=body.authority,
        relation=body.relation,
        person=person,
        representative_party_id=elected,
        scopes=tuple(body.scopes),
        paper_sha256=body.paper_sha256,
        valid_from=body.valid_from,
        valid_until=body.valid_until,
    )


async def _within_limit(
    case_id: UUID, role: str, people: list[Any], elected: UUID, uow: UnitOfWork
) -> None:
    """So many may speak for one side and no more (R-37, M-14). Raises ``Invalid``."""
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    side = [p["party_id"] for p in people if p["role"] == role]
    chosen = {
        row["representative_party_id"]
        for row in await repository.acting(uow, side)
        if row["representative_party_id"]
    } | {elected}
    if len(chosen) > rules.speakers(case["lane"], case["dispute_type"]):
        raise Invalid(errors=[fault("/representative_ref", "too_many_speakers")])


def _check_identity(person: dict[str, Any], uow: UnitOfWork) -> None:
    document = person.get("id")
    if document is None:
        return
    document["number"] = identity.fold_number(document["number"])
    today = uow.now.astimezone(SHANGHAI).date()
    checked = identity.check(document["type"], document["number"], today=today)
    if checked.fault:
        raise Invalid(errors=[fault("/representative/id/number", checked.fault)])


@router.get(
    "/v1/cases/{case_id}/representations",
    response_model=schemas.Representations,
    responses=problems(),
    summary="Who acts or acted for the parties",
)
async def list_representations(
    case_id: UUID,
    caller: Annotated[Caller, requires("party:read")],
    uow: Unit,
    purpose: Annotated[
        Purpose | None, Query(description="State one to see who they are; it is logged")
    ] = None,
) -> Any:
    """Authority, scopes and times; ``acts`` says what each may do now; names for a purpose."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    rows = await repository.of_case(uow, case_id)
    if purpose is not None:
        uow.audit(
            "representations.read",
            case_id=case_id,
            purpose=purpose,
            detail={"parties": sorted({str(row["party_id"]) for row in rows})},
        )
    return {
        "case_id": case_id,
        "items": [_view(row, uow, named=purpose is not None) for row in rows],
    }


@router.post(
    "/v1/representations/{representation_id}/revocations",
    status_code=201,
    response_model=schemas.RepresentationView,
    responses=problems(Conflict, *BODY),
    summary="A representative acts no more",
)
async def revoke(
    representation_id: UUID,
    body: schemas.RevocationBody,
    caller: Annotated[Caller, requires("party:write")],
    uow: Unit,
    mandate_id: UnderMandate = None,
) -> Any:
    """Takes effect at once; needs neither If-Match nor Idempotency-Key; a repeat answers alike.

    Under a mandate only what the party itself gave, and could take back by one call.
    """
    row = await _one(uow, representation_id)
    await AgencyScope(caller).require(uow, row["case_id"], roles=_ROLES)
    if row["authority"] == "statutory":
        by_the_party_itself(mandate_id, "dismiss_guardian")
    await handlers.revoke(
        uow, row, by="organisation", revoked_at=body.revoked_at, mandate_id=mandate_id
    )
    return _view(await _one(uow, representation_id), uow)


@router.post(
    "/v1/cases/{case_id}/objectors",
    status_code=201,
    response_model=schemas.ObjectionView,
    responses=problems(Conflict, CaseClosedProblem, *WRITES),
    summary="A party of a group does not want to be spoken for",
)
async def object_(
    case_id: UUID,
    body: schemas.ObjectionBody,
    caller: Annotated[Caller, requires("party:write")],
    uow: Unit,
    once: Once,
    mandate_id: UnderMandate = None,
) -> Any:
    """It speaks for itself here, or goes on in a case of its own with the first asking's date."""
    await AgencyScope(caller).require(uow, case_id, roles=("source",))
    done = await objecting.object_(
        uow,
        case_id,
        ref=body.party_ref,
        own_case=body.own_case,
        objected_at=body.objected_at,
        replayed=once.replayed,
        mandate_id=mandate_id,
    )
    if not once.replayed:
        await once.store(201, location=f"/v1/cases/{case_id}", resource_id=str(done["party_id"]))
    return done


# -- the party's own -----------------------------------------------------------------------------


@router.get(
    "/v1/party/representations",
    response_model=schemas.Representations,
    responses=problems(),
    summary="Who acts or acted for you",
)
async def list_own(party: Follower, uow: Reader) -> Any:
    """For the party itself with their names: it gave them the authority, or the law did."""
    await handlers.as_party(uow, party.party_id)
    rows = await repository.of_case(uow, party.case_id, party.party_id)
    named = party.representative is None
    return {"case_id": party.case_id, "items": [_view(row, uow, named=named) for row in rows]}


@router.post(
    "/v1/party/representations/{representation_id}/revocations",
    status_code=201,
    response_model=schemas.RepresentationView,
    responses=problems(),
    summary="Take back the authority you gave",
)
async def revoke_own(representation_id: UUID, party: Oneself, uow: Unit) -> Any:
    """One call, at once, no reason asked; a guardian is not given by the ward and stays."""
    await handlers.as_party(uow, party.party_id)
    row = await repository.one(uow, representation_id)
    if row is None or row["party_id"] != party.party_id or row["case_id"] != party.case_id:
        raise NotFound()
    if row["authority"] == "statutory":
        raise Conflict("a statutory representative is changed by the body that holds the case")
    await handlers.revoke(uow, row, by="party", revoked_at=None)
    return _view(await _one(uow, representation_id), uow, named=True)


async def _one(uow: UnitOfWork, representation_id: UUID) -> Any:
    row = await repository.one(uow, representation_id)
    if row is None:
        raise NotFound()
    return row


def _view(row: Any, uow: UnitOfWork, *, named: bool = False) -> dict[str, Any]:
    found = representation_of(row)
    acts = {}
    for act in SCOPES:
        answer = rules.permission(found, act, uow.now, person=row["kind"] == "person")
        warning = answer.warning and {
            "pointer": f"/acts/{act}",
            "code": answer.warning,
            "message": message(answer.warning),
        }
        acts[act] = {"allowed": answer.allowed, "warning": warning}
    return {
        **dict(row),
        "party_ref": row["ref"],
        "acts": acts,
        "person": handlers.person(keys_of(uow.runtime), row) if named else None,
    }
