"""Receipts and tracking on REST."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, Response

from intake import repository
from intake.doors.mandates import NOTHING_UNMARKED, UnderMandate, own
from intake.handlers import fault
from intake.keys import keys_of
from intake.notices import repository as notices
from intake.parties.handlers import as_party
from intake.schemas import ReceiptView
from intake.tracking import handlers, papers, schemas, views
from intake.tracking import repository as tracking
from intake.tracking.follower import Follower, Oneself
from services.access import AgencyScope
from services.auth import Caller, PartyCaller
from services.errors import (
    Conflict,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Invalid,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)
_PDF: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The paper as data, or as PDF/A",
    }
}


class Form(StrEnum):
    """How a receipt is wanted."""

    JSON = "json"
    PDF = "pdf"


FormQuery = Annotated[Form, Query(description="`pdf` for the paper itself")]


async def _answer(paper: dict[str, Any], form: Form) -> Any:
    if form is Form.JSON:
        return paper
    content = await papers.receipt_pdf(paper)
    head = {"Content-Disposition": f'attachment; filename="{paper["number"]}.pdf"'}
    return Response(content, media_type="application/pdf", headers=head)


@router.get(
    "/v1/referrals/{referral_id}/receipts/{party_ref}",
    response_model=schemas.ReceiptPaper,
    responses={**problems(), **_PDF},
    summary="One party's receipt, to hand to it",
)
async def read_receipt_paper(
    referral_id: UUID,
    party_ref: str,
    caller: Annotated[Caller, requires("referral:write")],
    uow: Unit,
    form: FormQuery = Form.JSON,
) -> Any:
    """Number and secret in both languages; as PDF with a QR code that holds no secret. Audited."""
    if await repository.own_referral(uow, AgencyScope(caller), referral_id) is None:
        raise NotFound()
    row = await tracking.party_by_ref(uow, referral_id, party_ref)
    if row is None:
        raise NotFound()
    uow.audit(
        "receipt.read",
        case_id=row["case_id"],
        subject=str(row["party_id"]),
        detail={"parties": [str(row["party_id"])]},
    )
    secret = handlers.secret_of(keys_of(uow.runtime), row)
    return await _answer(handlers.paper(uow, row, secret=secret), form)


@router.get(
    "/v1/party/receipt",
    response_model=schemas.ReceiptPaper,
    responses={**problems(), **_PDF},
    summary="Your receipt once more, without the secret",
)
async def read_own_receipt(party: Follower, uow: Reader, form: FormQuery = Form.JSON) -> Any:
    """For the party or its representative; the secret stays with whom it was handed to."""
    row = await _own(uow, party)
    return await _answer(handlers.paper(uow, row, secret=None), form)


@router.get(
    "/v1/party/case",
    response_model=schemas.TrackedCase,
    responses=problems(),
    summary="Where your case is, who holds it, until when, on what rule",
)
async def read_party_case(party: Follower, uow: Reader, after: BackgroundTasks) -> Any:
    """The party's own view of its case, in both languages; reading it proves its notices."""
    found = await views.tracked(uow, party.case_id, party.party_id)
    if party.representative is None and await notices.are_open(uow, party.case_id, party.party_id):
        after.add_task(handlers.prove_reading, uow.runtime, party.case_id, party.party_id)
    return found


