"""What routing does when mediation says how a turn went, and when intake says a case changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from routing import repository
from routing.clocks import OBLIGATION_CITATION, legal_start
from routing.directory import kind_of
from routing.handlers import clocks, offering
from routing.repository import Row, Writes
from services.events import lanes
from services.events.envelope import Party
from services.events.mediation import AgreementEffective, ConfirmationApplied, ObligationsChanged
from services.events.routing import LinkageCancelled
from services.unit_of_work import UnitOfWork

RETURNS_BEFORE_SETTLEMENT = 2


async def load(uow: UnitOfWork, assignment_id: UUID) -> tuple[Row, Row] | None:
    """The case and its turn, the case locked; ``None`` when routing does not know the turn."""
    turn = await repository.turn_of(uow.db, assignment_id)
    if turn is None:
        return None
    await uow.lock_case(turn["case_id"])
    turn = await repository.turn_of(uow.db, assignment_id)
    case = await repository.case_of(uow.db, turn["case_id"]) if turn else None
    return (case, turn) if case and turn else None


def is_open(turn: Row) -> bool:
    """Whether the turn is not over."""
    return turn["state"] in ("offered", "accepted", "objected", "recalling")


async def accepted(
    uow: UnitOfWork, assignment_id: UUID, mediation_id: UUID, accepted_at: datetime
) -> None:
    """The organisation holds the case: its window stops, the term starts, once a round."""
    found = await load(uow, assignment_id)
    if found is None or found[1]["state"] not in ("offered", "objected"):
        return
    case, turn = found
    writes = Writes()
    _answer(turn, "accepted", accepted_at)
    turn["mediation_id"] = mediation_id
    writes.add("assignment", turn)
    case["state"] = "held"
    writes.add("routed_case", case)
    await clocks.stop(
        uow,
        writes,
        case["case_id"],
        "accepted",
        kinds=("acceptance",),
        subject_id=turn["id"],
        act_at=accepted_at,
    )
    if not await repository.has_clock(uow.db, case["case_id"], case["episode"], "term"):
        for term in terms_of(uow, case, turn["organisation"]):
            await _start_term(uow, writes, case, turn, term, accepted_at)
    await writes.write(uow.db)


async def numbered_late(uow: UnitOfWork, assignment_id: UUID, numbered_at: datetime) -> None:
    """The window counts from when the organisation could read the offer, never to its harm.

    Emits ``DeadlineChanged`` (design.md 4). A turn that was answered, or whose silence was told
    already, stays as it is.
    """
    found = await load(uow, assignment_id)
    if found is None or found[1]["state"] != "offered":
        return
    case, turn = found
    writes = Writes()
    for clock in await repository.live_clocks(
        uow.db, case["case_id"], kinds=("acceptance",), subject_id=assignment_id
    ):
        if clock["state"] != "running" or clock["started_at"] >= numbered_at:
            continue
        clock["started_at"] = numbered_at
        if await clocks.recompute(uow, writes, clock, "numbered-late"):
            turn |= {"accept_by": clock["due_at"], "version": turn["version"] + 1}
            writes.add("assignment", turn)
    await writes.write(uow.db)


def terms_of(uow: UnitOfWork, case: Row, handler: str) -> tuple[lanes.Term, ...]:
    """The terms that run on a case in its lane, with this handler."""
    return lanes.terms(
        case["lane"],
        dispute_type=case["dispute_type"],
        procedure=case["facts"]["legal_context"].get("procedure"),
        handler_kind=kind_of(uow.runtime, handler) or None,
        place=case["place"],
    )


async def _start_term(
    uow: UnitOfWork,
    writes: Writes,
    case: Row,
    turn: Row,
    term: lanes.Term,
    accepted_at: datetime,
) -> None:
    row = lanes.deadline(term.deadline) if term.deadline else None
    await clocks.start(
        uow,
        writes,
        case,
        kind="term",
        rule_id=term.deadline or f"{case['lane']}-term",
        citation=term.source,
        on_expiry=row.on_expiry if row else "alert",
        start_at=legal_start(turn, term.start, accepted_at, case["facts"]["legal_context"]),
        n=term.n,
        unit=term.unit,
        subject_id=turn["id"],
        extend_by=term.extend_by,
        exclude=term.exclude,
    )


def _answer(turn: Row, state: str, at: datetime) -> None:
    turn |= {"state": state, "answered_at": at, "version": turn["version"] + 1}


def _end(turn: Row, state: str, ended_as: str, at: datetime) -> None:
    turn |= {
        "state": state,
        "ended_as": ended_as,
        "ended_at": at,
        "version": turn["version"] + 1,
    }


async def objected(uow: UnitOfWork, assignment_id: UUID, ground: str, at: datetime) -> None:
    """The organisation is bound until the sender agrees; its window stops."""
    found = await load(uow, assignment_id)
    if found is None or found[1]["state"] != "offered":
        return
    case, turn = found
    writes = Writes()
    _answer(turn, "objected", at)
    turn["ground"] = ground
    writes.add("assignment", turn)
    await clocks.stop(uow, writes, case["case_id"], "objected", kinds=("acceptance",), act_at=at)
    await writes.write(uow.db)


async def returned(uow: UnitOfWork, assignment_id: UUID, ground: str, at: datetime) -> None:
    """The turn is over at once; the next body is asked, or the case is settled."""
    found = await load(uow, assignment_id)
    if found is None or not is_open(found[1]):
        return
    case, turn = found
    writes, withdrawn = Writes(), turn["state"] == "recalling"
    turn["answered_at"], turn["ground"] = at, ground
    _end(turn, "returned", "returned", at)
    await _over(uow, writes, case, turn, "returned", at)
    await _after_end(uow, writes, case, turn, "returned", withdrawn)
    await writes.write(uow.db)


async def ended(uow: UnitOfWork, assignment_id: UUID, end: str, at: datetime) -> None:
    """The turn ended after acceptance, by recall, or by silence that is no acceptance."""
    found = await load(uow, assignment_id)
    if found is None or not is_open(found[1]):
        return
    case, turn = found
    writes, withdrawn = Writes(), turn["state"] == "recalling"
    _end(turn, "ended", end, at)
    if end in ("completed", "failed"):
        case["state"] = "ending"
        writes.add("assignment", turn)
        writes.add("routed_case", case)
        await clocks.stop(uow, writes, case["case_id"], end, act_at=at)
    else:
        await _over(uow, writes, case, turn, end.replace("_", "-"), at)
        await _after_end(uow, writes, case, turn, end, withdrawn)
    await writes.write(uow.db)


async def _over(
    uow: UnitOfWork, writes: Writes, case: Row, turn: Row, reason: str, at: datetime
) -> None:
    """The organisation leaves and its window stops; written at once, for the next decision."""
    writes.add("assignment", turn)
    await clocks.stop(
        uow,
        writes,
        case["case_id"],
        reason,
        kinds=("acceptance",),
        subject_id=turn["id"],
        act_at=at,
    )
    await writes.write(uow.db)
    await offering.leave(
        uow,
        {
            "participation_id": turn["participation_id"],
            "case_id": turn["case_id"],
            "organisation": turn["organisation"],
            "role": "handler",
        },
        reason,
    )


async def _after_end(
    uow: UnitOfWork, writes: Writes, case: Row, turn: Row, end: str, withdrawn: bool
) -> None:
    """Who is asked next, or why nobody is.

    ``withdrawn``: the turn was being taken back, so an answer that crossed the recall asks nobody
    else; only the override that took it back does.
    """
    if case["state"] == "ending":  # nobody asked that it goes on after the referral was taken back
        return
    given_back = end in ("returned", "objection_upheld")
    case["returns"] += given_back
    if case["next_offer"]:
        await _offer_next(uow, writes, case)
    elif withdrawn:
        await offering.without_choice(uow, writes, case, "returned_to_source")
    elif given_back and case["returns"] >= RETURNS_BEFORE_SETTLEMENT:
        await offering.without_choice(uow, writes, case, "second_return")
    elif given_back or (end == "not_confirmed" and turn["on_silence"] == "reoffer"):
        await offering.route_next(uow, writes, case)
    elif end == "escalated":
        await offering.without_choice(uow, writes, case, "escalated")
    else:
        await offering.without_choice(uow, writes, case, "returned_to_source")


async def _offer_next(uow: UnitOfWork, writes: Writes, case: Row) -> None:
    """An override waited for the end of the turn it took back."""
    wanted = case["next_offer"]
    await offering.offer_to(
        uow,
        writes,
        case,
        wanted["organisation"],
        kind="override",
        decided_by=wanted["decided_by"],
        ground=wanted["ground"],
        returnable=True,
        overrides=UUID(wanted["overrides"]),
    )


# -- the work itself ------------------------------------------------------------------------------


async def agreed(uow: UnitOfWork, event: AgreementEffective) -> None:
    """An agreement binds: its turn stays; where a court may confirm it, its window starts (JC-1).

    Whoever mediated sees to the performance (人民调解法 31: R-24). A recall or an override that
    crossed the agreement has no effect: mediation goes on, and so does the turn here.
    """
    found = await load(uow, event.assignment_id)
    if found is None:
        return
    case, turn = found
    if is_open(turn):
        writes = Writes()
        turn |= {"state": "accepted", "agreed_at": event.effective_at}
        turn["version"] += 1
        writes.add("assignment", turn)
        if case["next_offer"]:
            case["next_offer"] = None
            writes.add("routed_case", case)
        await writes.write(uow.db)
    confirmation = lanes.lane(case["lane"]).confirmation_for(
        kind_of(uow.runtime, event.organisation)
    )
    if not (event.confirmable and confirmation.allowed and confirmation.deadline):
        return
    if await repository.live_clocks(
        uow.db, event.case_id, kinds=("confirmation",), subject_id=event.agreement_id
    ):
        return
    row, writes = confirmation.deadline, Writes()
    await clocks.start(
        uow,
        writes,
        case,
        kind="confirmation",
        rule_id=row.id,
        citation=confirmation.source,
        on_expiry=row.on_expiry,
        start_at=event.effective_at,
        n=row.n,
        unit=row.unit,
        subject_id=event.agreement_id,
    )
    await writes.write(uow.db)


async def confirmation_applied(uow: UnitOfWork, event: ConfirmationApplied) -> None:
    """The window was used; the court's time to decide runs (民诉法 187: JC-7)."""
    await uow.lock_case(event.case_id)
    case = await repository.case_of(uow.db, event.case_id)
    if case is None:
        return
    row, writes = lanes.lane(case["lane"]).confirmation_for("").ruling, Writes()
    await clocks.stop(
        uow,
        writes,
        event.case_id,
        "applied",
        kinds=("confirmation",),
        subject_id=event.agreement_id,
        act_at=event.applied_at,
    )
    await clocks.start(
        uow,
        writes,
        case,
        kind="ruling",
        rule_id=row.id,
        citation=row.rule,
        on_expiry=row.on_expiry,
        start_at=event.applied_at,
        n=row.n,
        unit=row.unit,
        subject_id=event.confirmation_id,
        extend_by=row.extend_by,
    )
    await writes.write(uow.db)


