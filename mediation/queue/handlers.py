"""Offers taken into the queue, accepted, refused, decided, ended."""

from datetime import datetime
from typing import Any
from uuid import UUID

from mediation.errors import fail, moved, refuse
from mediation.gate import Act, seal
from mediation.next_act import term
from mediation.proceeding import repository as proceedings
from mediation.queue import repository, rules
from mediation.queue.model import QUEUE, Offer
from mediation.repository import Row, change
from services.errors import NotFound
from services.events import lanes
from services.events.mediation import (
    AssignmentAccepted,
    AssignmentDeemedAccepted,
    AssignmentEnded,
    AssignmentObjected,
    AssignmentReturned,
)
from services.events.routing import AssignmentOffered, Deadline
from services.ids import new_id
from services.messaging.inbox import Round
from services.unit_of_work import UnitOfWork

PARTY_SHEET_JOB = "party-sheet"


def offer_of(row: Row) -> Offer:
    """The members of a row that the rules look at."""
    return Offer(
        row["state"], row["accept_by"], row["returnable"], row["refusal_kind"], row["on_silence"]
    )


async def take_offer(data: AssignmentOffered, episode: int, uow: UnitOfWork) -> None:
    """Put an offer into the organisation's queue; the same turn again changes nothing."""
    if uow.batch is not None and data.case_id not in uow.batch.rounds:
        # Nobody here knows the case yet, so there is nobody to lock out.
        uow.batch.turn(data.case_id, Round(episode, False), data.case_number)
    else:
        await uow.lock_case(
            data.case_id, create=True, case_number=data.case_number, episode=episode
        )
    sector = data.sector or lanes.sector(data.dispute_type)
    parties = [party.model_dump(mode="json") for party in data.parties]
    shared = {
        "case_id": data.case_id,
        "case_number": data.case_number,
        "lane": data.lane,
        "sector": sector,
        "dispute_type": data.dispute_type,
        "dispute_subtype": data.dispute_subtype,
        "place": data.place,
        "claim_fen": data.claim_fen,
        "source_organisation": data.source_organisation,
    }
    await repository.put_offer(
        uow.db,
        {**shared, "parties": parties, "joint_sessions": data.joint_sessions},
        {
            **shared,
            "assignment_id": data.assignment_id,
            "episode": episode,
            "ordinal": data.ordinal,
            "decision_id": data.decision_id,
            "organisation": data.organisation,
            "returnable": data.returnable,
            "refusal_kind": data.refusal_kind,
            "on_silence": data.on_silence,
            "preferred_mode": data.preferred_mode,
            "documents": [d.model_dump(mode="json") for d in data.documents],
            "rules": list(data.rules),
            "offered_at": data.offered_at,
            "accept_by": data.accept_by,
            "received_at": data.received_at,
            "state": "offered",
            "terms": {},
            "due_at": data.accept_by,
            "occurred_at": data.offered_at,
        },
    )


async def accept(row: Row, act: Act, uow: UnitOfWork) -> Row:
    """Accept an offer: opens the mediation, emits ``AssignmentAccepted``.

    Also after ``accept_by`` while nothing has been made of the silence (design, section 4).
    """
    refuse(rules.may_accept(offer_of(row)))
    if act.occurred_at < row["offered_at"]:
        fail("before-offer", "接收不得早于派件。/ Nothing is accepted before it is offered.")
    row = await _hold(row, "accept", "accepted", act.occurred_at, uow)
    uow.emit(
        AssignmentAccepted(
            case_id=row["case_id"],
            assignment_id=row["assignment_id"],
            mediation_id=row["mediation_id"],
            organisation=row["organisation"],
            ordinal=row["ordinal"],
            accepted_at=act.occurred_at,
        ),
        occurred_at=act.occurred_at,
    )
    uow.audit("assignment.accept", case_id=row["case_id"], subject=str(row["assignment_id"]))
    return row


async def _hold(row: Row, move: str, basis: str, accepted_at: datetime, uow: UnitOfWork) -> Row:
    """The organisation holds the case from now on; the mediation opens."""
    state = moved(QUEUE, row["state"], move)
    mediation_id = new_id()
    accepted = await change(
        uow.db,
        "assignment",
        "assignment_id",
        row["assignment_id"],
        {
            "state": state,
            "basis": basis,
            "accepted_at": accepted_at,
            "mediation_id": mediation_id,
        },
    )
    await proceedings.open_mediation(uow.db, mediation_id, accepted, accepted_at)
    uow.enqueue(
        PARTY_SHEET_JOB,
        {"assignment_id": str(row["assignment_id"]), "case_id": str(row["case_id"])},
        key=f"{PARTY_SHEET_JOB}:{row['assignment_id']}",
    )
    return accepted


async def hold_by_silence(row: Row, basis: str, accepted_at: datetime, uow: UnitOfWork) -> Row:
    """Silence, or a refused objection, makes the organisation the holder."""
    move = "dismiss_objection" if row["state"] == "objected" else "deem_accepted"
    row = await _hold(row, move, basis, accepted_at, uow)
    uow.emit(
        AssignmentDeemedAccepted(
            case_id=row["case_id"],
            assignment_id=row["assignment_id"],
            mediation_id=row["mediation_id"],
            organisation=row["organisation"],
            ordinal=row["ordinal"],
            basis=basis,
            accepted_at=accepted_at,
        ),
        occurred_at=accepted_at,
    )
    return row


