"""REST of what never became a case: how long it is kept, holds, erasure and its certificate."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from intake.doors.mandates import NOTHING_UNMARKED
from intake.matters.receipts import opened_record
from intake.organs import agency
from intake.problems import BODY, WRITES
from intake.records import handlers, keeping, repository, schemas, views
from services.auth import Caller
from services.errors import Conflict, CursorInvalid, NotFound
from services.http import Reader, Unit, requires, runtime_of
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import Actor, UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
Reading = Annotated[Caller, requires("matter:read")]
Writing = Annotated[Caller, requires("matter:write")]


@router.get(
    "/v1/records/{record_id}/retention",
    response_model=schemas.RecordRetention,
    responses=problems(),
    summary="How long a refusal or a matter is kept, and why",
)
async def read_record_retention(record_id: UUID, caller: Reading, uow: Reader) -> Any:
    """Class, end and law; for the body that sent or took it, or must answer it."""
    return await keeping.kept(uow, await handlers.own(uow, caller.organisation, record_id))


@router.post(
    "/v1/records/{record_id}/holds",
    status_code=201,
    response_model=schemas.RecordHoldView,
    responses=problems(*WRITES),
    summary="Let nothing of a refusal or a matter be erased",
)
async def hold_record(
    record_id: UUID, body: schemas.RecordHoldBody, caller: Writing, uow: Unit, once: Once
) -> Any:
    """A legal hold: for a lawsuit, an investigation, a complaint, an inspection."""
    found = await handlers.own(uow, caller.organisation, record_id, lock=True)
    if once.replayed:
        return await _one(uow, "record_hold", UUID(once.resource_id))
    id_ = await keeping.hold(uow, found, body.ground, body.occurred_at)
    await once.store(201, location=None, resource_id=str(id_))
    return await _one(uow, "record_hold", id_)


@router.post(
    "/v1/record-holds/{record_hold_id}/liftings",
    status_code=201,
    response_model=schemas.RecordHoldView,
    responses=problems(*WRITES),
    summary="The hold on a refusal or a matter is over",
)
async def lift_record_hold(record_hold_id: UUID, caller: Writing, uow: Unit, once: Once) -> Any:
    """By the body that set it."""
    row = await _one(uow, "record_hold", record_hold_id)
    await handlers.own(uow, caller.organisation, row["record_id"])
    if row["organisation"] != caller.organisation:
        raise NotFound()
    if not once.replayed:
        await keeping.lift(uow, row)
        await once.store(201, location=None, resource_id=str(record_hold_id))
    return await _one(uow, "record_hold", record_hold_id)


@router.post(
    "/v1/records/{record_id}/erasures",
    status_code=201,
    response_model=schemas.RecordErasureView,
    responses=problems(Conflict, *WRITES),
    summary="Propose to erase what a refused referral or a matter says",
)
async def propose_record_erasure(
    record_id: UUID, body: schemas.RecordErasureBody, caller: Writing, uow: Unit, once: Once
) -> Any:
    """Nothing is erased yet: another member of the staff decides (`Acted-By`)."""
    found = await handlers.own(uow, caller.organisation, record_id, lock=True)
    if once.replayed:
        return await _erasure(uow, UUID(once.resource_id))
    id_ = await handlers.ask(uow, found, body.ground, by="organisation")
    await once.store(201, location=f"/v1/record-erasures/{id_}", resource_id=str(id_))
    return await _erasure(uow, id_)


@router.post(
    "/v1/receipts/{number}/erasures",
    status_code=201,
    response_model=schemas.RecordErasureView,
    responses=problems(Conflict, *BODY),
    summary="Ask by a receipt that what was said be erased",
)
async def ask_record_erasure(
    number: str, body: schemas.RecordErasureByReceipt, request: Request
) -> Any:
    """For whoever holds number and secret of a refusal or a matter; ten wrong tries lock. The body
    that has it decides; asking twice is asking once."""
    runtime = runtime_of(request)
    address = request.client.host if request.client else "unknown"
    record_id = await opened_record(runtime, number, body.secret, address)
    async with runtime.unit_of_work(actor=Actor(f"receipt:{record_id}")) as uow:
        found = await handlers.record(uow, record_id, lock=True)
        id_ = await handlers.ask(uow, found, body.ground, by="person")
        return await _erasure(uow, id_)


@router.get(
    "/v1/record-erasures",
    response_model=Items[schemas.RecordErasureView],
    responses=problems(CursorInvalid),
    summary="Erasures of your refusals and matters: proposed, refused, done",
)
async def list_record_erasures(
    caller: Reading,
    uow: Reader,
    page: Paging,
    state: Annotated[str | None, Query(pattern="^(requested|refused|erased)$")] = None,
    record_id: UUID | None = None,
) -> Any:
    """Youngest first; `state=requested` are those that wait for a decision."""
    filters = {"state": state, "record_id": str(record_id) if record_id else None}
    rows = await repository.listed(
        uow,
        caller.organisation,
        agency(uow.runtime.directory, caller.organisation),
        state=state,
        record_id=record_id,
        before=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    known = {row["record_id"]: await handlers.record(uow, row["record_id"]) for row in rows}
    return page.answer(
        rows,
        lambda row: [str(row["record_erasure_id"])],
        lambda row: views.erasure(row, known[row["record_id"]]),
        filters,
        direction="desc",
    )


@router.get(
    "/v1/record-erasures/{record_erasure_id}",
    response_model=schemas.RecordErasureView,
    responses=problems(),
    summary="An erasure of a refusal or a matter, and its certificate",
)
async def read_record_erasure(record_erasure_id: UUID, caller: Reading, uow: Reader) -> Any:
    """On what ground, who approved, what stays and why."""
    row = await _one(uow, "record_erasure", record_erasure_id)
    await handlers.own(uow, caller.organisation, row["record_id"])
    return await _erasure(uow, record_erasure_id)


@router.post(
    "/v1/record-erasures/{record_erasure_id}/decisions",
    status_code=201,
    response_model=schemas.RecordErasureView,
    responses=problems(Conflict, *WRITES),
    summary="Approve or refuse the erasure of a refusal or a matter",
)
async def decide_record_erasure(
    record_erasure_id: UUID, body: schemas.ErasureDecision, caller: Writing, uow: Unit, once: Once
) -> Any:
    """By another person than who asked. Approved, the data are gone when the answer comes."""
    row = await _one(uow, "record_erasure", record_erasure_id)
    found = await handlers.own(uow, caller.organisation, row["record_id"], lock=True)
    if not once.replayed:
        await handlers.decide(
            uow, found, record_erasure_id, approved=body.approved, refusal=body.refusal
        )
        path = f"/v1/record-erasures/{record_erasure_id}"
        await once.store(201, location=path, resource_id=str(record_erasure_id))
    return await _erasure(uow, record_erasure_id)


async def _erasure(uow: UnitOfWork, erasure_id: UUID) -> Any:
    row = await _one(uow, "record_erasure", erasure_id)
    return views.erasure(row, await handlers.record(uow, row["record_id"]))


async def _one(uow: UnitOfWork, table: str, id_: UUID) -> Any:
    row = await repository.one(uow, table, id_)
    if row is None:
        raise NotFound()
    return row