async def obligations(uow: UnitOfWork, event: ObligationsChanged) -> None:
    """One clock for each open obligation with a date; those that are over stop."""
    await uow.lock_case(event.case_id)
    case = await repository.case_of(uow.db, event.case_id)
    if case is None:
        return
    writes = Writes()
    live = {
        row["subject_id"]: row
        for row in await repository.live_clocks(uow.db, event.case_id, kinds=("obligation",))
    }
    for item in event.obligations:
        row = live.get(item.obligation_id)
        if item.state != "open" or item.due_at is None:
            if row is not None:
                await clocks.stop(
                    uow,
                    writes,
                    event.case_id,
                    item.state,
                    kinds=("obligation",),
                    subject_id=item.obligation_id,
                )
        elif row is None:
            await clocks.start(
                uow,
                writes,
                case,
                kind="obligation",
                rule_id="agreement",
                citation=OBLIGATION_CITATION,
                on_expiry="tell_mediation",
                start_at=event.changed_at,
                fixed_due_at=item.due_at,
                subject_id=item.obligation_id,
            )
        elif row["fixed_due_at"] != item.due_at:
            row["fixed_due_at"] = item.due_at
            if row["state"] == "fired" and item.due_at > uow.now:
                row["state"] = "running"
            await clocks.recompute(uow, writes, row, "agreement_restated")
    await writes.write(uow.db)