async def give_back(row: Row, ground: str, note: str | None, act: Act, uow: UnitOfWork) -> Row:
    """Return an offer on a ground of the closed list; takes effect at once."""
    refuse(rules.may_return(offer_of(row), ground, uow.now))
    row = await _refused(row, "return", ground, note, uow)
    uow.emit(
        AssignmentReturned(
            case_id=row["case_id"],
            assignment_id=row["assignment_id"],
            organisation=row["organisation"],
            ordinal=row["ordinal"],
            ground=ground,
            returned_at=uow.now,
        )
    )
    return row


async def object_to(row: Row, ground: str, note: str | None, act: Act, uow: UnitOfWork) -> Row:
    """Object to an offer; the sender decides, until then the organisation is bound."""
    refuse(rules.may_object(offer_of(row), ground, uow.now))
    row = await _refused(row, "object", ground, note, uow)
    uow.emit(
        AssignmentObjected(
            case_id=row["case_id"],
            assignment_id=row["assignment_id"],
            organisation=row["organisation"],
            ordinal=row["ordinal"],
            ground=ground,
            objected_at=uow.now,
        )
    )
    return row


async def _refused(row: Row, move: str, ground: str, note: str | None, uow: UnitOfWork) -> Row:
    state = moved(QUEUE, row["state"], move)
    sealed = seal(uow, "refusal-note").close(note, row["assignment_id"]) if note else None
    uow.audit(
        f"assignment.{move}",
        case_id=row["case_id"],
        subject=str(row["assignment_id"]),
        detail={"ground": ground},
    )
    return await change(
        uow.db,
        "assignment",
        "assignment_id",
        row["assignment_id"],
        {"state": state, "ground": ground, "note_sealed": sealed, "refused_at": uow.now},
    )


async def decide_objection(row: Row, upheld: bool, at: datetime, uow: UnitOfWork) -> None:
    """The sender has decided: upheld is a return, refused binds the organisation."""
    if row["state"] != "objected":
        return
    if not upheld:
        await hold_by_silence(row, "objection_refused", at, uow)
        return
    row = await change(
        uow.db, "assignment", "assignment_id", row["assignment_id"], {"state": "returned"}
    )
    uow.emit(
        AssignmentEnded(
            case_id=row["case_id"],
            assignment_id=row["assignment_id"],
            organisation=row["organisation"],
            ordinal=row["ordinal"],
            end="objection_upheld",
            ended_at=at,
        ),
        occurred_at=at,
    )


async def window_elapsed(row: Row, on_silence: str, at: datetime, uow: UnitOfWork) -> None:
    """Say what silence means; an answer that came before the fact was heard stands."""
    if row["state"] != "offered":
        return
    move, meaning = rules.after_silence(on_silence)
    if move == "deem_accepted":
        await hold_by_silence(row, meaning, at, uow)
    else:
        await end_turn(row, move, meaning, None, at, uow)


async def end_turn(
    row: Row, move: str, end: str, outcome: str | None, at: datetime, uow: UnitOfWork
) -> Row:
    """End the turn, drop the party sheet, emit ``AssignmentEnded``."""
    state = moved(QUEUE, row["state"], move)
    row = await change(
        uow.db,
        "assignment",
        "assignment_id",
        row["assignment_id"],
        {"state": state, "end": end, "outcome": outcome, "ended_at": at},
    )
    await proceedings.drop_party_sheet(uow.db, row["assignment_id"])
    uow.emit(
        AssignmentEnded(
            case_id=row["case_id"],
            assignment_id=row["assignment_id"],
            organisation=row["organisation"],
            ordinal=row["ordinal"],
            end=end,
            outcome=outcome,
            ended_at=at,
        ),
        occurred_at=at,
    )
    return row


async def move_acceptance(row: Row, accept_by: datetime, uow: UnitOfWork) -> None:
    """Take a later ``accept_by`` over; an earlier one never (design, section 4)."""
    if row["state"] == "offered" and accept_by > row["accept_by"]:
        await change(
            uow.db,
            "assignment",
            "assignment_id",
            row["assignment_id"],
            {"accept_by": accept_by, "due_at": accept_by},
        )


async def keep_term(row: Row, deadline: Deadline, facts: dict[str, Any], uow: UnitOfWork) -> None:
    """Keep what routing tells of a term clock; the queue sorts by the one that ends first."""
    known = row["terms"].get(str(deadline.clock_id), {})
    terms = {
        **row["terms"],
        str(deadline.clock_id): {
            **known,
            "rule": deadline.rule,
            "citation": deadline.citation,
            "due_at": deadline.due_at.isoformat(),
            "due_on": deadline.due_on,
            "original_due_at": deadline.original_due_at.isoformat(),
            "projected": deadline.projected,
            **facts,
        },
    }
    due_at = term(terms).due_at or row["due_at"]
    await change(
        uow.db,
        "assignment",
        "assignment_id",
        row["assignment_id"],
        {"terms": terms, "due_at": due_at if row["state"] == "accepted" else row["due_at"]},
    )


async def turn(assignment_id: UUID, uow: UnitOfWork, case_id: UUID) -> Row | None:
    """Lock the case and read one of its turns; None when this service does not know it."""
    try:
        await uow.lock_case(case_id)
    except NotFound:
        return None
    return await repository.lock(uow.db, assignment_id)
