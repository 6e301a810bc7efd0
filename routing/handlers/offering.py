"""From a case to an offer: facts, decision, the next turn, or nobody."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from routing import repository
from routing.batch import batch_of, written
from routing.candidates import candidate_of, coordinator_of, facts_of
from routing.clocks import HARM_DAYS
from routing.directory import calendars, candidates_along, chain_of, kind_of
from routing.handlers import clocks
from routing.model import Candidate, CaseFacts, Choice
from routing.repository import Row, Writes
from routing.rules import RULE_SET, choose, judge
from services.calendar import add, day_of
from services.events import lanes
from services.events.envelope import Length, Party
from services.events.intake import CaseRegistered, CaseReopened, DocumentRef
from services.events.routing import (
    AssignmentOffered,
    ParticipantJoined,
    ParticipantLeft,
    RoutingUndecided,
)
from services.ids import new_id
from services.unit_of_work import UnitOfWork

# What of the lane's context routing keeps: what chooses a term, a body or an effect.
_CONTEXT = (
    *HARM_DAYS,
    "procedure",
    "joint_application",
    "mediation_clause",
    "own_committee_chosen",
    "mode",
    "stage",
)


def case_from(
    event: CaseRegistered | CaseReopened, *, episode: int, occurred_at: datetime, now: datetime
) -> Row:
    """The routed case as registering or reopening tells it; no person's data in it."""
    registered_at = event.registered_at if isinstance(event, CaseRegistered) else event.reopened_at
    facts: dict[str, Any] = {
        "dispute_subtype": event.dispute_subtype,
        "claim_fen": event.claim_fen,
        "parties": [party.model_dump(mode="json") for party in event.parties],
        "legal_context": {k: v for k, v in event.legal_context.items() if k in _CONTEXT},
        "joint_sessions": event.joint_sessions,
        "received_at": event.received_at.isoformat(),
        "registered_at": registered_at.isoformat(),
    }
    if isinstance(event, CaseRegistered):
        facts |= {
            "documents": [paper.model_dump(mode="json") for paper in event.documents],
            "preferred_mode": event.preferred_mode,
        }
    return {
        "case_id": event.case_id,
        "case_number": event.case_number,
        "episode": episode,
        "referral_id": event.referral_id,
        "source": event.organisation,
        "lane": event.lane,
        "dispute_type": event.dispute_type,
        "place": event.place,
        "facts": facts,
        "state": "undecided",
        "ordinal": 0,
        "returns": 0,
        "next_offer": None,
        "occurred_at": occurred_at,
        "recorded_at": now,
    }


def join(
    uow: UnitOfWork,
    writes: Writes,
    case: Row,
    organisation: str,
    role: str,
    *,
    reference: str | None = None,
) -> UUID:
    """An organisation takes part from now on; emits ``ParticipantJoined``."""
    participation_id = new_id()
    writes.add(
        "participation",
        {
            "participation_id": participation_id,
            "case_id": case["case_id"],
            "episode": case["episode"],
            "organisation": organisation,
            "role": role,
            "reference": reference,
            "joined_at": uow.now,
            "left_at": None,
            "recorded_at": uow.now,
        },
    )
    uow.emit(
        ParticipantJoined(
            case_id=case["case_id"],
            participation_id=participation_id,
            organisation=organisation,
            role=role,
            reference=reference,
            joined_at=uow.now,
        )
    )
    return participation_id


async def leave(uow: UnitOfWork, part: Row, reason: str) -> None:
    """An organisation's part ends; emits ``ParticipantLeft``."""
    await uow.db.execute(
        "UPDATE participation SET left_at = $2 WHERE participation_id = $1 AND left_at IS NULL",
        part["participation_id"],
        uow.now,
    )
    uow.emit(
        ParticipantLeft(
            case_id=part["case_id"],
            participation_id=part["participation_id"],
            organisation=part["organisation"],
            role=part["role"],
            reason=reason,
            left_at=uow.now,
        )
    )


def facts(uow: UnitOfWork, case: Row, refused: list[str]) -> CaseFacts:
    """What a decision on this case may look at."""
    return facts_of(
        {**case, **case["facts"]},
        place_chain=chain_of(uow.runtime, case["place"]),
        source_kind=kind_of(uow.runtime, case["source"]),
        returned_by=refused,
    )


def _today(uow: UnitOfWork) -> str:
    return day_of(uow.now).isoformat()


async def route_first(uow: UnitOfWork, case: Row) -> None:
    """A registered case: the source takes part, then the first decision.

    Everything is written at the end of the batch, with what was decided for other new cases.
    """
    batch, kept = batch_of(uow)
    batch.cases.add(case["case_id"])
    case_facts = facts(uow, case, [])
    bodies = candidates_along(uow.runtime, case_facts.place_chain, _today(uow))
    loads, reference = await batch.look_up([body.code for body in bodies], case["referral_id"])
    join(uow, batch.writes, case, case["source"], "source", reference=reference)
    chosen = await _decide(uow, batch.writes, case, case_facts, bodies, loads)
    if chosen is not None:
        batch.took(chosen)
    batch.writes.add("routed_case", case)
    if not kept:
        await batch.write()


