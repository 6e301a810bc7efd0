"""Matters over REST; to the line a sealed matter is about, it is not there."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from intake import receipt
from intake.doors.mandates import NOTHING_UNMARKED
from intake.gates.handlers import named
from intake.gates.schemas import refused_response
from intake.handlers import fault
from intake.keys import keys_of
from intake.matters import handlers, repository
from intake.matters.handlers import NewMatter
from intake.matters.model import kinds
from intake.matters.receipts import opened, read
from intake.matters.record import due_on, on_record
from intake.matters.schemas import (
    AnswerBody,
    ConversionBody,
    ConvertedView,
    MatterBody,
    MatterCounts,
    MatterItem,
    MatterKind,
    MatterTaken,
    MatterView,
    ReadingView,
    TransferBody,
)
from intake.notices import repository as notices
from intake.organs import agency
from intake.places.handlers import suggested
from intake.schemas import Purpose, ReceiptSecret
from services.auth import Caller
from services.calendar import day_of
from services.errors import (
    Conflict,
    CursorInvalid,
    Gone,
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
from services.http import Counted, IfMatch, Reader, Unit, etag, requires, runtime_of
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)
_MOVES = (Conflict, Gone, VersionMismatch, VersionRequired, *_WRITES)
Reading = Annotated[Caller, requires("matter:read")]
Writing = Annotated[Caller, requires("matter:write")]


@router.post(
    "/v1/matters",
    status_code=201,
    response_model=MatterTaken,
    responses=problems(ReferenceInUse, *_WRITES),
    summary="Take what is no dispute: advice, suggestion, accusation, hazard, complaint",
)
async def take_matter(body: MatterBody, caller: Writing, uow: Unit, once: Once) -> Any:
    """Any desk takes any matter; it goes where its kind belongs, and the receipt says where."""
    if once.replayed:
        row = await _still_seen(uow, caller, UUID(once.resource_id))
    else:
        row = await handlers.take(
            _new(body, caller, uow),
            uow,
            organisation=caller.organisation,
            connection=caller.connection,
        )
        id_ = str(row["matter_id"])
        await once.store(201, location=f"/v1/matters/{id_}", resource_id=id_)
    return _taken(row, uow)


async def _still_seen(uow: UnitOfWork, caller: Caller, matter_id: UUID) -> Any:
    """A replay passes the gate again: whoever takes part in the matter no more finds nothing."""
    line = agency(uow.runtime.directory, caller.organisation)
    row = await repository.seen(uow, caller.organisation, line, matter_id)
    if row is None:
        raise NotFound()
    return row


def _new(body: MatterBody, caller: Caller, uow: UnitOfWork) -> NewMatter:
    if body.place is None and body.address is None:
        raise Invalid(errors=[fault("/place", "where_needed")])
    received_at = body.received_at or uow.now
    place = body.place
    if place is None:
        place = suggested(
            uow.runtime,
            body.address or "",
            organisation=caller.organisation,
            on=day_of(received_at),
        ).place
    about = body.about.model_dump() if body.about else None
    return NewMatter(
        kind=body.kind,
        place=place,
        channel=body.channel,
        content={
            "person": body.person.model_dump() if body.person else None,
            "about": about,
            "title": body.title,
            "text": body.text,
            "address": body.address,
        },
        request_made_at=body.request_made_at or received_at,
        received_at=received_at,
        about=(about or {}).get("organisation"),
        reference=body.reference,
    )


def _taken(row: Any, uow: UnitOfWork) -> dict[str, Any]:
    kind = kinds()[row["kind"]]
    return {
        **dict(row),
        "secret": receipt.secret(keys_of(uow.runtime).receipt, row["matter_id"], 1),
        "go_to": named({"organisation": row["holder"]}, uow.runtime.directory),
        "citation": kind.citation,
        "until": {
            "on": due_on(row),
            "source": kind.answer_within["source"],
            "zh": None,
            "en": None,
        },
    }


@router.get(
    "/v1/matters",
    response_model=Items[MatterItem],
    responses=problems(CursorInvalid),
    summary="The matters you took, must answer, or have passed on",
)
async def list_matters(
    caller: Reading,
    uow: Reader,
    page: Paging,
    kind: MatterKind | None = None,
    state: Annotated[str | None, Query(pattern="^(open|answered|converted|erased)$")] = None,
    mine: Annotated[bool, Query(description="Only those that you must answer")] = False,
    overdue: Annotated[
        bool | None, Query(description="Not answered after the last day, or only the others")
    ] = None,
) -> Any:
    """Youngest first; none that is about your own line."""
    filters = {"kind": kind, "state": state, "mine": mine, "overdue": overdue}
    rows = await repository.listed(
        uow,
        caller.organisation,
        agency(uow.runtime.directory, caller.organisation),
        kind=kind,
        state=state,
        mine=mine,
        overdue=overdue,
        before=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    return page.answer(
        rows,
        lambda row: [row["matter_id"]],
        lambda row: _item(row, caller, uow.now),
        filters,
        direction="desc",
    )


def _item(row: Any, caller: Caller, now: datetime) -> dict[str, Any]:
    own = row["organisation"] == caller.organisation
    return {
        **dict(row),
        "reference": row["reference"] if own else None,
        "overdue": row["state"] == "open" and now >= row["due_at"],
        "late": row["answered_at"] is not None and row["answered_at"] >= row["due_at"],
        "due_on": due_on(row),
        "due_source": kinds()[row["kind"]].answer_within["source"],
    }


@router.get(
    "/v1/matters/counts",
    response_model=MatterCounts,
    responses=problems(),
    summary="How many matters are overdue, and how many answers were late",
)
async def count_matters(
    caller: Reading,
    uow: Reader,
    period: Counted,
) -> Any:
    """Those you took, must answer or have passed on; of the last 24 hours when left out."""
    line = agency(uow.runtime.directory, caller.organisation)
    rows = await repository.counts(uow, caller.organisation, line, period.since, period.until)
    by_kind = [{**dict(row), **kinds()[row["kind"]].answer_within} for row in rows]
    totals = {name: sum(row[name] for row in rows) for name in ("taken", "overdue", "late")}
    return {"since": period.since, "until": period.until, **totals, "by_kind": by_kind}


@router.get(
    "/v1/matters/{matter_id}",
    response_model=MatterView,
    responses=problems(),
    summary="One matter",
)
async def read_matter(
    matter_id: UUID,
    caller: Reading,
    uow: Unit,
    response: Response,
    purpose: Annotated[
        Purpose | None, Query(description="State one to see what was said; it is logged")
    ] = None,
) -> Any:
    """What was done with it and who was told; what was said only for a purpose.

    Sealed matters (accusations, complaints about a handler) open to whoever must answer them alone.
    """
    row = await repository.seen(
        uow, caller.organisation, agency(uow.runtime.directory, caller.organisation), matter_id
    )
    if row is None:
        raise NotFound()
    if row["holder"] == caller.organisation:
        await notices.prove_all(uow, matter_id, "receiver", caller.organisation, "note_taken")
    etag(response, row["version"])
    return await _view(row, caller, uow, purpose)


async def _view(
    row: Any, caller: Caller, uow: UnitOfWork, purpose: Purpose | None = None
) -> dict[str, Any]:
    owed = [dict(each) for each in await notices.of_subject(uow, row["matter_id"])]
    onward = {each["recipient"] for each in owed if each["about"] == "transferred"}
    reads = purpose is not None and (
        row["holder"] == caller.organisation
        or (row["organisation"] == caller.organisation and not kinds()[row["kind"]].sealed)
    )
    content = None
    if reads and row["content"]:
        uow.audit(
            "matter.read", subject=str(row["matter_id"]), purpose=purpose, detail={"for": "content"}
        )
        content = keys_of(uow.runtime).vault.open(
            handlers.TABLE,
            row["matter_id"],
            row["kek_id"],
            row["wrapped_key"],
            {"content": row["content"]},
        )["content"]
    return {
        **_item(row, caller, uow.now),
        "sent": onward == {"party", "receiver"} if onward else None,
        "content": content,
        "steps": [
            {**dict(step), "text": opened(row, step, uow) if reads else None}
            for step in await repository.steps(uow, row["matter_id"])
        ],
        "notices": owed,
    }


@router.post(
    "/v1/matters/{matter_id}/transfers",
    status_code=201,
    response_model=MatterView,
    responses=problems(*_MOVES),
    summary="Pass a matter on",
)
async def transfer_matter(
    matter_id: UUID,
    body: TransferBody,
    caller: Writing,
    version: IfMatch,
    uow: Unit,
    once: Once,
    response: Response,
) -> Any:
    """To whoever is competent; party and receiver are both told, as tasks until proved."""
    if once.replayed:
        row = await _still_seen(uow, caller, matter_id)
    else:
        row = await handlers.held(matter_id, uow, caller.organisation, version=version)
        row = await handlers.transfer(
            row,
            uow,
            to=body.to,
            ground=body.ground,
            citation=body.citation,
            occurred_at=body.occurred_at,
        )
        await once.store(201, location=f"/v1/matters/{matter_id}", resource_id=str(matter_id))
    etag(response, row["version"])
    return await _view(row, caller, uow)


@router.post(
    "/v1/matters/{matter_id}/answers",
    status_code=201,
    response_model=MatterView,
    responses=problems(*_MOVES),
    summary="Answer a matter",
)
async def answer_matter(
    matter_id: UUID,
    body: AnswerBody,
    caller: Writing,
    version: IfMatch,
    uow: Unit,
    once: Once,
    response: Response,
) -> Any:
    """The person reads it by its receipt; telling it is a task of yours until proved."""
    if once.replayed:
        row = await _still_seen(uow, caller, matter_id)
    else:
        row = await handlers.held(matter_id, uow, caller.organisation, version=version)
        row = await handlers.answer(
            row, uow, text=body.text, adoption=body.adoption, occurred_at=body.occurred_at
        )
        await once.store(201, location=f"/v1/matters/{matter_id}", resource_id=str(matter_id))
    etag(response, row["version"])
    return await _view(row, caller, uow)


@router.post(
    "/v1/matters/{matter_id}/conversions",
    status_code=201,
    response_model=ConvertedView,
    responses={**problems(ReferenceInUse, *_MOVES), **refused_response()},
    summary="Make advice or a hazard a dispute",
)
async def convert_matter(
    matter_id: UUID,
    body: ConversionBody,
    caller: Writing,
    version: IfMatch,
    uow: Unit,
    once: Once,
) -> Any:
    """A referral of your own; the day on which help was first asked for stays (LIM-1)."""
    if once.replayed:
        row = await _still_seen(uow, caller, matter_id)
        done = await handlers.converted(row, uow)
    else:
        row = await handlers.held(matter_id, uow, caller.organisation, version=version)
        try:
            row, done = await handlers.convert(
                row, uow, document=body.referral, connection=caller.connection
            )
        except Refused as refusal:
            return await on_record(refusal, uow, connection=caller.connection)
        await once.store(
            201, location=f"/v1/referrals/{done.referral_id}", resource_id=str(matter_id)
        )
    return {"matter_id": matter_id, "number": row["number"], "submitted": done}


@router.post(
    "/v1/receipts/{number}/readings",
    response_model=ReadingView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="Where a matter or a refusal stands, by its receipt",
)
async def read_by_receipt(number: str, body: ReceiptSecret, request: Request) -> Any:
    """For whoever holds number and secret; ten wrong tries lock. Reading proves the notices."""
    address = request.client.host if request.client else "unknown"
    return await read(runtime_of(request), number, body.secret, address)
