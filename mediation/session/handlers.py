"""Sessions set, moved, cancelled, held; notes sealed to their author."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from mediation.errors import fail, moved, refuse
from mediation.gate import Act, own, seal
from mediation.mandate import handlers as mandates
from mediation.mandate.rules import Mandate
from mediation.proceeding import repository as proceedings
from mediation.proceeding.model import MEDIATION
from mediation.proceeding.rules import Statement, all_consent, may_take_part
from mediation.repository import Row, change, insert
from mediation.session import repository, rules
from mediation.session.model import SESSION
from services.errors import Conflict, FieldError
from services.events.mediation import (
    SessionCancelled,
    SessionHeld,
    SessionMoved,
    SessionScheduled,
)
from services.ids import new_id
from services.unit_of_work import UnitOfWork


def _moved(row: Row, move: str) -> str:
    return moved(SESSION, row["state"], move)


def _keys(row: Mapping[str, Any]) -> list[str]:
    keys = [f"mediator:{row['mediator_id']}", *(f"party:{p}" for p in row["parties"])]
    if row["room"]:
        keys.append(f"room:{row['organisation']}:{row['room']}")
    return keys


async def _book(row: Row, uow: UnitOfWork) -> None:
    try:
        await repository.book(
            uow.db, row["session_id"], _keys(dict(row)), row["starts_at"], row["ends_at"]
        )
    except asyncpg.ExclusionViolationError as error:
        fault = FieldError(
            "/starts_at",
            "double-booked",
            "该时间已有人员或者场地被占用。/ Somebody or the room is taken then.",
        )
        raise Conflict(
            "the mediator, the room or a party is booked at that time", errors=[fault]
        ) from error


async def _check(
    mediation: Row,
    *,
    form: str,
    parties: Sequence[UUID],
    starts_at: datetime,
    ends_at: datetime,
    uow: UnitOfWork,
) -> None:
    case = await proceedings.case_copy(uow.db, mediation["case_id"])
    refuse(may_take_part(parties, case["departed"], case["declined"]))
    refuse(
        rules.may_schedule(
            form=form,
            joint_sessions=case["joint_sessions"],
            starts_at=starts_at,
            ends_at=ends_at,
            invited=parties,
            parties=[UUID(party["party_id"]) for party in case["parties"]],
        )
    )


async def schedule(
    mediation: Row,
    *,
    form: str,
    mode: str,
    room: str | None,
    parties: Sequence[UUID],
    starts_at: datetime,
    ends_at: datetime,
    act: Act,
    uow: UnitOfWork,
) -> Row:
    """Set a session; mediator, room and parties are booked by the database.

    Under a mandate: as its party, one of those who are invited, has asked.
    """
    under = await mandates.in_force(act, mediation["case_id"], parties, uow)
    if not MEDIATION.allows(mediation["state"], "schedule"):
        fail("state", "调解已经结束。/ The mediation is over.")
    if mediation["mediator_id"] is None:
        fail("no-mediator", "须先确定调解员。/ A mediator is appointed first.")
    await _check(
        mediation, form=form, parties=parties, starts_at=starts_at, ends_at=ends_at, uow=uow
    )
    row = await insert(
        uow.db,
        "session",
        {
            "session_id": new_id(),
            "mediation_id": mediation["mediation_id"],
            "case_id": mediation["case_id"],
            "organisation": mediation["organisation"],
            "mediator_id": mediation["mediator_id"],
            "form": form,
            "mode": mode,
            "room": room,
            "parties": [str(party) for party in parties],
            "starts_at": starts_at,
            "ends_at": ends_at,
            "state": "scheduled",
            "attended": [],
            "absent": [],
            "mandate_id": mandates.id_of(under),
            "occurred_at": act.occurred_at,
        },
    )
    await _book(row, uow)
    uow.emit(
        SessionScheduled(
            case_id=row["case_id"],
            session_id=row["session_id"],
            mediation_id=row["mediation_id"],
            mode=mode,
            parties=tuple(parties),
            starts_at=starts_at,
            ends_at=ends_at,
        ),
        occurred_at=act.occurred_at,
    )
    _audit("schedule", row, under, uow)
    return row


async def move(
    row: Row, *, starts_at: datetime, ends_at: datetime, room: str | None, act: Act, uow: UnitOfWork
) -> Row:
    """Give a session another time, and another room when one is named."""
    _moved(row, "move")
    parties = [UUID(party) for party in row["parties"]]
    under = await mandates.in_force(act, row["case_id"], parties, uow)
    mediation = await own(uow, "mediation", row["mediation_id"], act.organisation)
    await _check(
        mediation, form=row["form"], parties=parties, starts_at=starts_at, ends_at=ends_at, uow=uow
    )
    row = await change(
        uow.db,
        "session",
        "session_id",
        row["session_id"],
        {
            "starts_at": starts_at,
            "ends_at": ends_at,
            "room": room or row["room"],
            "mandate_id": mandates.id_of(under),
        },
    )
    await repository.free(uow.db, row["session_id"])
    await _book(row, uow)
    uow.emit(
        SessionMoved(
            case_id=row["case_id"],
            session_id=row["session_id"],
            mediation_id=row["mediation_id"],
            starts_at=starts_at,
            ends_at=ends_at,
            moved_at=act.occurred_at,
        ),
        occurred_at=act.occurred_at,
    )
    _audit("move", row, under, uow)
    return row


def _audit(what: str, row: Row, under: Mandate | None, uow: UnitOfWork) -> None:
    uow.audit(
        f"session.{what}",
        case_id=row["case_id"],
        subject=str(row["session_id"]),
        detail=mandates.mark(under),
    )


async def call_off(row: Row, reason: str, act: Act, uow: UnitOfWork) -> Row:
    """Call a session off, for the organisation or as a party that was invited has asked."""
    parties = [UUID(party) for party in row["parties"]]
    under = await mandates.in_force(act, row["case_id"], parties, uow)
    return await cancel(row, reason, act.occurred_at, uow, under=under)


async def cancel(
    row: Row, reason: str, at: datetime, uow: UnitOfWork, *, under: Mandate | None = None
) -> Row:
    """Call a session off and give back what it had booked."""
    row = await change(
        uow.db,
        "session",
        "session_id",
        row["session_id"],
        {
            "state": _moved(row, "cancel"),
            "cancel_reason": reason,
            "mandate_id": mandates.id_of(under),
        },
    )
    await repository.free(uow.db, row["session_id"])
    uow.emit(
        SessionCancelled(
            case_id=row["case_id"],
            session_id=row["session_id"],
            mediation_id=row["mediation_id"],
            reason=reason,
            cancelled_at=at,
        ),
        occurred_at=at,
    )
    _audit("cancel", row, under, uow)
    return row


async def cancel_planned(mediation: Row, reason: str, at: datetime, uow: UnitOfWork) -> None:
    """Call off every session of a mediation that is still to be held."""
    for row in await repository.planned(uow.db, mediation["mediation_id"]):
        await cancel(row, reason, at, uow)


async def excuse(
    mediation: Row, party_id: UUID, reason: str, left_at: datetime, uow: UnitOfWork
) -> None:
    """Take a party out of every session still to begin; called off if nobody remains."""
    for row in await repository.planned(uow.db, mediation["mediation_id"]):
        rest = [party for party in row["parties"] if party != str(party_id)]
        if len(rest) == len(row["parties"]) or row["starts_at"] < left_at:
            continue
        if not rest:
            await cancel(row, reason, left_at, uow)
            continue
        row = await change(uow.db, "session", "session_id", row["session_id"], {"parties": rest})
        await repository.free(uow.db, row["session_id"])
        await _book(row, uow)


async def held(
    row: Row,
    *,
    attended: Sequence[UUID],
    attendance: Mapping[str, int],
    rights_told: bool,
    identity_checked: bool,
    false_mediation_warned: bool,
    act: Act,
    uow: UnitOfWork,
) -> Row:
    """Record that a session took place and who came; what was said stays out."""
    state = _moved(row, "hold")
    mediation = await own(uow, "mediation", row["mediation_id"], act.organisation)
    case = await proceedings.case_copy(uow.db, row["case_id"])
    if not {str(party) for party in attended} <= set(row["parties"]):
        fail("not-a-party", "到场的人未在通知之列。/ Somebody who came was not invited.")
    refuse(
        rules.may_hold(
            lane=mediation["lane"],
            sector=case["sector"],
            rights_told=rights_told,
            identity_checked=identity_checked,
            false_mediation_warned=false_mediation_warned,
            attendance=attendance,
            act_at=act.occurred_at,
            now=uow.now,
        )
    )
    consents = await proceedings.current_consents(uow.db, row["mediation_id"])
    statements = [Statement(c["party_id"], c["step"], c["state"]) for c in consents]
    refuse(all_consent("mediate", attended, statements))
    absent = [party for party in row["parties"] if UUID(party) not in set(attended)]
    row = await change(
        uow.db,
        "session",
        "session_id",
        row["session_id"],
        {
            "state": state,
            "attended": [str(party) for party in attended],
            "absent": absent,
            "held_at": act.occurred_at,
        },
    )
    uow.emit(
        SessionHeld(
            case_id=row["case_id"],
            session_id=row["session_id"],
            mediation_id=row["mediation_id"],
            attended=tuple(attended),
            absent=tuple(UUID(party) for party in absent),
            held_at=act.occurred_at,
        ),
        occurred_at=act.occurred_at,
    )
    uow.audit("session.held", case_id=row["case_id"], subject=str(row["session_id"]))
    return row


# -- notes -------------------------------------------------------------------------------------


def _note_seal(organisation: str, author: str) -> str:
    return f"note:{organisation}:{author}"


async def write_note(row: Row, text: str, act: Act, uow: UnitOfWork) -> dict[str, Any]:
    """Seal a note to its author; nobody else can read it, here or in a backup."""
    author = _author(act)
    note_id = new_id()
    await repository.open_to_author(uow.db, author)
    sealed = seal(uow, _note_seal(row["organisation"], author)).close({"text": text}, note_id)
    note = await insert(
        uow.db,
        "session_note",
        {
            "id": note_id,
            "session_id": row["session_id"],
            "case_id": row["case_id"],
            "organisation": row["organisation"],
            "author": author,
            "sealed": sealed,
            "occurred_at": act.occurred_at,
        },
    )
    uow.audit("note.write", case_id=row["case_id"], subject=str(note_id))
    return _shown(note, text)


async def read_notes(row: Row, act: Act, uow: UnitOfWork) -> list[dict[str, Any]]:
    """The author's own notes of a session."""
    author = _author(act)
    await repository.open_to_author(uow.db, author)
    box = seal(uow, _note_seal(row["organisation"], author))
    uow.audit("note.read", case_id=row["case_id"], subject=str(row["session_id"]))
    return [
        _shown(note, box.open(note["sealed"], note["id"])["text"])
        for note in await repository.notes(uow.db, row["session_id"])
        if note["sealed"]
    ]


async def read_note(row: Row, note_id: UUID, act: Act, uow: UnitOfWork) -> dict[str, Any] | None:
    """One note of the author's own."""
    shown = await read_notes(row, act, uow)
    return next((note for note in shown if note["note_id"] == note_id), None)


def _author(act: Act) -> str:
    if act.acted_by is None:
        fail(
            "author-needed",
            "笔记须写明记录人员编号（Acted-By）。/ "
            "Notes need the staff id of their author (Acted-By).",
        )
    return act.acted_by


def _shown(note: Row, text: str) -> dict[str, Any]:
    return {
        "note_id": note["id"],
        "session_id": note["session_id"],
        "author": note["author"],
        "text": text,
        "without_prejudice": True,
        "recorded_at": note["recorded_at"],
    }
