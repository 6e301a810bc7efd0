"""What routing hears: each event to what it does. The tuple is the service's whole appetite."""

from functools import wraps
from typing import Any, Final

from routing.batch import batch_of, written
from routing.handlers import alerting, erasing, offering, turns
from routing.repository import Writes, case_of
from services.events.intake import (
    AlertRaised,
    AlertWithdrawn,
    CaseClosed,
    CaseCorrected,
    CaseErased,
    CaseLaneChanged,
    CaseRegistered,
    CaseReopened,
    HandlingConstraintsChanged,
    PartyChanged,
    PartyLeft,
    ReferralReceived,
    WithdrawalSettled,
)
from services.events.mediation import (
    AgreementEffective,
    AssignmentAccepted,
    AssignmentDeemedAccepted,
    AssignmentEnded,
    AssignmentObjected,
    AssignmentReturned,
    ConfirmationApplied,
    ConfirmationDecided,
    MediationEnded,
    ObligationBreached,
    ObligationPerformed,
    ObligationsChanged,
)
from services.events.notification import OfferNumberedLate
from services.service import Handler, Received, Subscription, on
from services.unit_of_work import UnitOfWork


async def hear_source(received: Received[ReferralReceived], uow: UnitOfWork) -> None:
    """Remember the source's own number; a second source of a case takes part from now on."""
    data = received.data
    batch, kept = batch_of(uow)
    batch.refer(
        referral_id=data.referral_id,
        case_id=data.case_id,
        organisation=data.organisation,
        reference=data.reference,
        occurred_at=received.occurred_at,
        recorded_at=uow.now,
    )
    if kept and uow.batch is not None and data.case_id not in uow.batch.rounds:
        return  # The case is new: its registration follows.
    await batch.write()
    if case := await case_of(uow.db, data.case_id):
        await uow.lock_case(data.case_id)
        if case["source"] != data.organisation:
            writes = Writes()
            offering.join(uow, writes, case, data.organisation, "source", reference=data.reference)
            await writes.write(uow.db)


async def route_registered(received: Received[CaseRegistered], uow: UnitOfWork) -> None:
    """A case was opened: the source takes part, then somebody is asked."""
    data = received.data
    # The chassis has just made or locked this row, in this transaction.
    uow.adopt_new_case(data.case_id, data.case_number or "")
    await offering.route_first(
        uow,
        offering.case_from(
            data, episode=received.episode, occurred_at=received.occurred_at, now=uow.now
        ),
    )


async def route_reopened(received: Received[CaseReopened], uow: UnitOfWork) -> None:
    """The next round of a case."""
    case = offering.case_from(
        received.data, episode=received.episode, occurred_at=received.occurred_at, now=uow.now
    )
    await turns.reopened(uow, case)


async def take_correction(received: Received[CaseCorrected], uow: UnitOfWork) -> None:
    """Facts were corrected."""
    data = received.data
    known: dict[str, Any] = {
        name: getattr(data, name)
        for name in ("dispute_type", "dispute_subtype", "place", "claim_fen")
        if getattr(data, name) is not None
    }
    await turns.corrected(uow, data.case_id, known)


async def let_leave(received: Received[PartyLeft], uow: UnitOfWork) -> None:
    """A party left: whoever is asked from now on is told of the others."""
    await turns.party_left(uow, received.data.case_id, received.data.party_id)


async def take_party(received: Received[PartyChanged], uow: UnitOfWork) -> None:
    """A party that was named only later."""
    if received.data.added is not None:
        await turns.party_added(uow, received.data.case_id, received.data.added)


async def take_withdrawal(received: Received[WithdrawalSettled], uow: UnitOfWork) -> None:
    """The referral was taken back; whether the case goes on is settled."""
    data = received.data
    await turns.withdrawal_settled(uow, data.case_id, goes_on=data.result == "goes_on")


async def take_constraints(received: Received[HandlingConstraintsChanged], uow: UnitOfWork) -> None:
    """Whether people may be put into one room."""
    data = received.data
    await turns.corrected(uow, data.case_id, {"joint_sessions": data.joint_sessions})


async def raise_alert(received: Received[AlertRaised], uow: UnitOfWork) -> None:
    """Somebody may come to harm."""
    await alerting.raise_alert(uow, received.data)


async def withdraw_alert(received: Received[AlertWithdrawn], uow: UnitOfWork) -> None:
    """There was nothing in it, two people found."""
    await alerting.withdraw_alert(uow, received.data)


async def change_lane(received: Received[CaseLaneChanged], uow: UnitOfWork) -> None:
    """Terms are restated under the new lane's rule."""
    await turns.lane_changed(uow, received.data.case_id, received.data.to_lane)


async def close(received: Received[CaseClosed], uow: UnitOfWork) -> None:
    """The round is over."""
    await turns.closed(uow, received.data.case_id, received.data.closed_at)


