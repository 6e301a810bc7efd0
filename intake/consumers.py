"""What intake hears: everything for the timeline, and what moves the case file on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from intake import repository
from intake.handlers import close_case, close_if_a_side_left
from intake.notices import repository as notices
from intake.notices.model import citations, proved_by
from intake.rights.erasing import hear_done
from intake.safety import repository as safety
from intake.withdrawals import handlers as withdrawals
from services.access import PARTICIPATION_HANDLERS
from services.events import mediation, notification, routing
from services.events.envelope import CATALOGUE, Event
from services.events.intake import ErasureDone
from services.service import Received, Subscription, on
from services.unit_of_work import UnitOfWork

_NOTE: Final = "intake"
Fold = Callable[[Received[Any], UnitOfWork], Awaitable[None]]


@dataclass
class Heard:
    """What was heard in one transaction of the consumer, written together at its end."""

    db: Any
    entries: list[tuple[Any, ...]] = field(default_factory=list)
    clocks: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, received: Received[Any]) -> None:
        """A timeline entry, and the clock as it stands now when the event is about one."""
        data = received.data
        self.entries.append(
            (
                received.event_id,
                received.case_id,
                received.source,
                received.sequence,
                received.episode,
                received.type,
                received.record.data.decode(),
                received.occurred_at,
                received.recorded_at,
            )
        )
        state = _CLOCKS.get(type(data))
        if state is not None:
            clock: routing.Deadline = data.deadline
            self.clocks[clock.clock_id] = (
                clock.clock_id,
                received.case_id,
                received.episode,
                clock.kind,
                clock.rule,
                clock.citation,
                clock.subject_id,
                state,
                clock.due_at,
                clock.due_on,
                clock.original_due_at,
                clock.projected,
                received.occurred_at,
            )

    async def write(self) -> None:
        """Write all of it; a second call writes nothing."""
        entries, self.entries = self.entries, []
        clocks, self.clocks = self.clocks, {}
        if entries:
            await repository.record_heard(self.db, entries)
        if clocks:
            await repository.set_deadlines(self.db, list(clocks.values()))


async def hear(received: Received[Any], uow: UnitOfWork) -> None:
    """Keep the event for the timeline; fold it into the file when it is of the running round.

    Redelivery is a no-op: the inbox and the entry's key hold its id.
    """
    if uow.batch is None:
        heard = Heard(uow.db)
        heard.add(received)
        await heard.write()
    else:
        if _NOTE not in uow.batch.notes:
            uow.batch.notes[_NOTE] = Heard(uow.db)
            uow.batch.endings.append(uow.batch.notes[_NOTE].write)
        uow.batch.notes[_NOTE].add(received)
    if (note := _ALWAYS.get(type(received.data))) is not None:
        await note(received, uow)
    fold = _FOLDS.get(type(received.data))
    if fold is None:
        return
    # The case row first, as REST does: two writers of one case never wait for each other in turn.
    stream = await uow.lock_case(received.case_id)
    if not stream.closed and stream.episode == received.episode:
        await fold(received, uow)


async def _offered(received: Received[routing.AssignmentOffered], uow: UnitOfWork) -> None:
    data = received.data
    await repository.offer(
        uow,
        assignment_id=data.assignment_id,
        case_id=data.case_id,
        episode=received.episode,
        organisation=data.organisation,
        ordinal=data.ordinal,
        accept_by=data.accept_by,
        offered_at=data.offered_at,
        teller=data.source_organisation,
        citations=citations(data.lane),
    )


async def _undecided(received: Received[routing.RoutingUndecided], uow: UnitOfWork) -> None:
    data = received.data
    await repository.set_stage(uow, data.case_id, "undecided")
    await _hold(received, uow, data.holder, data.reason, data.undecided_at)


async def _linked(received: Received[routing.LinkageRequested], uow: UnitOfWork) -> None:
    """The police have been asked about an alert of ours."""
    data = received.data
    if data.alert_id is not None:
        await safety.asked(uow, data.alert_id, data.linkage_id, data.asked)


async def _linkage_answered(received: Received[routing.LinkageAnswered], uow: UnitOfWork) -> None:
    data = received.data
    if data.kind == "alert":
        await safety.answered(uow, data.linkage_id, data.result, data.answered_at)


async def _delivered(received: Received[notification.MessageDelivered], uow: UnitOfWork) -> None:
    """A message that says where the case is proves the notice to whom it reached (双告知)."""
    data = received.data
    at = received.occurred_at
    for kind in ("turn", "withdrawal"):
        parties = [
            d.party_id
            for d in data.deliveries
            if d.party_id and proved_by("party", d.purpose) == kind
        ]
        desks = [
            d.organisation
            for d in data.deliveries
            if d.organisation and proved_by("receiver", d.purpose) == kind
        ]
        if parties:
            await notices.prove_parties(uow, data.case_id, parties, at, kinds=(kind,))
        if desks:
            await notices.prove_receivers(uow, data.case_id, desks, at, kind)


async def _accepted(received: Received[mediation.AssignmentAccepted], uow: UnitOfWork) -> None:
    data = received.data
    row = await repository.set_assignment(
        uow,
        data.assignment_id,
        "accepted",
        data.accepted_at,
        seen=isinstance(data, mediation.AssignmentAccepted),
    )
    if row is not None and row["state"] == "accepted":
        await repository.set_stage(uow, data.case_id, "accepted")
        await _hold(received, uow, data.organisation, "accepted", data.accepted_at)


async def _returned(received: Received[mediation.AssignmentReturned], uow: UnitOfWork) -> None:
    data = received.data
    await repository.set_assignment(
        uow, data.assignment_id, "returned", data.returned_at, ground=data.ground, seen=True
    )
    await _back(received, uow, "returned", data.returned_at)


async def _objected(received: Received[mediation.AssignmentObjected], uow: UnitOfWork) -> None:
    data = received.data
    await repository.set_assignment(
        uow, data.assignment_id, "objected", data.objected_at, ground=data.ground, seen=True
    )


async def _appointed(received: Received[mediation.MediatorAppointed], uow: UnitOfWork) -> None:
    await repository.set_stage(uow, received.case_id, "mediating")


async def _effective(received: Received[mediation.AgreementEffective], uow: UnitOfWork) -> None:
    await repository.set_stage(uow, received.case_id, "performing")
    await withdrawals.agreed(received.case_id, uow)


async def _mediation_ended(received: Received[mediation.MediationEnded], uow: UnitOfWork) -> None:
    data = received.data
    row = await repository.set_mediation_end(
        uow, data.assignment_id, data.outcome, data.succeeded, data.handover_sha256 is not None
    )
    if not data.succeeded:
        await repository.set_stage(uow, data.case_id, "failed")
    await _close_if_over(row, data.ended_at, uow)


async def _ended(received: Received[mediation.AssignmentEnded], uow: UnitOfWork) -> None:
    """Completed and failed turns close the case; a return, recall or silence never does."""
    data = received.data
    row = await repository.set_assignment(
        uow,
        data.assignment_id,
        "ended",
        data.ended_at,
        ground=data.end,
        outcome=data.outcome,
        failed=data.end == "failed",
    )
    if data.end == "completed":
        outcome = data.outcome or (row["outcome"] if row else None) or "completed"
        await close_case(data.case_id, outcome, data.ended_at, uow)
    elif data.end == "failed":
        await _hold_source(received, uow, "failed", data.ended_at)
        await _close_if_over(row, data.ended_at, uow)
    else:
        await _back(received, uow, data.end, data.ended_at)


async def _close_if_over(row: Any, at: datetime, uow: UnitOfWork) -> None:
    """A failed turn closes the case once its hand-over package is built (design section 4)."""
    if row is not None and row["failed_end"] and row["handover_built"]:
        await close_case(row["case_id"], row["outcome"] or "failed", at, uow)


async def _back(received: Received[Any], uow: UnitOfWork, ground: str, at: datetime) -> None:
    """Nobody has a turn: the first receiver answers for the case again (首接责任)."""
    if await repository.open_assignment(uow, received.case_id, received.episode) is not None:
        return
    await repository.set_stage(uow, received.case_id, "registered")
    await _hold_source(received, uow, ground, at)
    # Whoever left while the turn was being taken back waited for an end that closes nothing.
    await close_if_a_side_left(received.case_id, at, uow)
    await withdrawals.turn_is_over(received.case_id, at, uow)


async def _hold_source(received: Received[Any], uow: UnitOfWork, ground: str, at: datetime) -> None:
    row = await repository.case(uow, received.case_id)
    if row is not None:
        await _hold(received, uow, row["organisation"], ground, at)


async def _hold(
    received: Received[Any], uow: UnitOfWork, holder: str, ground: str, at: datetime
) -> None:
    await repository.hold(uow, received.case_id, received.episode, holder, ground, at)


_CLOCKS: Final[dict[type[Event], str]] = {
    routing.DeadlineStarted: "running",
    routing.DeadlinePaused: "paused",
    routing.DeadlineResumed: "running",
    routing.DeadlineChanged: "running",
    routing.DeadlineMissed: "missed",
    routing.DeadlineMissWithdrawn: "stopped",
    routing.DeadlineStopped: "stopped",
}

_FOLDS: Final[dict[type[Event], Fold]] = {
    routing.AssignmentOffered: _offered,
    routing.RoutingUndecided: _undecided,
    mediation.AssignmentAccepted: _accepted,
    mediation.AssignmentDeemedAccepted: _accepted,
    mediation.AssignmentReturned: _returned,
    mediation.AssignmentObjected: _objected,
    mediation.MediatorAppointed: _appointed,
    mediation.AgreementEffective: _effective,
    mediation.MediationEnded: _mediation_ended,
    mediation.AssignmentEnded: _ended,
}

# What an alert or a message has come to counts whatever became of the case and its round.
_ALWAYS: Final[dict[type[Event], Fold]] = {
    notification.MessageDelivered: _delivered,
    routing.LinkageRequested: _linked,
    routing.LinkageAnswered: _linkage_answered,
}

_OTHERS: Final = (routing.OWNER, mediation.OWNER, notification.OWNER)

# The whole appetite: every event of the other services is on the timeline.
CONSUMES: Final[tuple[Subscription, ...]] = (
    PARTICIPATION_HANDLERS
    + tuple(
        on(spec.model, hear, even_when_closed=True)
        for spec in CATALOGUE.values()
        if spec.owner in _OTHERS
    )
    + (on(ErasureDone, hear_done, even_when_closed=True),)
)
