"""What mediation hears, and what it makes of it: the tuple is its whole appetite."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from mediation import repository
from mediation.agreement import handlers as agreements
from mediation.agreement import repository as agreement_rows
from mediation.confirmation import handlers as confirmations
from mediation.erasing import obey
from mediation.mandate import repository as mandates
from mediation.mandate.rules import Mandate
from mediation.obligation import handlers as obligations
from mediation.proceeding import handlers as proceedings
from mediation.proceeding import repository as proceeding_rows
from mediation.queue import handlers as queue
from mediation.queue import repository as queue_rows
from mediation.queue.handlers import PARTY_SHEET_JOB
from mediation.repository import Row
from mediation.session import handlers as sessions
from mediation.session import repository as session_rows
from services.access import PARTICIPATION_HANDLERS
from services.clock import wire
from services.errors import NotFound
from services.events.intake import (
    CaseCorrected,
    CaseErased,
    CaseLaneChanged,
    CasesJoined,
    HandlingConstraintsChanged,
    MandateGiven,
    MandateRevoked,
    PartyChanged,
    PartyLeft,
    WithdrawalSettled,
)
from services.events.routing import (
    AcceptanceWindowElapsed,
    AssignmentOffered,
    AssignmentRecalled,
    Deadline,
    DeadlineChanged,
    DeadlineMissed,
    DeadlineMissWithdrawn,
    DeadlinePaused,
    DeadlineResumed,
    DeadlineStarted,
    DeadlineStopped,
    ObjectionDecided,
)
from services.service import Received, on
from services.unit_of_work import UnitOfWork


async def _known(case_id: UUID, uow: UnitOfWork) -> bool:
    try:
        await uow.lock_case(case_id)
    except NotFound:
        return False
    return True


async def queue_offer(event: Received[AssignmentOffered], uow: UnitOfWork) -> None:
    """Put an offer into the queue. Redelivery is a no-op: one row per turn."""
    await queue.take_offer(event.data, event.episode, uow)


async def recall_turn(event: Received[AssignmentRecalled], uow: UnitOfWork) -> None:
    """Take a turn back."""
    row = await queue.turn(event.data.assignment_id, uow, event.case_id)
    if row is not None:
        await proceedings.recall(row, event.data.recalled_at, uow)


async def weigh_silence(event: Received[AcceptanceWindowElapsed], uow: UnitOfWork) -> None:
    """Say what a window that ran out means; an answer already given stands."""
    row = await queue.turn(event.data.assignment_id, uow, event.case_id)
    if row is not None and event.data.accept_by >= row["accept_by"]:
        await queue.window_elapsed(row, event.data.on_silence, event.data.elapsed_at, uow)


async def follow_objection(event: Received[ObjectionDecided], uow: UnitOfWork) -> None:
    """Carry out what the sender decided on an objection."""
    row = await queue.turn(event.data.assignment_id, uow, event.case_id)
    if row is not None:
        await queue.decide_objection(row, event.data.upheld, event.data.decided_at, uow)


async def let_leave(event: Received[PartyLeft], uow: UnitOfWork) -> None:
    """A party left: with the last of a side everything that is not agreed ends; else all go on."""
    if not await _known(event.case_id, uow):
        return
    data = event.data
    await proceedings.party_left(
        event.case_id, event.episode, data.party_id, data.role, data.left_at, uow
    )
    await _fetch_sheet(event, uow)


async def follow_lane(event: Received[CaseLaneChanged], uow: UnitOfWork) -> None:
    """Go on under the rules of the new lane; open drafts are measured by them."""
    if not await _known(event.case_id, uow):
        return
    at = event.data.changed_at
    for mediation in await proceedings.change_lane(
        event.case_id, event.episode, event.data.to_lane, at, uow
    ):
        await agreements.restate(mediation, at, uow)


async def refresh_party_sheet(event: Received[PartyChanged], uow: UnitOfWork) -> None:
    """Have the party sheet fetched anew; a party that was named only later joins the copy."""
    if await _known(event.case_id, uow):
        if event.data.added is not None:
            party = event.data.added.model_dump(mode="json")
            await proceeding_rows.add_party(uow.db, event.case_id, party)
        await _fetch_sheet(event, uow)


async def keep_mandate(event: Received[MandateGiven], uow: UnitOfWork) -> None:
    """Keep who may file for a party, of whatever round, also before any offer; no name."""
    data = event.data
    await uow.lock_case(event.case_id, create=True, episode=event.episode)
    mandate = Mandate(data.mandate_id, event.case_id, data.party_id, data.organisation, None)
    await mandates.keep(uow.db, mandate, data.given_at)


async def end_mandate(event: Received[MandateRevoked], uow: UnitOfWork) -> None:
    """Nothing is done under it any more; what has the case first stands, with its mark."""
    await uow.lock_case(event.case_id, create=True, episode=event.episode)
    await mandates.end(uow.db, event.data.mandate_id, event.data.revoked_at)


async def _fetch_sheet(event: Received[Any], uow: UnitOfWork) -> None:
    row = await queue_rows.turn_of(uow.db, event.case_id, event.episode)
    if row is not None and row["state"] == "accepted":
        uow.enqueue(
            PARTY_SHEET_JOB,
            {"assignment_id": str(row["assignment_id"]), "case_id": str(event.case_id)},
            key=f"{PARTY_SHEET_JOB}:{row['assignment_id']}:{event.event_id}",
        )


async def follow_constraints(event: Received[HandlingConstraintsChanged], uow: UnitOfWork) -> None:
    """Whether people may be put into one room; a planned joint session is called off."""
    if not await _known(event.case_id, uow):
        return
    await uow.db.execute(
        "UPDATE case_copy SET joint_sessions = $2 WHERE case_id = $1",
        event.case_id,
        event.data.joint_sessions,
    )
    if event.data.joint_sessions:
        return
    for mediation in await proceeding_rows.mediations_of(uow.db, event.case_id, event.episode):
        for row in await session_rows.planned(uow.db, mediation["mediation_id"]):
            if row["form"] == "joint" or len(row["parties"]) > 1:
                await sessions.cancel(row, "handling_constraints", event.data.changed_at, uow)


async def correct_case(event: Received[CaseCorrected], uow: UnitOfWork) -> None:
    """Take corrected facts over into the copy and the open turn."""
    if not await _known(event.case_id, uow):
        return
    data = event.data
    changed: dict[str, Any] = {
        name: getattr(data, name)
        for name in ("dispute_type", "dispute_subtype", "place", "claim_fen")
        if getattr(data, name) is not None
    }
    if not changed:
        return
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(changed, 2))
    for table in ("case_copy", "assignment"):
        await uow.db.execute(
            f"UPDATE {table} SET {sets} WHERE case_id = $1", event.case_id, *changed.values()
        )


async def rest(event: Received[CasesJoined], uow: UnitOfWork) -> None:
    """The dispute is handled in another file: the open turn at this one is taken back."""
    if event.data.side == "joined":
        await _take_back(event, event.data.joined_at, uow)


async def end_withdrawn(event: Received[WithdrawalSettled], uow: UnitOfWork) -> None:
    """The referral was taken back and nobody asked to go on: so is the open turn, if not agreed."""
    if event.data.result == "ends":
        await _take_back(event, event.data.settled_at, uow)


async def _take_back(event: Received[Any], at: datetime, uow: UnitOfWork) -> None:
    """The turn that the case has open in this round, if it has one."""
    if not await _known(event.case_id, uow):
        return
    row = await queue_rows.turn_of(uow.db, event.case_id, event.episode)
    if row is not None:
        await proceedings.recall(row, at, uow)


# -- clocks ------------------------------------------------------------------------------------


async def _turn_of_clock(event: Received[Any], deadline: Deadline, uow: UnitOfWork) -> Row | None:
    """The turn an acceptance or term clock is about."""
    if not await _known(event.case_id, uow):
        return None
    row = await queue_rows.turn_of(uow.db, event.case_id, event.episode)
    if row is None:
        return None
    subjects = (None, row["assignment_id"], row["mediation_id"], event.case_id)
    return row if deadline.subject_id in subjects else None


async def _clock(
    event: Received[Any], deadline: Deadline, facts: dict[str, Any], uow: UnitOfWork
) -> None:
    if deadline.kind == "term":
        row = await _turn_of_clock(event, deadline, uow)
        if row is not None:
            await queue.keep_term(row, deadline, facts, uow)
    elif deadline.kind == "confirmation" and await _known(event.case_id, uow):
        if deadline.subject_id is None:
            return
        agreement = await repository.get(uow.db, "agreement", "agreement_id", deadline.subject_id)
        if agreement is not None:
            await agreement_rows.keep_confirmation(
                uow.db, agreement["agreement_id"], deadline.due_at, deadline.due_on
            )


async def clock_started(event: Received[DeadlineStarted], uow: UnitOfWork) -> None:
    """Show a term or confirmation clock on the case."""
    await _clock(event, event.data.deadline, {}, uow)


async def clock_changed(event: Received[DeadlineChanged], uow: UnitOfWork) -> None:
    """Take a moved deadline over; for acceptance only a later one."""
    deadline = event.data.deadline
    if deadline.kind != "acceptance":
        await _clock(event, deadline, {"missed_at": None}, uow)
        return
    row = await _turn_of_clock(event, deadline, uow)
    if row is not None:
        await queue.move_acceptance(row, deadline.due_at, uow)


async def clock_paused(event: Received[DeadlinePaused], uow: UnitOfWork) -> None:
    """Show that a term stands still."""
    await _clock(event, event.data.deadline, {"paused": event.data.ground}, uow)


async def clock_resumed(event: Received[DeadlineResumed], uow: UnitOfWork) -> None:
    """Show that a term runs again."""
    await _clock(event, event.data.deadline, {"paused": None}, uow)


async def clock_missed(event: Received[DeadlineMissed], uow: UnitOfWork) -> None:
    """A term that ran out is shown; an obligation that was not kept is broken: ours to say."""
    deadline = event.data.deadline
    if deadline.kind == "obligation":
        if deadline.subject_id is None or not await _known(event.case_id, uow):
            return
        row = await repository.get(uow.db, "obligation", "obligation_id", deadline.subject_id)
        if row is not None:
            await obligations.due_passed(row, event.data.missed_at, uow)
        return
    if deadline.kind == "confirmation" and deadline.subject_id and await _known(event.case_id, uow):
        agreement = await repository.get(uow.db, "agreement", "agreement_id", deadline.subject_id)
        if agreement is not None:
            await confirmations.window_ended(agreement, event.data.missed_at, uow)
    await _clock(event, deadline, {"missed_at": wire(event.data.missed_at)}, uow)


async def clock_miss_withdrawn(event: Received[DeadlineMissWithdrawn], uow: UnitOfWork) -> None:
    """The alarm is taken back."""
    await _clock(event, event.data.deadline, {"missed_at": None}, uow)


async def clock_stopped(event: Received[DeadlineStopped], uow: UnitOfWork) -> None:
    """The clock is over."""
    await _clock(event, event.data.deadline, {"stopped": True}, uow)


CONSUMES: Final = (
    *PARTICIPATION_HANDLERS,
    on(AssignmentOffered, queue_offer),
    on(AssignmentRecalled, recall_turn),
    on(AcceptanceWindowElapsed, weigh_silence),
    on(ObjectionDecided, follow_objection),
    on(PartyLeft, let_leave),
    on(CaseLaneChanged, follow_lane),
    on(PartyChanged, refresh_party_sheet),
    on(HandlingConstraintsChanged, follow_constraints),
    on(CaseErased, obey, even_when_closed=True),
    # A mandate is the party's, not a round's: ended while the case rests, it is ended in the next.
    on(MandateGiven, keep_mandate, even_when_closed=True),
    on(MandateRevoked, end_mandate, even_when_closed=True),
    on(CaseCorrected, correct_case),
    # Intake closes the joined file in the same breath, so that nobody routes it anew.
    on(CasesJoined, rest, even_when_closed=True),
    # Where nobody had a turn that intake knew of, it has closed the case before it says so.
    on(WithdrawalSettled, end_withdrawn, even_when_closed=True),
    on(DeadlineStarted, clock_started),
    on(DeadlineChanged, clock_changed),
    on(DeadlinePaused, clock_paused),
    on(DeadlineResumed, clock_resumed),
    on(DeadlineMissed, clock_missed),
    on(DeadlineMissWithdrawn, clock_miss_withdrawn),
    on(DeadlineStopped, clock_stopped),
)