async def stop_clocks(
    uow: UnitOfWork,
    case_id: UUID,
    reason: str,
    *,
    kinds: tuple[str, ...],
    act_at: datetime,
    subject_id: UUID | None = None,
) -> None:
    """The act that these clocks waited for."""
    await uow.lock_case(case_id)
    writes = Writes()
    await clocks.stop(
        uow, writes, case_id, reason, kinds=kinds, subject_id=subject_id, act_at=act_at
    )
    await writes.write(uow.db)


# -- the case itself ------------------------------------------------------------------------------


async def corrected(uow: UnitOfWork, case_id: UUID, changes: dict[str, Any]) -> None:
    """Facts were corrected: an undecided case is decided anew, an open turn stays.

    A case that is back with its source stays there: the source says who is asked next.
    """
    await uow.lock_case(case_id)
    case = await repository.case_of(uow.db, case_id)
    if case is None or not changes:
        return
    for name, value in changes.items():
        if name in ("lane", "dispute_type", "place"):
            case[name] = value
        else:
            case["facts"][name] = value
    writes = Writes()
    writes.add("routed_case", case)
    if (
        case["state"] == "undecided"
        and case["returns"] < RETURNS_BEFORE_SETTLEMENT
        and await repository.undecided_reason(uow.db, case_id) != "returned_to_source"
    ):
        await offering.route_next(uow, writes, case)
    await writes.write(uow.db)


