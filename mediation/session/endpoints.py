"""Sessions and notes over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response

from mediation.errors import KEYED, MOVES
from mediation.gate import act, hold, own
from mediation.mandate.schemas import UnderMandate
from mediation.proceeding.views import next_act_of
from mediation.session import handlers, repository
from mediation.session.schemas import (
    CancellationBody,
    HeldBody,
    MoveBody,
    NoteBody,
    NotesView,
    NoteView,
    SessionBody,
    SessionView,
)
from services.auth import Caller
from services.errors import (
    NotFound,
)
from services.http import IfMatch, Reader, Unit, etag, requires
from services.idempotency import Once
from services.paging import Items
from services.problem import problems

router = APIRouter(prefix="/v1")
Reading = Annotated[Caller, requires("mediation:read")]
Writing = Annotated[Caller, requires("mediation:write")]


@router.post(
    "/mediations/{mediation_id}/sessions",
    status_code=201,
    response_model=SessionView,
    responses=problems(*KEYED),
)
async def schedule_session(
    mediation_id: UUID,
    body: SessionBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Set a session; the database refuses a mediator, room or party that is taken then.

    Under a mandate (`Mandate-Id`) as its party has asked; so when it is moved or called off.
    """
    if once.replayed:
        row = await own(uow, "session", UUID(once.resource_id), caller.organisation)
    else:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        mediation = await hold(uow, "mediation", mediation_id, caller.organisation)
        row = await handlers.schedule(
            mediation,
            form=body.form,
            mode=body.mode,
            room=body.room,
            parties=list(dict.fromkeys(body.parties)),
            starts_at=body.starts_at,
            ends_at=body.ends_at,
            act=done_by,
            uow=uow,
        )
        id_ = str(row["session_id"])
        await once.store(201, location=f"/v1/sessions/{id_}", resource_id=id_)
    etag(response, row["version"])
    next_act = await next_act_of(row["mediation_id"], uow)
    return {**dict(row), "next_act": next_act}


@router.get(
    "/mediations/{mediation_id}/sessions",
    response_model=Items[SessionView],
    responses=problems(),
)
async def list_sessions(mediation_id: UUID, caller: Reading, uow: Reader) -> dict[str, Any]:
    """The sessions of a mediation, in order of time."""
    await own(uow, "mediation", mediation_id, caller.organisation)
    rows = await repository.of_mediation(uow.db, mediation_id)
    return {"items": [dict(row) for row in rows], "next": None}


@router.get("/sessions/{session_id}", response_model=SessionView, responses=problems())
async def read_session(
    session_id: UUID, caller: Reading, uow: Reader, response: Response
) -> dict[str, Any]:
    """One session."""
    row = await own(uow, "session", session_id, caller.organisation)
    etag(response, row["version"])
    next_act = await next_act_of(row["mediation_id"], uow)
    return {**dict(row), "next_act": next_act}


@router.post("/sessions/{session_id}/moves", response_model=SessionView, responses=problems(*MOVES))
async def move_session(
    session_id: UUID,
    body: MoveBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Give a session another time."""
    if not once.replayed:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        row = await hold(uow, "session", session_id, caller.organisation, version=version)
        await handlers.move(
            row,
            starts_at=body.starts_at,
            ends_at=body.ends_at,
            room=body.room,
            act=done_by,
            uow=uow,
        )
        await once.store(200, resource_id=str(session_id))
    return await read_session(session_id, caller, uow, response)


@router.post(
    "/sessions/{session_id}/cancellations", response_model=SessionView, responses=problems(*MOVES)
)
async def cancel_session(
    session_id: UUID,
    body: CancellationBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
    mandate_id: UnderMandate = None,
) -> dict[str, Any]:
    """Call a session off."""
    if not once.replayed:
        done_by = await act(
            uow,
            caller.organisation,
            occurred_at=body.occurred_at,
            acted_by=caller.acted_by,
            mandate_id=mandate_id,
        )
        row = await hold(uow, "session", session_id, caller.organisation, version=version)
        await handlers.call_off(row, body.reason, done_by, uow)
        await once.store(200, resource_id=str(session_id))
    return await read_session(session_id, caller, uow, response)


@router.post("/sessions/{session_id}/held", response_model=SessionView, responses=problems(*MOVES))
async def hold_session(
    session_id: UUID,
    body: HeldBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Record that a session was held and who came; consent to mediate is on record for each."""
    if not once.replayed:
        done_by = await act(
            uow, caller.organisation, occurred_at=body.occurred_at, acted_by=caller.acted_by
        )
        row = await hold(uow, "session", session_id, caller.organisation, version=version)
        await handlers.held(
            row,
            attended=list(dict.fromkeys(body.attended)),
            attendance={str(side): count for side, count in body.attendance.items()},
            rights_told=body.rights_told,
            identity_checked=body.identity_checked,
            false_mediation_warned=body.false_mediation_warned,
            act=done_by,
            uow=uow,
        )
        await once.store(200, resource_id=str(session_id))
    return await read_session(session_id, caller, uow, response)


@router.post(
    "/sessions/{session_id}/notes",
    status_code=201,
    response_model=NoteView,
    responses=problems(*KEYED),
)
async def write_note(
    session_id: UUID,
    body: NoteBody,
    caller: Annotated[Caller, requires("note:write")],
    uow: Unit,
    once: Once,
) -> dict[str, Any]:
    """Write a note sealed to its author (`Acted-By`); nobody else ever reads it here."""
    done_by = await act(
        uow, caller.organisation, occurred_at=body.occurred_at, acted_by=caller.acted_by
    )
    if once.replayed:
        row = await own(uow, "session", session_id, caller.organisation)
        kept = await handlers.read_note(row, UUID(once.resource_id), done_by, uow)
        if kept is None:
            raise NotFound()
        return kept
    row = await hold(uow, "session", session_id, caller.organisation)
    note = await handlers.write_note(row, body.text, done_by, uow)
    await once.store(201, resource_id=str(note["note_id"]))
    return note


@router.get("/sessions/{session_id}/notes", response_model=NotesView, responses=problems())
async def read_notes(
    session_id: UUID, caller: Annotated[Caller, requires("note:read")], uow: Unit
) -> dict[str, Any]:
    """The author's own notes of a session; the reading is logged."""
    done_by = await act(uow, caller.organisation, acted_by=caller.acted_by)
    row = await own(uow, "session", session_id, caller.organisation)
    return {"items": await handlers.read_notes(row, done_by, uow)}
