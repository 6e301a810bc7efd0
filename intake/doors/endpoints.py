"""The doors of a desk over REST: quick form, supplements and repeat calls, mandates."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from intake import repository as referrals
from intake.doors import handlers, mandates, repository
from intake.doors.mandates import NOTHING_UNMARKED, UnderMandate, own
from intake.doors.schemas import (
    CounterBody,
    CounterCounts,
    CounterView,
    MandateBody,
    MandateView,
    SupplementBody,
    SupplementView,
)
from intake.gates.schemas import refused_response
from intake.handlers import submitted
from intake.keys import keys_of
from intake.matters.record import on_record
from intake.schemas import Purpose
from intake.tracking.follower import Follower, Oneself
from services.access import AgencyScope
from services.auth import Caller
from services.errors import (
    Conflict,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    NotFound,
    ReferenceInUse,
    Refused,
    TooLarge,
    UnsupportedMediaType,
)
from services.http import Counted, Reader, Unit, requires
from services.idempotency import Once
from services.paging import Items
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)
Sender = Annotated[Caller, requires("referral:write")]
BOTH = ("source", "handler")


@router.post(
    "/v1/counter-entries",
    status_code=201,
    response_model=CounterView,
    responses={**problems(ReferenceInUse, *_WRITES), **refused_response()},
    summary="The quick form: who, whom, what, where",
)
async def enter_at_counter(body: CounterBody, caller: Sender, uow: Unit, once: Once) -> Any:
    """A whole referral of a few fields; late with a reason and a second person.

    What is no dispute becomes a matter, what law bars a refusal, as for `POST /v1/referrals`.
    """
    if once.replayed:
        return await _first(UUID(once.resource_id), caller, uow)
    try:
        done = await handlers.enter(body, caller, uow)
    except Refused as refusal:
        return await on_record(refusal, uow, connection=caller.connection)
    id_ = str(done.submitted.referral_id)
    await once.store(201, location=f"/v1/referrals/{id_}", resource_id=id_)
    return done


async def _first(referral_id: UUID, caller: Caller, uow: UnitOfWork) -> handlers.Entered:
    row = await referrals.own_referral(uow, AgencyScope(caller), referral_id)
    entry = await repository.own_entry(uow, caller.organisation, referral_id)
    if row is None or entry is None:
        raise NotFound()
    return handlers.again(await submitted(uow, keys_of(uow.runtime), row), entry)


@router.get(
    "/v1/counter-entries/counts",
    response_model=CounterCounts,
    responses=problems(),
    summary="How many entries came late",
)
async def count_entries(
    caller: Annotated[Caller, requires("referral:read")],
    uow: Reader,
    period: Counted,
) -> Any:
    """Your own, of the last 24 hours when left out."""
    found = await repository.counts(uow, caller.organisation, period.since, period.until)
    return {"since": period.since, "until": period.until, **found}


@router.post(
    "/v1/cases/{case_id}/supplements",
    status_code=201,
    response_model=SupplementView,
    responses=problems(Conflict, *_WRITES),
    summary="Attach a supplement or a repeat call",
)
async def attach_supplement(
    case_id: UUID,
    body: SupplementBody,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
    mandate_id: UnderMandate = None,
) -> Any:
    """The handler hears of it; it raises neither order nor urgency, however often one calls.

    The mandate is named by the header, as everywhere, or by the member.
    """
    await AgencyScope(caller).require(uow, case_id, roles=BOTH)
    if once.replayed:
        id_ = UUID(once.resource_id)
    else:
        id_ = await handlers.attach(
            case_id,
            uow,
            organisation=caller.organisation,
            kind=body.kind,
            text=body.text,
            reference=body.reference,
            mandate_id=body.mandate_id or mandate_id,
            received_at=body.received_at,
            mandate_at="/mandate_id" if body.mandate_id else mandates.HEADER,
        )
        await once.store(201, location=f"/v1/cases/{case_id}/supplements", resource_id=str(id_))
    rows = await repository.supplements(uow, case_id)
    row = next((row for row in rows if row["supplement_id"] == id_), None)
    if row is None:  # erased since
        raise NotFound()
    return dict(row) | {"text": None}


@router.get(
    "/v1/cases/{case_id}/supplements",
    response_model=Items[SupplementView],
    responses=problems(),
    summary="What was added to a case",
)
async def list_supplements(
    case_id: UUID,
    caller: Annotated[Caller, requires("case:read")],
    uow: Unit,
    purpose: Purpose | None = None,
) -> Any:
    """In the order in which they came; what was said only for a purpose, which is logged."""
    await AgencyScope(caller).require(uow, case_id, roles=BOTH)
    rows = await repository.supplements(uow, case_id)
    if purpose is not None and rows:
        uow.audit("supplements.read", case_id=case_id, purpose=purpose)
    return {"items": [_supplement(row, uow, purpose) for row in rows], "next": None}


def _supplement(row: Any, uow: UnitOfWork, purpose: Purpose | None) -> dict[str, Any]:
    text = None
    if purpose is not None and row["text"] is not None:
        text = keys_of(uow.runtime).vault.open(
            handlers.SUPPLEMENT,
            row["supplement_id"],
            row["kek_id"],
            row["wrapped_key"],
            {"text": row["text"]},
        )["text"]
    return {**dict(row), "text": text}


@router.post(
    "/v1/cases/{case_id}/mandates",
    status_code=201,
    response_model=MandateView,
    responses=problems(*_WRITES),
    dependencies=[own("pass_on")],
    summary="Record who files for a party",
)
async def give_mandate(
    case_id: UUID, body: MandateBody, caller: Sender, uow: Unit, once: Once
) -> Any:
    """代办: marked on each act done under it; the party may still act alone, and end it.

    It holds for the organisation that recorded it alone, here and in mediation.
    """
    await AgencyScope(caller).require(uow, case_id, roles=BOTH)
    if once.replayed:
        id_ = UUID(once.resource_id)
    else:
        id_ = await handlers.give_mandate(case_id, body, caller, uow)
        await once.store(201, location=f"/v1/cases/{case_id}/mandates", resource_id=str(id_))
    row = await repository.mandate(uow, id_)
    if row is None:
        raise NotFound()
    return {**dict(row), "agent": None}


@router.post(
    "/v1/mandates/{mandate_id}/revocations",
    response_model=MandateView,
    responses=problems(),
    dependencies=[own("end_mandate")],
    summary="End a mandate, for the party that says so",
)
async def revoke_mandate(
    mandate_id: UUID, caller: Annotated[Caller, requires("case:leave")], uow: Unit
) -> Any:
    """One call, no reason, never refused; a repeat answers the first time."""
    row = await repository.mandate(uow, mandate_id)
    if row is None:
        raise NotFound()
    await AgencyScope(caller).require(uow, row["case_id"], roles=BOTH)
    return {**dict(await handlers.revoke(row, uow, told_by="organisation")), "agent": None}


@router.get(
    "/v1/party/mandates",
    response_model=Items[MandateView],
    responses=problems(),
    summary="Who may file for you",
)
async def list_own_mandates(party: Follower, uow: Unit) -> Any:
    """The party's own mandates, with the agents' names."""
    rows = await repository.mandates_of(uow, party.case_id, party.party_id)
    vault = keys_of(uow.runtime).vault
    items = [
        {
            **dict(row),
            **vault.open(
                handlers.MANDATE,
                row["mandate_id"],
                row["kek_id"],
                row["wrapped_key"],
                {"agent": row["agent"]},
            ),
        }
        for row in rows
        if row["agent"]  # erased with its party
    ]
    return {"items": items, "next": None}


@router.post(
    "/v1/party/mandates/revocations",
    response_model=Items[MandateView],
    responses=problems(),
    summary="End every mandate you gave",
)
async def revoke_own_mandates(party: Oneself, uow: Unit) -> Any:
    """One call, at once, never refused; you may act alone as before.

    By the party itself: a representative's receipt does not carry that authority.
    """
    rows = await repository.mandates_of(uow, party.case_id, party.party_id)
    ended = [await handlers.revoke(row, uow, told_by="party") for row in rows]
    return {"items": [{**dict(row), "agent": None} for row in ended], "next": None}