async def party_left(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> None:
    """The others go on without the party; with the last of a side the case ends elsewhere."""
    await uow.lock_case(case_id)
    case = await repository.case_of(uow.db, case_id)
    if case is None:
        return
    rest = [p for p in case["facts"]["parties"] if p["party_id"] != str(party_id)]
    if {"applicant", "respondent"} <= {p["role"] for p in rest}:
        await corrected(uow, case_id, {"parties": rest})


async def withdrawal_settled(uow: UnitOfWork, case_id: UUID, *, goes_on: bool) -> None:
    """Nobody else is asked when the case ends because its referral was taken back.

    The end of the turn that mediation takes back closes it at intake. Where an agreement was
    first, the case goes on after all.
    """
    await uow.lock_case(case_id)
    case = await repository.case_of(uow.db, case_id)
    if case is None or (goes_on and case["state"] != "ending"):
        return
    turn = await repository.open_turn(uow.db, case_id)
    if goes_on and turn is None:
        return
    case |= {"state": "held" if goes_on else "ending", "next_offer": None}
    writes = Writes()
    writes.add("routed_case", case)
    await writes.write(uow.db)


async def party_added(uow: UnitOfWork, case_id: UUID, party: Party) -> None:
    """Somebody was named later: whoever is asked from now on is told, and conflicts are seen."""
    await uow.lock_case(case_id)
    case = await repository.case_of(uow.db, case_id)
    if case is None:
        return
    known = [p for p in case["facts"]["parties"] if p["party_id"] != str(party.party_id)]
    await corrected(uow, case_id, {"parties": [*known, party.model_dump(mode="json")]})


async def lane_changed(uow: UnitOfWork, case_id: UUID, lane: str) -> None:
    """Running terms are restated under the new lane's rule, from their own original start."""
    await corrected(uow, case_id, {"lane": lane})
    case = await repository.case_of(uow.db, case_id)
    turn = await repository.open_turn(uow.db, case_id)
    if case is None or turn is None:
        return
    writes = Writes()
    live = await repository.live_clocks(uow.db, case_id, kinds=("term",))
    term = terms_of(uow, case, turn["organisation"])[0]
    for row in live[:1]:
        row |= {
            "rule_id": term.deadline or f"{lane}-term",
            "citation": term.source,
            "n": term.n,
            "unit": term.unit,
            "extend_by": term.extend_by,
            "exclude": list(term.exclude),
        }
        writes.add("clock", row)
        await clocks.recompute(uow, writes, row, "lane_changed")
    await writes.write(uow.db)


async def closed(uow: UnitOfWork, case_id: UUID, at: datetime) -> None:
    """The round is over: clocks stop, requests for help fall away, helpers leave.

    Source and handler keep their part, so that they can read what they did.
    """
    await uow.lock_case(case_id)
    case = await repository.case_of(uow.db, case_id)
    if case is None:
        return
    writes = Writes()
    case |= {"state": "closed", "next_offer": None}
    writes.add("routed_case", case)
    turn = await repository.open_turn(uow.db, case_id)
    if turn is not None:
        _end(turn, "ended", "closed", at)
        writes.add("assignment", turn)
    await clocks.stop(uow, writes, case_id, "case-closed", act_at=at)
    stays = set()
    for row in await repository.open_linkages(uow.db, case_id):
        if row["kind"] == "alert":  # somebody may come to harm, whatever becomes of the case
            stays.add(row["participation_id"])
            continue
        row |= {"state": "cancelled", "ground": "case-closed", "version": row["version"] + 1}
        writes.add("linkage", row)
        uow.emit(
            LinkageCancelled(
                case_id=case_id,
                linkage_id=row["id"],
                kind=row["kind"],
                asked=row["asked"],
                reason="case-closed",
                cancelled_at=uow.now,
            )
        )
    await writes.write(uow.db)
    for part in await repository.participations_of(uow.db, case_id, ["linked", "supervisor"]):
        if part["participation_id"] not in stays:
            await offering.leave(uow, part, "case-closed")


async def reopened(uow: UnitOfWork, case: Row) -> None:
    """The next round: the former handler leaves, and the case is decided anew."""
    await uow.lock_case(case["case_id"])
    waits = await repository.open_linkages(uow.db, case["case_id"])
    stays = {row["participation_id"] for row in waits if row["kind"] == "alert"}
    for part in await repository.participations_of(
        uow.db, case["case_id"], ["handler", "linked", "supervisor"]
    ):
        if part["participation_id"] not in stays:
            await offering.leave(uow, part, "reopened")
    before = await repository.case_of(uow.db, case["case_id"])
    if before is not None:
        case["facts"] = {**before["facts"], **case["facts"]}
    writes = Writes()
    await offering.route_next(uow, writes, case)
    await writes.write(uow.db)
