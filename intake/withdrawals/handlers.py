"""Taking a referral back, asking that the case goes on, and what follows when nobody asks."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from intake import repository as cases
from intake.doors import mandates
from intake.handlers import close_case
from intake.messages import fault
from intake.notices import repository as notices
from intake.notices.repository import Owed
from intake.withdrawals import repository
from intake.withdrawals.model import RECALLED, data, ends
from services.access import AgencyScope
from services.calendar import shipped
from services.errors import CaseClosedProblem, Conflict, Invalid, NotFound
from services.events.intake import ReferralWithdrawn, WithdrawalSettled
from services.ids import new_id
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

AT_A_TIME: Final = 100
SUBJECT: Final = "withdrawal"


async def withdraw(
    referral_id: UUID, uow: UnitOfWork, scope: AgencyScope, *, reason: str, at: datetime | None
) -> UUID:
    """Take a referral back; answers the withdrawal. Emits ``ReferralWithdrawn``.

    The case goes on when referrals that were joined to it do, else only if a party asks in time;
    until then everything stands. Parties and the other organisations are told, as tasks of the
    same transaction. Raises ``NotFound``, ``CaseClosedProblem``, ``Conflict`` when it was taken
    back before or when an agreement binds, ``Invalid`` for an instant that lies ahead.
    """
    seen = await cases.own_referral(uow, scope, referral_id)
    if seen is None:
        raise NotFound()
    case_id, when = seen["case_id"], at or uow.now
    stream = await uow.lock_case(case_id)
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    if when > uow.now:
        raise Invalid(errors=[fault("/withdrawn_at", "in_future")])
    joined = await repository.is_joined(uow, case_id)
    if stream.closed and not joined:
        raise CaseClosedProblem()
    if case["stage"] == "performing":
        raise Conflict("an agreement binds, so the case goes on. 协议已经生效，案件继续办理。")
    go_on = joined or await repository.others(uow, case_id)
    # Nobody could ask before it was known here: the time to ask runs from the record.
    ask_by = None if go_on else ends("continue_within", uow.now, shipped())
    withdrawal_id = new_id()
    fresh = await repository.add(
        uow,
        {
            "withdrawal_id": withdrawal_id,
            "referral_id": referral_id,
            "case_id": case_id,
            "episode": stream.episode,
            "organisation": scope.organisation,
            "acted_by": uow.actor.acted_by,
            "reason": reason,
            "state": "others_go_on" if go_on else "waiting",
            "ask_by": ask_by,
            "settled_at": uow.now if go_on else None,
            "occurred_at": when,
            "recorded_at": uow.now,
        },
    )
    if not fresh:
        raise Conflict("the referral was taken back before. 来件此前已经撤回。")
    await _tell(uow, withdrawal_id, case_id, scope.organisation)
    uow.emit(
        ReferralWithdrawn(
            case_id=case_id,
            withdrawal_id=withdrawal_id,
            referral_id=referral_id,
            organisation=scope.organisation,
            reason=reason,
            goes_on=go_on,
            ask_by=ask_by,
            withdrawn_at=when,
        ),
        occurred_at=when,
    )
    uow.audit(
        "referral.withdrawn",
        case_id=case_id,
        subject=str(withdrawal_id),
        detail={"reason": reason},
    )
    return withdrawal_id


async def _tell(uow: UnitOfWork, withdrawal_id: UUID, case_id: UUID, source: str) -> None:
    """Both are told (双告知): each party by the source, each other organisation takes note."""
    due_at = ends("tell_within", uow.now, shipped())

    def owed(recipient: str, organisation: str, party_id: UUID | None = None) -> Owed:
        return _owed(recipient, organisation, due_at, party_id=party_id)

    people = await cases.parties(uow, case_id)
    others = await repository.other_organisations(uow, case_id, source)
    await notices.add(
        uow,
        SUBJECT,
        withdrawal_id,
        [owed("party", source, p["party_id"]) for p in people if p["left_at"] is None]
        + [owed("receiver", organisation) for organisation in others],
        case_id=case_id,
    )


def _owed(
    recipient: str,
    organisation: str,
    due_at: datetime,
    *,
    party_id: UUID | None = None,
    state: str = "task",
) -> Owed:
    ground = data()["tell_within"]["ground"]
    return Owed(
        recipient, "withdrawn", organisation, ground, state, due_at=due_at, party_id=party_id
    )


async def owe_newcomer(uow: UnitOfWork, case_id: UUID, party_id: UUID, *, reachable: bool) -> None:
    """A party that is named while a withdrawal waits for a word is told of it as the others were.

    By the source, while it can still ask that the case goes on. Nothing where nothing waits, or the
    time to ask is over. The case is locked by whoever names it.
    """
    stream = await uow.lock_case(case_id)
    row = await repository.of_round(uow, case_id, stream.episode)
    if row is None or row["state"] != "waiting" or uow.now >= row["ask_by"]:
        return
    due_at = min(ends("tell_within", uow.now, shipped()), row["ask_by"])
    state = "task" if reachable else "not_owed"
    owed = _owed("party", row["organisation"], due_at, party_id=party_id, state=state)
    await notices.add(uow, SUBJECT, row["withdrawal_id"], [owed], case_id=case_id)


async def go_on(
    case_id: UUID,
    uow: UnitOfWork,
    *,
    party_id: UUID | None,
    ref: str | None,
    told_by: str,
    mandate_id: UUID | None = None,
) -> Any:
    """A party asks that the case goes on though its referral was taken back; one party is enough.

    A repeat, also by another party, answers the first result. Emits ``WithdrawalSettled``. Raises
    ``Invalid`` for a stranger, ``Conflict`` when nothing waits for a word or the time has elapsed;
    and what ``mandates.in_force`` raises.
    """
    stream = await uow.lock_case(case_id)
    people = await cases.parties(uow, case_id)
    party = next(
        (p for p in people if p["party_id"] == party_id or (party_id is None and p["ref"] == ref)),
        None,
    )
    if party is None:
        raise Invalid(errors=[fault("/party_id" if party_id else "/party_ref", "party_unknown")])
    row = await repository.of_round(uow, case_id, stream.episode)
    if row is not None and row["state"] == "goes_on":
        return row
    if row is None or row["state"] != "waiting" or stream.closed:
        raise Conflict("no withdrawal waits for a word. 没有等待当事人表示的撤回。")
    if party["left_at"] is not None:
        raise Conflict("the party has left. 该当事人已经退出。")
    if uow.now >= row["ask_by"]:
        raise Conflict("the time to ask has elapsed. 请求继续的期限已过。")
    under = None
    if mandate_id is not None:
        under = await mandates.in_force(uow, case_id, mandate_id, party_id=party["party_id"])
    await repository.ask(uow, row["withdrawal_id"], party["party_id"], told_by, mandate_id)
    await notices.prove_party(
        uow,
        row["withdrawal_id"],
        party["party_id"],
        "electronic" if told_by == "party" else "read_out",
    )
    _settled(uow, row, goes_on=True, party_id=party["party_id"])
    uow.audit(
        "case.continued",
        case_id=case_id,
        subject=str(row["withdrawal_id"]),
        detail=mandates.mark(under) or {"parties": [str(party["party_id"])]},
    )
    return await repository.one(uow, row["withdrawal_id"])


def _settled(uow: UnitOfWork, row: Any, *, goes_on: bool, party_id: UUID | None = None) -> None:
    uow.emit(
        WithdrawalSettled(
            case_id=row["case_id"],
            withdrawal_id=row["withdrawal_id"],
            result="goes_on" if goes_on else "ends",
            asked_by_party=party_id,
            settled_at=uow.now,
        )
    )


async def sweep(runtime: "Runtime") -> int:
    """End the cases that nobody asked to go on with; each in a transaction of its own."""
    async with runtime.unit_of_work(readonly=True) as uow:
        found = await repository.due(uow, AT_A_TIME)
    for row in found:
        async with runtime.unit_of_work() as uow:
            await _elapse(uow, row["case_id"], row["withdrawal_id"])
    return len(found)


async def _elapse(uow: UnitOfWork, case_id: UUID, withdrawal_id: UUID) -> None:
    """The time to ask is over. Emits ``WithdrawalSettled``, and ``CaseClosed`` when nobody works
    on the case; else mediation takes the turn back, and its end closes the case."""
    stream = await uow.lock_case(case_id)
    row = await repository.one(uow, withdrawal_id)
    case = await cases.case(uow, case_id)
    if row is None or case is None or row["state"] != "waiting" or uow.now < row["ask_by"]:
        return
    if stream.closed or stream.episode != row["episode"]:
        await repository.settle(uow, withdrawal_id, "over")
        return
    goes_on = case["stage"] == "performing"
    await repository.settle(uow, withdrawal_id, "goes_on" if goes_on else "ended")
    if not goes_on and await cases.open_assignment(uow, case_id, stream.episode) is None:
        # Closed first: who hears that it ends has then heard that nobody is asked any more.
        await close_case(case_id, RECALLED, uow.now, uow)
    _settled(uow, row, goes_on=goes_on)
    uow.audit("withdrawal.elapsed", case_id=case_id, subject=str(withdrawal_id))


async def turn_is_over(case_id: UUID, at: datetime, uow: UnitOfWork) -> None:
    """Close the case whose turn was taken back because nobody asked that it goes on."""
    stream = await uow.lock_case(case_id)
    row = await repository.of_round(uow, case_id, stream.episode)
    if row is not None and row["state"] == "ended":
        await close_case(case_id, RECALLED, at, uow)


async def agreed(case_id: UUID, uow: UnitOfWork) -> None:
    """An agreement binds: the parties went on, whatever had been taken back or was to end."""
    stream = await uow.lock_case(case_id)
    row = await repository.of_round(uow, case_id, stream.episode)
    if row is not None and row["state"] in ("waiting", "ended"):
        await repository.settle(uow, row["withdrawal_id"], "goes_on")
        _settled(uow, row, goes_on=True)