async def take_late_number(received: Received[OfferNumberedLate], uow: UnitOfWork) -> None:
    """The offered body could read its offer only on a later day."""
    data = received.data
    await turns.numbered_late(uow, data.assignment_id, data.numbered_at)


async def take_acceptance(
    received: Received[AssignmentAccepted] | Received[AssignmentDeemedAccepted], uow: UnitOfWork
) -> None:
    """The offered body holds the case."""
    data = received.data
    await turns.accepted(uow, data.assignment_id, data.mediation_id, data.accepted_at)


async def take_objection(received: Received[AssignmentObjected], uow: UnitOfWork) -> None:
    """The offered body objects; the sender decides."""
    data = received.data
    await turns.objected(uow, data.assignment_id, data.ground, data.objected_at)


async def take_return(received: Received[AssignmentReturned], uow: UnitOfWork) -> None:
    """The offered body returned the case."""
    data = received.data
    await turns.returned(uow, data.assignment_id, data.ground, data.returned_at)


async def take_end(received: Received[AssignmentEnded], uow: UnitOfWork) -> None:
    """The turn is over."""
    data = received.data
    await turns.ended(uow, data.assignment_id, data.end, data.ended_at)


async def take_agreement(received: Received[AgreementEffective], uow: UnitOfWork) -> None:
    """An agreement binds."""
    await turns.agreed(uow, received.data)


async def take_obligations(received: Received[ObligationsChanged], uow: UnitOfWork) -> None:
    """What was promised, whole."""
    await turns.obligations(uow, received.data)


async def take_performance(received: Received[ObligationPerformed], uow: UnitOfWork) -> None:
    """A promise was kept."""
    data = received.data
    await turns.stop_clocks(
        uow,
        data.case_id,
        "performed",
        kinds=("obligation",),
        subject_id=data.obligation_id,
        act_at=data.performed_at,
    )


async def take_breach(received: Received[ObligationBreached], uow: UnitOfWork) -> None:
    """A promise was not kept."""
    data = received.data
    await turns.stop_clocks(
        uow,
        data.case_id,
        "breached",
        kinds=("obligation",),
        subject_id=data.obligation_id,
        act_at=data.breached_at,
    )


async def take_application(received: Received[ConfirmationApplied], uow: UnitOfWork) -> None:
    """The parties applied to the court."""
    await turns.confirmation_applied(uow, received.data)


async def take_ruling(received: Received[ConfirmationDecided], uow: UnitOfWork) -> None:
    """The court decided on confirmation."""
    data = received.data
    await turns.stop_clocks(
        uow,
        data.case_id,
        "decided",
        kinds=("ruling",),
        subject_id=data.confirmation_id,
        act_at=data.decided_at,
    )


async def take_ending(received: Received[MediationEnded], uow: UnitOfWork) -> None:
    """The proceeding is over, so its term is."""
    data = received.data
    await turns.stop_clocks(
        uow, data.case_id, "mediation-ended", kinds=("term",), act_at=data.ended_at
    )


def after_writing(handler: Handler) -> Handler:
    """``handler``, once what this batch decided for the case is written, so that it is read."""

    @wraps(handler)
    async def run(received: Received[Any], uow: UnitOfWork) -> None:
        await written(uow, received.case_id)
        await handler(received, uow)

    return run


CONSUMES: Final[tuple[Subscription, ...]] = (
    on(ReferralReceived, hear_source),
    on(CaseRegistered, route_registered),
    on(CaseReopened, after_writing(route_reopened)),
    on(CaseCorrected, after_writing(take_correction)),
    on(PartyChanged, after_writing(take_party)),
    on(PartyLeft, after_writing(let_leave)),
    on(HandlingConstraintsChanged, after_writing(take_constraints)),
    on(AlertRaised, after_writing(raise_alert)),
    on(AlertWithdrawn, after_writing(withdraw_alert), even_when_closed=True),
    on(CaseErased, after_writing(erasing.obey), even_when_closed=True),
    on(CaseLaneChanged, after_writing(change_lane)),
    on(WithdrawalSettled, after_writing(take_withdrawal)),
    on(CaseClosed, after_writing(close)),
    on(OfferNumberedLate, after_writing(take_late_number)),
    on(AssignmentAccepted, after_writing(take_acceptance)),
    on(AssignmentDeemedAccepted, after_writing(take_acceptance)),
    on(AssignmentObjected, after_writing(take_objection)),
    on(AssignmentReturned, after_writing(take_return)),
    on(AssignmentEnded, after_writing(take_end)),
    on(AgreementEffective, after_writing(take_agreement)),
    on(ObligationsChanged, after_writing(take_obligations)),
    on(ObligationPerformed, after_writing(take_performance)),
    on(ObligationBreached, after_writing(take_breach)),
    on(ConfirmationApplied, after_writing(take_application)),
    on(ConfirmationDecided, after_writing(take_ruling)),
    on(MediationEnded, after_writing(take_ending)),
)