@router.post(
    "/v1/referrals/{referral_id}/receipts",
    status_code=201,
    response_model=ReceiptView,
    responses=problems(*_WRITES),
    dependencies=[own("secret")],
    summary="Replace a lost receipt",
)
async def replace_receipt(
    referral_id: UUID,
    body: schemas.LostReceipt,
    caller: Annotated[Caller, requires("referral:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """A new secret for a party that showed who it is; the old one dies. The party's log tells."""
    if await repository.own_referral(uow, AgencyScope(caller), referral_id) is None:
        raise NotFound()
    row = await tracking.party_by_ref(uow, referral_id, body.party_ref)
    return await _replaced(uow, row, "/party_ref", body.document_seen, once)


@router.post(
    "/v1/cases/{case_id}/receipts",
    status_code=201,
    response_model=ReceiptView,
    responses=problems(*_WRITES),
    dependencies=[own("secret")],
    summary="Replace a lost receipt at the desk that has the case",
)
async def replace_receipt_at_desk(
    case_id: UUID,
    body: schemas.DeskReceipt,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """A new secret for a party that showed who it is, at any desk of source or handler."""
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    row = await tracking.party_of(uow, case_id, body.party_id)
    return await _replaced(uow, row, "/party_id", body.document_seen, once)


async def _replaced(
    uow: UnitOfWork, row: Any, pointer: str, seen: schemas.DocumentSeen, once: Once
) -> Any:
    found = _known(row, pointer)
    new = await handlers.replace(uow, found, document_seen=seen, replayed=once.replayed)
    if not once.replayed:
        await once.store(
            201,
            location=f"/v1/referrals/{found['referral_id']}/receipts/{found['ref']}",
            resource_id=str(found["party_id"]),
        )
    return new


@router.post(
    "/v1/cases/{case_id}/receipt-unlocks",
    response_model=schemas.Unlocked,
    responses=problems(Conflict, TooLarge, UnsupportedMediaType),
    summary="Open a receipt that wrong tries have locked",
)
async def unlock(
    case_id: UUID,
    body: schemas.DeskReceipt,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    mandate_id: UnderMandate = None,
) -> Any:
    """For a party that stands at the desk and showed who it is. A repeat finds nothing locked.

    Whoever files for it may have it opened: the secret stays with the party.
    """
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    row = _known(await tracking.party_of(uow, case_id, body.party_id), "/party_id")
    count = await handlers.unlock(uow, row, document_seen=body.document_seen, mandate_id=mandate_id)
    return {"case_id": case_id, "unlocked": count}


# -- representatives ---------------------------------------------------------------------------


@router.post(
    "/v1/cases/{case_id}/representative-receipts",
    status_code=201,
    response_model=schemas.RepresentativeReceipt,
    responses=problems(*_WRITES),
    dependencies=[own("represent")],
    summary="Give a representative a receipt of its own",
)
async def give_at_desk(
    case_id: UUID,
    body: schemas.RepresentativeAtDesk,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """By the desk of source or handler that saw the mandate; the party sees it and can end it.

    It rests on a representation in force and ends with it.
    """
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    row = _known(await tracking.party_of(uow, case_id, body.party_id), "/party_id")
    seen, which = str(body.document_seen), body.representation_id
    return await _given(uow, row, caller.organisation, seen, which, once)


@router.post(
    "/v1/cases/{case_id}/representative-receipts/{receipt_id}/revocations",
    response_model=schemas.RepresentativeView,
    responses=problems(Conflict),
    summary="End a representative's receipt for a party at the desk",
)
async def revoke_at_desk(
    case_id: UUID,
    receipt_id: UUID,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    mandate_id: UnderMandate = None,
) -> Any:
    """At once, with every token had by it; a repeat answers the first result."""
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    return await handlers.revoke_representative(
        uow,
        receipt_id,
        case_id=case_id,
        party_id=None,
        revoked_by=caller.organisation,
        mandate_id=mandate_id,
    )


@router.get(
    "/v1/party/representative-receipts",
    response_model=schemas.Representatives,
    responses=problems(),
    summary="Who follows your case for you",
)
async def list_own(party: Follower, uow: Reader) -> Any:
    """Every receipt that was given to a representative of the party."""
    rows = await tracking.representatives(uow, party.party_id)
    return {"items": [dict(row) for row in rows]}


@router.post(
    "/v1/party/representative-receipts",
    status_code=201,
    response_model=schemas.RepresentativeReceipt,
    responses=problems(*_WRITES),
    summary="Let somebody follow your case for you",
)
async def give_own(
    party: Oneself, uow: Unit, once: Once, body: schemas.RepresentativeOwn | None = None
) -> Any:
    """A number and a secret for a representative in force; only the party itself can give one."""
    await as_party(uow, party.party_id)
    which = body.representation_id if body else None
    return await _given(uow, await _own(uow, party), "party", None, which, once)


@router.post(
    "/v1/party/representative-receipts/{receipt_id}/revocations",
    response_model=schemas.RepresentativeView,
    responses=problems(),
    summary="End a representative's receipt",
)
async def revoke_own(receipt_id: UUID, party: Oneself, uow: Unit) -> Any:
    """At once, with every token had by it; a repeat answers the first result."""
    return await handlers.revoke_representative(
        uow, receipt_id, case_id=party.case_id, party_id=party.party_id, revoked_by="party"
    )


async def _given(
    uow: UnitOfWork,
    row: Any,
    issued_by: str,
    document_seen: str | None,
    representation_id: UUID | None,
    once: Once,
) -> Any:
    given = await handlers.give_representative(
        uow,
        row,
        representation_id=representation_id,
        issued_by=issued_by,
        document_seen=document_seen,
        replayed=once.resource_id if once.replayed else "",
    )
    if not once.replayed:
        await once.store(201, resource_id=str(given["receipt_id"]))
    return given


async def _own(uow: UnitOfWork, party: PartyCaller) -> Any:
    row = await tracking.party_of(uow, party.case_id, party.party_id)
    if row is None:
        raise NotFound()
    return row


def _known(row: Any, pointer: str) -> Any:
    if row is None:
        raise Invalid(errors=[fault(pointer, "party_unknown")])
    return row