async def route_next(uow: UnitOfWork, writes: Writes, case: Row) -> None:
    """The next decision on a case whose last turn is over; the caller writes ``writes``."""
    await written(uow)
    refused = await repository.refused_by(uow.db, case["case_id"], case["episode"])
    case_facts = facts(uow, case, refused)
    bodies = candidates_along(uow.runtime, case_facts.place_chain, _today(uow))
    loads, _ = await repository.loads_of(
        uow.db, [body.code for body in bodies], case["referral_id"]
    )
    await _decide(uow, writes, case, case_facts, bodies, loads)
    writes.add("routed_case", case)
    if case["state"] == "offered":
        await clocks.stop(uow, writes, case["case_id"], "settled", kinds=("settlement",))


async def _decide(
    uow: UnitOfWork,
    writes: Writes,
    case: Row,
    case_facts: CaseFacts,
    bodies: Sequence[Candidate],
    loads: dict[str, int],
) -> str | None:
    choice = choose(
        case_facts,
        [replace(b, open_cases=loads[b.code]) if b.code in loads else b for b in bodies],
    )
    decision = _decision(uow, writes, case, case_facts, choice)
    if choice.chosen is None:
        await undecided(uow, writes, case, decision, "nobody_competent")
    else:
        await offer(uow, writes, case, decision, choice.chosen)
    return choice.chosen


