"""Intake's REST endpoints: translate, authorise, delegate."""

import json
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime

from intake import handlers, repository, schemas, views
from intake.corrections import correct_referral
from intake.doors.mandates import NOTHING_UNMARKED, UnderMandate
from intake.gates.schemas import refused_response
from intake.handlers import fault, parsed
from intake.keys import keys_of
from intake.matters.record import on_record
from intake.receipts import exchange
from intake.referral_document import opened
from intake.search import repository as searching
from intake.search.endpoints import page_of
from intake.search.model import Sought
from intake.tracking.follower import Follower, Oneself
from intake.validation import normal_reference, schema
from services.access import AgencyScope
from services.auth import TOKEN_SECONDS, Caller
from services.errors import (
    Behind,
    CaseClosedProblem,
    Conflict,
    CursorInvalid,
    Forbidden,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Invalid,
    NotFound,
    ReferenceInUse,
    Refused,
    TooLarge,
    UnsupportedMediaType,
    VersionMismatch,
    VersionRequired,
)
from services.http import IfMatch, Reader, Unit, etag, requires, runtime_of
from services.idempotency import Once, OnceIfKeyed
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)


async def referral_document(request: Request) -> Any:
    """The referral's bytes, strictly read before any transaction is open."""
    return parsed(await request.body())


@lru_cache(1)
def referral_schema() -> dict[str, Any]:
    """The canonical referral's schema with its definitions in place, for OpenAPI."""
    whole = schema()

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            found = inlined(whole["$defs"][node["$ref"].removeprefix("#/$defs/")])
            return {**found, **{k: v for k, v in node.items() if k != "$ref"}}
        return {k: inlined(v) for k, v in node.items() if k not in ("$defs", "$id", "$schema")}

    found: dict[str, Any] = inlined(json.loads(json.dumps(whole)))
    return found


# -- referrals ---------------------------------------------------------------------------------


@router.post(
    "/v1/referrals",
    status_code=201,
    response_model=schemas.SubmittedView,
    responses={**problems(ReferenceInUse, *_WRITES), **refused_response()},
    summary="Send a dispute under your own number",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": referral_schema()}},
        }
    },
)
async def submit_referral(
    caller: Annotated[Caller, requires("referral:write")],
    document: Annotated[Any, Depends(referral_document)],
    uow: Unit,
    once: OnceIfKeyed,
    response: Response,
) -> Any:
    """Register a case; the same content again answers the same and creates nothing.

    Everything that is wrong is told at once. Other content under a used reference is a conflict.
    """
    if once.replayed:
        return await _first_answer(uow, AgencyScope(caller), UUID(once.resource_id))
    try:
        done = await handlers.submit_referral(
            document, uow, organisations=(caller.organisation,), connection=caller.connection
        )
    except Refused as refusal:
        return await on_record(refusal, uow, connection=caller.connection)
    if done.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    await once.store(
        201, location=f"/v1/referrals/{done.referral_id}", resource_id=str(done.referral_id)
    )
    return done


async def _first_answer(uow: UnitOfWork, scope: AgencyScope, referral_id: UUID) -> Any:
    row = await repository.own_referral(uow, scope, referral_id)
    if row is None:
        raise NotFound()
    return await handlers.submitted(uow, keys_of(uow.runtime), row)