def _decision(
    uow: UnitOfWork,
    writes: Writes,
    case: Row,
    case_facts: CaseFacts,
    choice: Choice,
    *,
    kind: str = "automatic",
    decided_by: str | None = None,
    ground: str | None = None,
    overrides: UUID | None = None,
) -> Row:
    return writes.add(
        "decision",
        {
            "id": new_id(),
            "case_id": case["case_id"],
            "episode": case["episode"],
            "ordinal": case["ordinal"] + 1,
            "kind": kind,
            "rule_set": RULE_SET,
            "inputs": case_facts.inputs(),
            "verdicts": [
                {
                    "organisation": item.organisation,
                    "failed": list(item.failed),
                    "open_cases": item.open_cases,
                }
                for item in choice.verdicts
            ],
            "order_fired": list(choice.order_fired),
            "chosen": choice.chosen,
            "runners_up": list(choice.runners_up),
            "reasons_zh": list(choice.reasons_zh),
            "reasons_en": list(choice.reasons_en),
            "undecided_reason": None,
            "holder": case["source"],
            "coordinator": None,
            "ground": ground,
            "decided_by": decided_by,
            "overrides": overrides,
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )


async def offer(
    uow: UnitOfWork,
    writes: Writes,
    case: Row,
    decision: Row,
    organisation: str,
    *,
    returnable: bool = True,
) -> Row:
    """Give an organisation its turn.

    Emits ``ParticipantJoined``, ``AssignmentOffered`` and the acceptance window's clock.
    """
    lane = lanes.lane(case["lane"], kind_of(uow.runtime, case["source"]))
    facts = case["facts"]
    case |= {"state": "offered", "ordinal": case["ordinal"] + 1, "next_offer": None}
    participation_id = join(uow, writes, case, organisation, "handler")
    window = lane.window
    due = add(uow.now, window.n, window.unit, calendars(uow.runtime))
    turn = writes.add(
        "assignment",
        {
            "id": new_id(),
            "case_id": case["case_id"],
            "episode": case["episode"],
            "decision_id": decision["id"],
            "participation_id": participation_id,
            "mediation_id": None,
            "organisation": organisation,
            "source": case["source"],
            "ordinal": case["ordinal"],
            "state": "offered",
            "returnable": returnable,
            "refusal_kind": lane.refusal,
            "on_silence": lane.on_silence,
            "accept_by": due.due_at,
            "offered_at": uow.now,
            "answered_at": None,
            "ended_at": None,
            "ended_as": None,
            "ground": None,
            "version": 1,
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.emit(
        AssignmentOffered(
            case_id=case["case_id"],
            assignment_id=turn["id"],
            decision_id=decision["id"],
            organisation=organisation,
            source_organisation=case["source"],
            ordinal=turn["ordinal"],
            returnable=returnable,
            refusal_kind=lane.refusal,
            on_silence=lane.on_silence,
            accept_by=due.due_at,
            window=Length(n=window.n, unit=window.unit),
            offered_at=uow.now,
            lane=case["lane"],
            sector=lanes.sector(case["dispute_type"]),
            dispute_type=case["dispute_type"],
            dispute_subtype=facts.get("dispute_subtype"),
            place=case["place"],
            claim_fen=facts.get("claim_fen"),
            parties=tuple(Party.model_validate(item) for item in facts["parties"]),
            documents=tuple(
                DocumentRef.model_validate(item) for item in facts.get("documents") or ()
            ),
            joint_sessions=facts["joint_sessions"],
            preferred_mode=facts.get("preferred_mode"),
            received_at=datetime.fromisoformat(facts["received_at"]),
            registered_at=datetime.fromisoformat(facts["registered_at"]),
            rules=tuple(decision["order_fired"]),
        )
    )
    await clocks.start(
        uow,
        writes,
        case,
        kind="acceptance",
        rule_id=window.deadline or f"{case['lane']}-window",
        citation=window.source,
        on_expiry=lane.on_silence,
        start_at=uow.now,
        n=window.n,
        unit=window.unit,
        subject_id=turn["id"],
    )
    return turn


async def undecided(uow: UnitOfWork, writes: Writes, case: Row, decision: Row, reason: str) -> None:
    """Nobody has a turn: the first receiver holds, the coordinator is told and may see the case.

    Emits ``RoutingUndecided`` and starts the settlement clock, unless one runs. A case that is
    back with its source waits for nobody else: no coordinator, no clock.
    """
    case |= {"state": "undecided", "next_offer": None}
    writes.add("routed_case", case)
    coordinator, settle_by = None, None
    length = lanes.site("settlement")
    if reason != "returned_to_source":
        coordinator = await _tell_coordinator(uow, writes, case)
        settle_by = add(uow.now, length.n, length.unit, calendars(uow.runtime)).due_at
    decision |= {"undecided_reason": reason, "coordinator": coordinator}
    uow.emit(
        RoutingUndecided(
            case_id=case["case_id"],
            decision_id=decision["id"],
            reason=reason,
            holder=case["source"],
            coordinator=coordinator,
            settle_by=settle_by,
            undecided_at=uow.now,
        )
    )
    if settle_by is None or await repository.live_clocks(
        uow.db, case["case_id"], kinds=("settlement",)
    ):
        return
    await clocks.start(
        uow,
        writes,
        case,
        kind="settlement",
        rule_id="site-settlement",
        citation=length.source,
        on_expiry="alert",
        start_at=uow.now,
        n=length.n,
        unit=length.unit,
        subject_id=decision["id"],
    )


async def _tell_coordinator(uow: UnitOfWork, writes: Writes, case: Row) -> str | None:
    """The place's coordinator takes part as supervisor from now on; answers its code."""
    organisations = uow.runtime.directory.all("organisation").values()
    coordinator = coordinator_of(organisations, chain_of(uow.runtime, case["place"]))
    if coordinator is not None and coordinator != case["source"]:
        present = await repository.participations_of(uow.db, case["case_id"], ["supervisor"])
        if not any(part["organisation"] == coordinator for part in present):
            join(uow, writes, case, coordinator, "supervisor")
    return coordinator


_WORDS = {
    "second_return": (
        "本案已被退回两次，不再第三次分派：由双方协商，协商不成由共同上级决定，无共同上级的由联席会议决定。",
        "The case was returned twice, so there is no third offer: the two agree, else their common "
        "superior decides, else a conference.",
    ),
    "escalated": (
        "承办单位逾期未确认，按该通道规则上报协调机构。",
        "The body did not answer in time; in this lane that goes to the coordinator.",
    ),
    "returned_to_source": (
        "案件已退回来件单位。",
        "The case is back with the body that sent it.",
    ),
}


async def without_choice(uow: UnitOfWork, writes: Writes, case: Row, reason: str) -> None:
    """Record that nobody is asked now, and why; emits ``RoutingUndecided``."""
    refused = await repository.refused_by(uow.db, case["case_id"], case["episode"])
    zh, en = _WORDS[reason]
    case_facts = facts(uow, case, refused)
    decision = _decision(uow, writes, case, case_facts, Choice(None, (), (), (), (zh,), (en,)))
    await undecided(uow, writes, case, decision, reason)


async def offer_to(
    uow: UnitOfWork,
    writes: Writes,
    case: Row,
    organisation: str,
    *,
    kind: str,
    decided_by: str,
    ground: str,
    returnable: bool,
    overrides: UUID | None = None,
) -> Row:
    """Offer a case to the body that a person or a settlement named; answers the decision.

    The rules are asked all the same, so that the record shows what was set aside.
    """
    refused = await repository.refused_by(uow.db, case["case_id"], case["episode"])
    case_facts = facts(uow, case, refused)
    value = uow.runtime.directory.organisation(organisation) or {}
    body = candidate_of(value, today=_today(uow))
    verdict = judge(case_facts, body)
    zh = [f"由{decided_by}决定分派给{body.name_zh or body.code}（{organisation}）。"]
    en = [f"{decided_by} decided to offer it to {body.name_en or body.code} ({organisation})."]
    if verdict.failed:
        zh.append(f"因该决定而不再适用的规则：{'、'.join(verdict.failed)}。")
        en.append(f"Rules set aside by that decision: {', '.join(verdict.failed)}.")
    choice = Choice(organisation, (), (verdict,), (), tuple(zh), tuple(en))
    decision = _decision(
        uow,
        writes,
        case,
        case_facts,
        choice,
        kind=kind,
        decided_by=decided_by,
        ground=ground,
        overrides=overrides,
    )
    await clocks.stop(uow, writes, case["case_id"], "settled", kinds=("settlement",))
    await offer(uow, writes, case, decision, organisation, returnable=returnable)
    writes.add("routed_case", case)
    return decision