@router.get(
    "/v1/referrals",
    response_model=Items[schemas.ReferralView],
    responses=problems(CursorInvalid),
    summary="Your referrals, youngest first",
)
async def list_referrals(
    caller: Annotated[Caller, requires("referral:read")],
    uow: Reader,
    page: Paging,
    reference: Annotated[str | None, Query(max_length=100)] = None,
) -> Any:
    """The caller's referrals; ``reference`` finds one by the caller's own number."""
    filters = {"reference": reference}
    rows = await repository.own_referrals(
        uow,
        AgencyScope(caller),
        normal_reference=normal_reference(reference) if reference else None,
        before=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    return page.answer(
        rows,
        lambda row: [row["referral_id"]],
        lambda row: {**dict(row), "document": None},
        filters,
        direction="desc",
    )


@router.get(
    "/v1/referrals/{referral_id}",
    response_model=schemas.ReferralView,
    responses=problems(),
    summary="One of your referrals",
)
async def read_referral(
    referral_id: UUID,
    caller: Annotated[Caller, requires("referral:read")],
    uow: Unit,
    response: Response,
    purpose: Annotated[
        schemas.Purpose | None, Query(description="State one to see the document; it is logged")
    ] = None,
) -> Any:
    """A referral with its corrections; its content only for a purpose."""
    row = await repository.own_referral(uow, AgencyScope(caller), referral_id)
    if row is None:
        raise NotFound()
    etag(response, row["version"])
    answer = {
        **dict(row),
        "corrections": await repository.referral_history(uow, referral_id),
        "document": None,
    }
    if purpose is not None:
        people = await repository.receipt_parties(uow, referral_id)
        uow.audit(
            "referral.read",
            case_id=row["case_id"],
            subject=str(referral_id),
            purpose=purpose,
            detail={"parties": [str(p["party_id"]) for p in people]},
        )
        answer["document"] = opened(keys_of(uow.runtime), row)
    answer["corrections"] = [dict(r) for r in answer["corrections"]]
    return answer


@router.get(
    "/v1/referrals/{referral_id}/receipt",
    response_model=schemas.ReceiptsView,
    responses=problems(),
    summary="The receipts to hand to the parties",
)
async def read_receipt(
    referral_id: UUID, caller: Annotated[Caller, requires("referral:write")], uow: Unit
) -> Any:
    """Number and secret per party, for the sender that used the stream."""
    row = await repository.own_referral(uow, AgencyScope(caller), referral_id)
    if row is None:
        raise NotFound()
    done = await handlers.submitted(uow, keys_of(uow.runtime), row, first_only=False)
    uow.audit(
        "receipt.read",
        case_id=done.case_id,
        subject=str(referral_id),
        detail={"parties": [str(one.party_id) for one in done.receipts]},
    )
    return done


@router.post(
    "/v1/referrals/{referral_id}/corrections",
    status_code=201,
    response_model=schemas.CorrectedView,
    responses=problems(Conflict, VersionMismatch, VersionRequired, *_WRITES),
    summary="Correct a referral, with a reason",
)
async def correct(
    referral_id: UUID,
    body: schemas.CorrectionBody,
    caller: Annotated[Caller, requires("referral:write")],
    version: IfMatch,
    uow: Unit,
    once: Once,
    response: Response,
    mandate_id: UnderMandate = None,
) -> Any:
    """Change members by pointer; what stood before is kept as history."""
    scope = AgencyScope(caller)
    if once.replayed:
        row = await repository.own_referral(uow, scope, referral_id)
        if row is None:
            raise NotFound()
        etag(response, row["version"])
        version = int(once.resource_id)
        history = await repository.referral_history(uow, referral_id)
        mandates = {old["version"] + 1: old["mandate_id"] for old in history}
        return {
            **dict(row),
            "version": version,
            "changed": sorted({change.pointer for change in body.changes}),
            "mandate_id": mandates.get(version),
        }
    done = await correct_referral(
        referral_id,
        uow,
        scope,
        changes=[(change.pointer, change.value) for change in body.changes],
        reason=body.reason,
        occurred_at=body.occurred_at,
        version=version,
        mandate_id=mandate_id,
    )
    etag(response, done.version)
    await once.store(201, location=f"/v1/referrals/{referral_id}", resource_id=str(done.version))
    return done


# -- cases -------------------------------------------------------------------------------------


@router.get(
    "/v1/cases",
    response_model=Items[schemas.CaseItem],
    responses=problems(CursorInvalid),
    summary="The cases you take part in, youngest first",
)
async def list_cases(
    caller: Annotated[Caller, requires("case:read")],
    uow: Reader,
    page: Paging,
    state: Annotated[str | None, Query(pattern="^(open|closed)$")] = None,
    stage: Annotated[str | None, Query(pattern="^[a-z_]{1,32}$")] = None,
    lane: Annotated[str | None, Query(pattern="^[a-z_]{1,32}$")] = None,
    place: Annotated[
        str | None, Query(pattern="^[0-9]{2,15}$", description="A code, or how it begins")
    ] = None,
    reference: Annotated[str | None, Query(max_length=100, description="Your own number")] = None,
) -> Any:
    """Cases in which the organisation takes part now.

    Where little fits, a page may hold fewer than `limit`, or none, with a `next`: that far it has
    looked, older cases follow.
    """
    asked = Sought(
        own_reference=normal_reference(reference) if reference else None,
        place=place,
        lane=lane,
        state=state,
        stage=stage,
    )
    filters = asked.filters()
    found = await searching.search(
        uow,
        AgencyScope(caller),
        asked,
        before=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    return page_of(found, page, filters)


@router.get(
    "/v1/cases/{case_id}",
    response_model=schemas.CaseView,
    responses=problems(Behind),
    summary="The case file",
)
async def read_case(
    case_id: UUID,
    caller: Annotated[Caller, requires("case:read")],
    uow: Reader,
    response: Response,
) -> Any:
    """Where the case is, who holds it, until when, on what rule; ``as_of`` per service."""
    scope = AgencyScope(caller)
    held = await scope.require(uow, case_id)
    answer = await views.case_view(uow, case_id, scope.organisation, held)
    etag(response, answer["version"])
    return answer


@router.get(
    "/v1/cases/{case_id}/timeline",
    response_model=Items[schemas.TimelineEntry],
    responses=problems(CursorInvalid, Behind),
    summary="What happened to the case, youngest first",
)
async def read_timeline(
    case_id: UUID,
    caller: Annotated[Caller, requires("case:read")],
    uow: Reader,
    page: Paging,
    kind: Annotated[
        str | None,
        Query(pattern="^[a-z.-]{1,64}$", description="`session.held`, or `session` for all of it"),
    ] = None,
    organisation: Annotated[
        str | None, Query(max_length=14, description="Who acted, by code")
    ] = None,
    from_: Annotated[
        AwareDatetime | None, Query(alias="from", description="This instant or later")
    ] = None,
    to: Annotated[AwareDatetime | None, Query(description="Before this instant")] = None,
    by: Annotated[
        Literal["recorded", "occurred"], Query(description="Which time `from` and `to` bound")
    ] = "recorded",
) -> Any:
    """The caller's share of the case's events: what, when, when recorded, by which organisation."""
    scope = AgencyScope(caller)
    held = await scope.require(uow, case_id)
    filters = {
        "case_id": str(case_id),
        "kind": kind,
        "organisation": organisation,
        "from": from_,
        "to": to,
        "by": by if from_ or to else None,
    }
    rows = await repository.timeline(
        uow,
        case_id,
        types=[t for t in views.share(held) if kind is None or views.is_of_kind(t, kind)],
        linked_as=scope.organisation if held == {"linked"} else None,
        before=_pair_of(page.after(filters, direction="desc")),
        limit=page.fetch,
        organisation=organisation,
        by=by,
        from_=from_,
        to=to,
    )
    return page.answer(
        rows,
        lambda row: [row["recorded_at"].isoformat(), row["event_id"]],
        views.timeline_view,
        filters,
        direction="desc",
    )


@router.get(
    "/v1/cases/{case_id}/parties",
    response_model=schemas.PartiesView,
    responses=problems(),
    summary="Open the parties' file, for a purpose",
)
async def read_parties(
    case_id: UUID,
    purpose: schemas.Purpose,
    caller: Annotated[Caller, requires("party:read")],
    uow: Unit,
) -> Any:
    """Names and contacts, for source and handler; logged, chained, and shown to the party."""
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    rows = await repository.sealed_parties(uow, case_id)
    uow.audit(
        "parties.read",
        case_id=case_id,
        purpose=purpose,
        detail={"parties": [str(row["party_id"]) for row in rows]},
    )
    keys = keys_of(uow.runtime)
    about = await views.around(uow, keys, rows)
    people = [views.known_party(keys, row, about) for row in rows]
    return {"case_id": case_id, "purpose": purpose, "parties": people}


@router.get(
    "/v1/cases/{case_id}/access-log",
    response_model=Items[schemas.AccessEntry],
    responses=problems(CursorInvalid),
    summary="Who opened the file",
)
async def read_access_log(
    case_id: UUID, caller: Annotated[Caller, requires("party:read")], uow: Reader, page: Paging
) -> Any:
    """Every opening of the parties' data, for source and handler."""
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    return await _access_log(uow, case_id, None, page)


async def _access_log(uow: UnitOfWork, case_id: UUID, party_id: UUID | None, page: Any) -> Any:
    filters = {"case_id": str(case_id), "party_id": str(party_id) if party_id else None}
    rows = await repository.access_log(
        uow,
        case_id,
        party_id=party_id,
        before=_pair_of(page.after(filters, direction="desc")),
        limit=page.fetch,
    )
    return page.answer(
        rows,
        lambda row: [row["recorded_at"].isoformat(), row["id"]],
        lambda row: views.access_view(row, for_party=party_id is not None),
        filters,
        direction="desc",
    )


@router.post(
    "/v1/cases/{case_id}/lane-changes",
    status_code=201,
    response_model=schemas.CaseMoved,
    responses=problems(VersionMismatch, VersionRequired, CaseClosedProblem, *_WRITES),
    summary="Move the case to another lane",
)
async def change_lane(
    case_id: UUID,
    body: schemas.LaneChangeBody,
    caller: Annotated[Caller, requires("case:write")],
    version: IfMatch,
    uow: Unit,
    once: Once,
    response: Response,
) -> Any:
    """转道: police reclassify, a court files; clocks are restated."""
    await AgencyScope(caller).require(uow, case_id, roles=("source",))
    if not once.replayed:
        await handlers.change_lane(
            case_id,
            uow,
            to_lane=body.to_lane,
            ground=body.ground,
            changed_at=body.changed_at,
            version=version,
        )
        await once.store(201, location=f"/v1/cases/{case_id}", resource_id=str(case_id))
    return await _moved(uow, case_id, response)


@router.post(
    "/v1/cases/{case_id}/reopenings",
    status_code=201,
    response_model=schemas.CaseMoved,
    responses=problems(Conflict, VersionMismatch, VersionRequired, *_WRITES),
    summary="Begin the next round of a closed case",
)
async def reopen(
    case_id: UUID,
    body: schemas.ReopeningBody,
    caller: Annotated[Caller, requires("case:write")],
    version: IfMatch,
    uow: Unit,
    once: Once,
    response: Response,
) -> Any:
    """Within the site's limit, or when a court set the agreement aside; later: a new referral."""
    await AgencyScope(caller).require(uow, case_id, roles=("source",))
    if not once.replayed:
        await handlers.reopen_case(
            case_id,
            uow,
            ground=body.ground,
            version=version,
            within_days=getattr(uow.runtime.settings, "reopen_within_days", 30),
        )
        await once.store(201, location=f"/v1/cases/{case_id}", resource_id=str(case_id))
    return await _moved(uow, case_id, response)


async def _moved(uow: UnitOfWork, case_id: UUID, response: Response) -> Any:
    case = await repository.case(uow, case_id)
    if case is None:
        raise NotFound()
    etag(response, case["version"])
    return dict(case)


@router.post(
    "/v1/cases/{case_id}/departures",
    status_code=201,
    response_model=schemas.DepartureView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="A party leaves",
)
async def depart(
    case_id: UUID,
    body: schemas.DepartureBody,
    caller: Annotated[Caller, requires("case:leave")],
    uow: Unit,
    response: Response,
    mandate_id: UnderMandate = None,
) -> Any:
    """Cannot be refused; needs neither If-Match nor Idempotency-Key; a repeat answers the first.

    Under a mandate that does not hold it is 422: then only the party itself, or a desk without it.
    """
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    if body.party_id is None and body.party_ref is None:
        raise Invalid(errors=[fault("/party_id", "required")])
    return _departed(
        await handlers.leave_case(
            case_id,
            uow,
            party_id=body.party_id,
            ref=body.party_ref,
            left_at=body.left_at,
            told_by="organisation",
            mandate_id=mandate_id,
            way=body.way,
        ),
        response,
    )


def _departed(done: handlers.Departure, response: Response) -> handlers.Departure:
    if done.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return done


# -- the parties' own --------------------------------------------------------------------------


@router.post(
    "/v1/receipts/{number}/tokens",
    response_model=schemas.TokenView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="Exchange a receipt's secret for a party's token",
)
async def exchange_receipt(number: str, body: schemas.ReceiptSecret, request: Request) -> Any:
    """Fifteen minutes for one case, as one party. Ten wrong tries lock for fifteen minutes."""
    address = request.client.host if request.client else "unknown"
    opened = await exchange(runtime_of(request), number, body.secret, address)
    return {"access_token": opened.token, "expires_in": TOKEN_SECONDS}


@router.get(
    "/v1/party/access-log",
    response_model=Items[schemas.AccessEntry],
    responses=problems(CursorInvalid),
    summary="Who opened your file",
)
async def read_party_access_log(party: Follower, uow: Reader, page: Paging) -> Any:
    """Every opening of the party's data, by which organisation, for what."""
    return await _access_log(uow, party.case_id, party.party_id, page)


@router.post(
    "/v1/party/departures",
    status_code=201,
    response_model=schemas.DepartureView,
    responses=problems(),
    summary="Leave the mediation",
)
async def depart_as_party(party: Oneself, uow: Unit, response: Response) -> Any:
    """One call, no reason; cannot be refused, and a repeat answers the first result.

    By the party itself: a representative's receipt does not carry that authority.
    """
    return _departed(
        await handlers.leave_case(
            party.case_id,
            uow,
            party_id=party.party_id,
            left_at=None,
            told_by="party",
            way="receipt",
        ),
        response,
    )


# -- keys and the other services -----------------------------------------------------------------


@router.get(
    "/v1/sealing-keys",
    response_model=schemas.SealingKeys,
    responses=problems(),
    summary="Keys that commands are sealed to",
)
async def read_sealing_keys(request: Request) -> Any:
    """Public keys as JWK; use the last one."""
    return {"keys": keys_of(runtime_of(request)).sealing.public()}


@router.get(
    "/v1/cases/{case_id}/party-sheet",
    response_model=schemas.PartySheetView,
    responses=problems(Behind),
    summary="The party sheet of an assignment, for mediation",
)
async def read_party_sheet(
    case_id: UUID,
    assignment_id: UUID,
    caller: Annotated[Caller, requires("party-sheet:read")],
    uow: Unit,
) -> Any:
    """Once per accepted assignment, again after ``PartyChanged``; logged for its organisation."""
    _services_only(caller)
    turn = await repository.assignment(uow, assignment_id)
    if turn is None or turn["state"] in ("offered", "objected"):
        raise Behind("the acceptance has not been heard here yet", retry_after_seconds=1)
    if turn["case_id"] != case_id or turn["state"] != "accepted":
        raise NotFound()
    case = await repository.case(uow, case_id)
    if case is None:
        raise NotFound()
    # Who has left the mediation is nobody the mediator needs to reach.
    rows = [r for r in await repository.sealed_parties(uow, case_id) if r["left_at"] is None]
    uow.audit(
        "party_sheet.read",
        case_id=case_id,
        subject=str(assignment_id),
        purpose=schemas.Purpose.HANDLING,
        detail={"parties": [str(r["party_id"]) for r in rows], "for": turn["organisation"]},
    )
    keys = keys_of(uow.runtime)
    about = await views.around(uow, keys, rows)
    referral = await repository.referral_of_case(uow, case_id)
    document = opened(keys, referral)
    return {
        "case_id": case_id,
        "case_number": case["case_number"],
        "assignment_id": assignment_id,
        "organisation": turn["organisation"],
        "title": document["title"],
        "summary": document["summary"],
        "claims": document["claims"],
        "version": referral["version"],
        "parties": [views.known_party(keys, row, about) for row in rows],
    }


@router.get(
    "/v1/contacts",
    response_model=schemas.Contacts,
    responses=problems(),
    summary="How to reach parties, for notification",
)
async def read_contacts(
    caller: Annotated[Caller, requires("contact:read")],
    uow: Unit,
    purpose: Annotated[str, Query(pattern="^notice$")],
    party_id: Annotated[list[UUID], Query(min_length=1, max_length=50)],
) -> Any:
    """Asked at the moment of sending, never kept; each opening is logged.

    A party that is not there is left out.
    """
    _services_only(caller)
    keys, items = keys_of(uow.runtime), []
    rows = await repository.contacts(uow, party_id)
    about = await views.around(uow, keys, rows)
    for row in rows:
        uow.audit(
            "contact.read",
            case_id=row["case_id"],
            subject=str(row["party_id"]),
            purpose=schemas.Purpose.SERVICE_OF_NOTICE,
            detail={"parties": [str(row["party_id"])]},
        )
        items.append(views.contact_view(keys, row, about))
    return {"items": items}


def _services_only(caller: Caller) -> None:
    if not caller.is_service:
        raise Forbidden("for the other services alone")


def _pair_of(after: list[Any] | None) -> list[Any] | None:
    if after is not None and (len(after) != 2 or not all(isinstance(part, str) for part in after)):
        raise CursorInvalid()
    return after
