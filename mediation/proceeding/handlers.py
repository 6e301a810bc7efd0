"""Mediators appointed, consents recorded, the proceeding ended and handed over."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from mediation.agreement import repository as agreements
from mediation.agreement.rules import BY_OTHERS
from mediation.confirmation.repository import awaited
from mediation.errors import fail, refuse
from mediation.errors import moved as after
from mediation.gate import Act, hold, own, seal
from mediation.mandate import handlers as mandates
from mediation.mandate.rules import OWN, OWN_CONSENT, Mandate
from mediation.mediator import repository as roster
from mediation.mediator.model import Appointment, CaseParty, Relation
from mediation.mediator.rules import may_mediate
from mediation.next_act import term
from mediation.obligation import repository as obligations
from mediation.obligation.rules import all_ended
from mediation.proceeding import repository, rules
from mediation.proceeding.model import MEDIATION
from mediation.queue.handlers import end_turn
from mediation.repository import Row, change
from mediation.session.handlers import cancel_planned, excuse
from services.clock import wire
from services.errors import Gone, NotFound
from services.events import lanes
from services.events.mediation import (
    ConsentGiven,
    ConsentWithdrawn,
    MediationEnded,
    MediatorAppointed,
    ObligationsChanged,
)
from services.ids import new_id
from services.unit_of_work import UnitOfWork

#: Why what was planned with a party that left is called off.
PARTY_LEFT = "party_left"
COURT_LANES = ("court_pre", "court_post", "court_exec")
#: Outcomes that rest on a text which the parties signed.
NEEDS_SIGNED_TEXT = frozenset(
    {"agreed_written", "agreed_oral", "agreed_partial", "court_mediation_judgment",
     "criminal_reconciled"}
)  # fmt: skip


def parties_of(case: Row) -> tuple[CaseParty, ...]:
    """The parties of a case copy that take part: they have not left and not said no."""
    everybody = (CaseParty.of(party) for party in case["parties"])
    return tuple(party for party in everybody if party.party_id not in _missing(case))


def _missing(case: Row) -> frozenset[UUID]:
    return frozenset(case["departed"]) | frozenset(case["declined"])


def check_present(case: Row, parties: Iterable[UUID]) -> None:
    """Raise ``Conflict`` when one of the parties has left or said no."""
    refuse(rules.may_take_part(parties, case["departed"], case["declined"]))


def moved(row: Row, act: str) -> str:
    """The state a mediation goes to, or the refusal raised."""
    return after(MEDIATION, row["state"], act)


# -- mediators ---------------------------------------------------------------------------------


async def appoint(
    row: Row,
    *,
    mediator_id: UUID,
    mode: str,
    declared: Sequence[Relation],
    waived_by: Sequence[UUID],
    reason: str | None,
    act: Act,
    uow: UnitOfWork,
) -> Row:
    """Appoint, or replace, the mediator after the conflict check; emits ``MediatorAppointed``.

    Under a mandate its party has chosen; a relation is waived by the parties themselves.
    """
    moved(row, "appoint")
    case = await repository.case_copy(uow.db, row["case_id"])
    choosing = [p.party_id for p in parties_of(case)] if mode == "chosen" else []
    under = await mandates.in_force(act, row["case_id"], choosing, uow)
    if under is not None and under.party_id in waived_by:
        mandates.by_the_party_itself(act, OWN["waive_relation"])
    mediator = await roster.mediator(uow.db, mediator_id)
    if mediator is None or mediator.organisation != act.organisation:
        fail("not-of-organisation", "不在本机构名册中。/ Not on this organisation's roster.")
    if mediator_id == row["mediator_id"]:
        fail("already-appointed", "该调解员已在承办本案。/ This mediator has the case already.")
    proposal = Appointment(tuple(declared), frozenset(waived_by))
    refuse(may_mediate(mediator, act.organisation, proposal, parties_of(case)))
    former = row["mediator_id"]
    if former is not None and reason is None:
        fail("reason", "更换调解员须写明理由。/ Replacing a mediator needs a reason.")
    await repository.put_appointment(
        uow.db,
        {
            "mediation_id": row["mediation_id"],
            "mediator_id": mediator_id,
            "mode": mode,
            "declared": [
                {"kind": d.kind, "party_id": d.party_id, "organisation": d.organisation}
                for d in declared
            ],
            "waived_by": [str(party) for party in waived_by],
            "replaces": former,
            "reason": reason,
            "acted_by": act.acted_by,
            "mandate_id": mandates.id_of(under),
            "occurred_at": act.occurred_at,
        },
    )
    row = await change(
        uow.db, "mediation", "mediation_id", row["mediation_id"], {"mediator_id": mediator_id}
    )
    uow.emit(
        MediatorAppointed(
            case_id=row["case_id"],
            mediation_id=row["mediation_id"],
            assignment_id=row["assignment_id"],
            mediator_id=mediator_id,
            mode=mode,
            replaces=former,
            appointed_at=act.occurred_at,
        ),
        occurred_at=act.occurred_at,
    )
    uow.audit(
        "mediator.appoint",
        case_id=row["case_id"],
        subject=str(row["mediation_id"]),
        detail={
            "mediator_id": str(mediator_id),
            "waived": bool(waived_by),
            **mandates.mark(under),
        },
    )
    return row


# -- consents ----------------------------------------------------------------------------------


async def record_consent(
    row: Row,
    *,
    party_id: UUID,
    step: str,
    subject: str,
    state: str,
    channel: str,
    remedies_told: bool,
    act: Act,
    uow: UnitOfWork,
) -> tuple[Row, bool]:
    """Write a party's word into the ledger; answers the row and whether it is new.

    A side's refusal to mediate ends the proceeding at once, in every lane (人民调解法 17: R-01);
    while its side goes on, the others mediate without the one who refused, and its later yes brings
    it back. Refusing is never itself refused: where a mediation is over it changes nothing more.
    To some steps only the party itself says yes (``OWN_CONSENT``), not who files for it.
    """
    case = await repository.case_copy(uow.db, row["case_id"])
    if str(party_id) not in {party["party_id"] for party in case["parties"]}:
        fail("not-a-party", "不是本案当事人。/ Not a party of this case.")
    former = await repository.current_consent(uow.db, row["mediation_id"], party_id, step, subject)
    if former is not None and former["state"] == state:
        return former, False
    if state == "given" and step in OWN_CONSENT:
        mandates.by_the_party_itself(act, OWN_CONSENT[step])
    under = await mandates.in_force(
        act, row["case_id"], [party_id], uow, conflicts=state == "given"
    )
    if state == "given":
        moved(row, "consent")
        declined = () if step == "mediate" else case["declined"]
        refuse(rules.may_take_part([party_id], case["departed"], declined))
    consent = await repository.put_consent(
        uow.db,
        former,
        {
            "mediation_id": row["mediation_id"],
            "case_id": row["case_id"],
            "organisation": row["organisation"],
            "party_id": party_id,
            "step": step,
            "subject": subject,
            "state": state,
            "channel": channel,
            "acted_by": act.acted_by,
            "mandate_id": mandates.id_of(under),
            "occurred_at": act.occurred_at,
        },
    )
    uow.audit(
        f"consent.{state}",
        case_id=row["case_id"],
        subject=str(consent["id"]),
        detail={"step": step, "party_id": str(party_id), **mandates.mark(under)},
    )
    if state == "given":
        uow.emit(
            ConsentGiven(
                case_id=row["case_id"],
                consent_id=consent["id"],
                mediation_id=row["mediation_id"],
                party_id=party_id,
                step=step,
                given_at=act.occurred_at,
                mandate_id=mandates.id_of(under),
            ),
            occurred_at=act.occurred_at,
        )
    else:
        await _consent_gone(row, consent, state, act, remedies_told, uow, under=under)
    return consent, True


async def withdraw_consent(consent: Row, *, remedies_told: bool, act: Act, uow: UnitOfWork) -> Row:
    """Withdraw a consent; a repeat answers the first result. Never refused (R-06).

    Whoever files for the party without a mandate in force is: the party itself may still do it.
    """
    if consent["state"] != "given" or consent["superseded"]:
        return consent
    under = await mandates.in_force(
        act, consent["case_id"], [consent["party_id"]], uow, conflicts=False
    )
    row = await own(uow, "mediation", consent["mediation_id"], act.organisation)
    consent = await change(
        uow.db,
        "consent",
        "id",
        consent["id"],
        {
            "state": "withdrawn",
            "withdrawn_at": act.occurred_at,
            "withdrawn_mandate_id": mandates.id_of(under),
        },
    )
    uow.audit(
        "consent.withdrawn",
        case_id=row["case_id"],
        subject=str(consent["id"]),
        detail={
            "step": consent["step"],
            "party_id": str(consent["party_id"]),
            **mandates.mark(under),
        },
    )
    await _consent_gone(row, consent, "withdrawn", act, remedies_told, uow, under=under)
    return consent


async def _consent_gone(
    row: Row,
    consent: Row,
    state: str,
    act: Act,
    remedies_told: bool,
    uow: UnitOfWork,
    *,
    under: Mandate | None,
) -> None:
    stream = uow.streams[row["case_id"]]
    if stream.closed or row["episode"] != stream.episode:
        return
    uow.emit(
        ConsentWithdrawn(
            case_id=row["case_id"],
            consent_id=consent["id"],
            mediation_id=row["mediation_id"],
            party_id=consent["party_id"],
            step=consent["step"],
            state=state,
            withdrawn_at=act.occurred_at,
            mandate_id=mandates.id_of(under),
        ),
        occurred_at=act.occurred_at,
    )
    if row["state"] != "open" or not rules.ends_proceeding(consent["step"], state):
        return
    case = await repository.case_copy(uow.db, row["case_id"])
    party_id, at = consent["party_id"], act.occurred_at
    if party_id in case["departed"]:
        return
    role = next(p["role"] for p in case["parties"] if p["party_id"] == str(party_id))
    if _side_is_empty(case, role):
        await finish(row, "refused", "end", at, uow, remedies_told=remedies_told)
    else:
        await _go_on_without(row, party_id, "consent_refused", at, uow)


def _side_is_empty(case: Row, role: str) -> bool:
    """Whether nobody of this side takes part any more."""
    parties = ((UUID(party["party_id"]), party["role"]) for party in case["parties"])
    return rules.side_is_empty(role, parties, _missing(case))


# -- ending ------------------------------------------------------------------------------------


async def end(
    row: Row,
    *,
    outcome: str,
    remedies_told: bool,
    report: dict[str, Any] | None,
    act: Act,
    uow: UnitOfWork,
) -> Row:
    """End the proceeding with a code of the lane's table; emits ``MediationEnded``.

    An agreed mediation whose obligations are all ended or broken may be handed on (transferred).
    """
    lane = lanes.lane(row["lane"])
    code = lanes.END_CODES.get(outcome)
    remedies = [r.code for r in lanes.remedies(row["lane"], outcome)] if code else []
    failed = code is not None and code.failed
    refuse(
        rules.may_end(
            outcome,
            end_codes=lane.end_codes,
            remedies=remedies,
            remedies_told=remedies_told or not failed,
            report_required=row["lane"] in COURT_LANES and failed,
            report=report,
        )
    )
    if row["state"] == "agreed":
        return await _hand_on(row, outcome, act, uow)
    moved(row, "end")
    assignment = await repository.assignment_of(uow.db, row)
    due_at = term(assignment["terms"]).due_at
    if outcome == "expired" and due_at is not None and uow.now < due_at:
        fail("not-expired", "调解期限尚未届满。/ The term has not run out.")
    if outcome in NEEDS_SIGNED_TEXT:
        agreement = await agreements.current(uow.db, row["mediation_id"])
        if agreement is None or agreement["effect_rule"] not in BY_OTHERS:
            fail(
                "takes-effect-by-signature",
                "协议生效即告终结。/ An agreement ends it by taking effect.",
            )
        if agreement["state"] != "signed":
            fail("not-signed", "当事人尚未全部签署。/ The parties have not all signed.")
    return await finish(
        row, outcome, "end", act.occurred_at, uow, remedies_told=remedies_told, report=report
    )


async def _hand_on(row: Row, outcome: str, act: Act, uow: UnitOfWork) -> Row:
    if lanes.END_CODES[outcome].result != "transferred":
        fail("state", "已达成协议的调解只能移交。/ An agreed mediation can only be handed on.")
    owed = await obligations.of_mediation(uow.db, row["mediation_id"])
    if any(o["state"] == "open" for o in owed):
        fail("obligations-open", "还有义务尚未履行完毕。/ An obligation is still open.")
    if await awaited(uow.db, row["mediation_id"]):
        fail("confirmation-open", "司法确认尚在等待结果。/ Confirmation is still awaited.")
    row = await change(
        uow.db,
        "mediation",
        "mediation_id",
        row["mediation_id"],
        {"state": moved(row, "complete"), "remedies_told": True},
    )
    await _end_its_turn(row, "end", "failed", outcome, act.occurred_at, uow)
    return row


async def finish(
    row: Row,
    outcome: str,
    move: str,
    at: datetime,
    uow: UnitOfWork,
    *,
    remedies_told: bool = False,
    report: dict[str, Any] | None = None,
) -> Row:
    """End an open mediation for good: sessions cancelled, package built, events emitted.

    The same transaction ends the turn, last of all.
    """
    code = lanes.END_CODES[outcome]
    succeeded, left = not code.failed, move == "leave"
    # Who leaves takes no way from anybody: what a failure opens is open.
    remedies = [r.code for r in lanes.remedies(row["lane"], "refused" if left else outcome)]
    await cancel_planned(row, PARTY_LEFT if left else "mediation_ended", at, uow)
    row = await change(
        uow.db,
        "mediation",
        "mediation_id",
        row["mediation_id"],
        {
            "state": moved(row, move),
            "outcome": outcome,
            "succeeded": succeeded,
            "remedies": remedies,
            "remedies_told": remedies_told or succeeded,
            "report_sealed": seal(uow, "report").close(report, row["mediation_id"])
            if report
            else None,
            "ended_at": at,
        },
    )
    digest = await build_hand_over(row, report, at, uow)
    emit_ended(row, at, digest, uow)
    assignment = await repository.assignment_of(uow.db, row)
    end_ = "completed" if succeeded else "failed"
    await end_turn(assignment, "complete" if succeeded else "end", end_, outcome, at, uow)
    return row


async def agree(row: Row, outcome: str, at: datetime, uow: UnitOfWork) -> Row:
    """End the proceeding by an agreement; the turn goes on until it is performed."""
    await cancel_planned(row, "agreed", at, uow)
    row = await change(
        uow.db,
        "mediation",
        "mediation_id",
        row["mediation_id"],
        {
            "state": moved(row, "agree"),
            "outcome": outcome,
            "succeeded": True,
            "remedies": [r.code for r in lanes.remedies(row["lane"], outcome)],
            "remedies_told": True,
            "ended_at": at,
        },
    )
    digest = await build_hand_over(row, None, at, uow)
    emit_ended(row, at, digest, uow)
    return row


async def complete_if_nothing_is_left(row: Row, at: datetime, uow: UnitOfWork) -> None:
    """Complete the turn when all obligations have ended and no confirmation is awaited."""
    if row["state"] != "agreed":
        return
    owed = await obligations.of_mediation(uow.db, row["mediation_id"])
    if not all_ended(o["state"] for o in owed) or await awaited(uow.db, row["mediation_id"]):
        return
    await change(
        uow.db,
        "mediation",
        "mediation_id",
        row["mediation_id"],
        {"state": moved(row, "complete")},
    )
    await _end_its_turn(row, "complete", "completed", row["outcome"], at, uow)


async def _end_its_turn(
    row: Row, move: str, end: str, outcome: str | None, at: datetime, uow: UnitOfWork
) -> None:
    assignment = await repository.assignment_of(uow.db, row)
    await end_turn(assignment, move, end, outcome, at, uow)


def emit_ended(row: Row, at: datetime, digest: str, uow: UnitOfWork) -> None:
    """Emit ``MediationEnded`` for a row that says how it ended."""
    uow.emit(
        MediationEnded(
            case_id=row["case_id"],
            mediation_id=row["mediation_id"],
            assignment_id=row["assignment_id"],
            organisation=row["organisation"],
            outcome=row["outcome"],
            succeeded=row["succeeded"],
            remedies=tuple(row["remedies"]),
            remedies_told=row["remedies_told"],
            handover_sha256=digest,
            ended_at=at,
        ),
        occurred_at=at,
    )
    uow.audit(
        "mediation.end",
        case_id=row["case_id"],
        subject=str(row["mediation_id"]),
        detail={"outcome": row["outcome"]},
    )


async def build_hand_over(
    row: Row, report: dict[str, Any] | None, at: datetime, uow: UnitOfWork
) -> str:
    """Build and store the package for the referrer; answers its SHA-256."""
    case = await repository.case_copy(uow.db, row["case_id"])
    assignment = await repository.assignment_of(uow.db, row)
    package = rules.hand_over(
        case={**dict(case), "episode": row["episode"], "lane": row["lane"]},
        assignment=dict(assignment),
        mediation={
            **dict(row),
            "sessions_held": await repository.held_sessions(uow.db, row["mediation_id"]),
        },
        report=report,
        remedies={
            "codes": row["remedies"],
            "told_at": wire(at) if row["remedies_told"] else None,
        },
        agreements=[
            dict(agreement) for agreement in await agreements.standing(uow.db, row["mediation_id"])
        ],
        obligations=[
            dict(owed) for owed in await obligations.of_mediation(uow.db, row["mediation_id"])
        ],
    )
    text = json.dumps(package, ensure_ascii=False, sort_keys=True, default=_plain)
    digest = hashlib.sha256(text.encode()).hexdigest()
    await repository.put_hand_over(
        uow.db,
        {
            "mediation_id": row["mediation_id"],
            "case_id": row["case_id"],
            "organisation": row["organisation"],
            "source_organisation": case["source_organisation"] or assignment["source_organisation"],
            "package_sealed": seal(uow, "hand-over").close(text, row["mediation_id"]),
            "sha256": digest,
            "occurred_at": at,
        },
    )
    return digest


def _plain(value: object) -> str:
    return wire(value) if isinstance(value, datetime) else str(value)


# -- facts from outside ------------------------------------------------------------------------


async def party_left(
    case_id: UUID, episode: int, party_id: UUID, role: str, left_at: datetime, uow: UnitOfWork
) -> None:
    """A party left: with the last of a side whatever is not agreed by then ends, at once.

    While both sides have somebody, the others go on: no session, consent or signature of the
    leaver is needed or possible any more, and a draft that binds it falls. An agreement effective
    at or before ``left_at`` stands (design, section 4); a later one falls, when it binds the
    leaver or the side is empty.
    """
    await repository.depart(uow.db, case_id, episode, party_id, left_at)
    if await repository.known(uow.db, case_id) is None:
        return
    case = await repository.case_copy(uow.db, case_id)
    over, outcome = _side_is_empty(case, role), rules.outcome_of_leaving(role)
    for row in await repository.mediations_of(uow.db, case_id, episode):
        if row["state"] != "open":
            bound = None if over else party_id
            await _undo_later_agreement(row, outcome, left_at, uow, bound=bound)
        elif over:
            await agreements.void_drafts(uow.db, row["mediation_id"])
            await finish(row, outcome, "leave", left_at, uow)
        else:
            await _go_on_without(row, party_id, PARTY_LEFT, left_at, uow)
    if not over:
        return
    turn = await uow.db.fetchrow(
        """SELECT * FROM assignment WHERE case_id = $1 AND episode = $2
             AND state IN ('offered', 'objected')""",
        case_id,
        episode,
    )
    if turn is not None:
        await _end_before_it_began(turn, outcome, left_at, uow)


async def _go_on_without(
    row: Row, party_id: UUID, reason: str, at: datetime, uow: UnitOfWork
) -> None:
    agreement = await agreements.current(uow.db, row["mediation_id"])
    if agreement is not None and str(party_id) in agreement["parties"]:
        await agreements.void_drafts(uow.db, row["mediation_id"])
    await excuse(row, party_id, reason, at, uow)
    await change(uow.db, "mediation", "mediation_id", row["mediation_id"], {})


async def _end_before_it_began(turn: Row, outcome: str, at: datetime, uow: UnitOfWork) -> None:
    """A party left while the case was only offered: a mediation that never began is over too."""
    mediation_id = new_id()
    turn = await change(
        uow.db,
        "assignment",
        "assignment_id",
        turn["assignment_id"],
        {"mediation_id": mediation_id},
    )
    row = await repository.open_mediation(uow.db, mediation_id, turn, at)
    await finish(row, outcome, "leave", at, uow)


async def _undo_later_agreement(
    row: Row, outcome: str, left_at: datetime, uow: UnitOfWork, *, bound: UUID | None
) -> None:
    """``bound``: only an agreement that binds this party falls; whatever it binds when left out."""
    agreement = await agreements.current(uow.db, row["mediation_id"])
    if agreement is None or agreement["effective_at"] <= left_at:
        return
    if bound is not None and str(bound) not in agreement["parties"]:
        return
    await agreements.void(uow.db, agreement["agreement_id"])
    superseded = await obligations.supersede(uow.db, agreement["agreement_id"])
    uow.emit(
        ObligationsChanged(
            case_id=row["case_id"],
            agreement_id=agreement["agreement_id"],
            obligations=tuple(obligations.as_event(owed) for owed in superseded),
            changed_at=left_at,
        ),
        occurred_at=left_at,
    )
    row = await change(
        uow.db,
        "mediation",
        "mediation_id",
        row["mediation_id"],
        {
            "state": "ended",
            "outcome": outcome,
            "succeeded": False,
            "remedies": [r.code for r in lanes.remedies(row["lane"], "refused")],
            "remedies_told": False,
            "ended_at": left_at,
        },
    )
    kept = await repository.hand_over(uow.db, row["mediation_id"])
    emit_ended(row, left_at, kept["sha256"] if kept else "", uow)
    await _end_its_turn(row, "end", "failed", outcome, left_at, uow)


async def recall(assignment: Row, at: datetime, uow: UnitOfWork) -> None:
    """The turn is taken back: the mediation stops, nothing is handed over as an outcome.

    Not the turn of a case that is agreed: the agreement binds, and who mediated it sees to its
    performance (人民调解法 31: R-24), so the turn goes on until the last obligation has ended.
    """
    if assignment["state"] not in ("offered", "objected", "accepted"):
        return
    if assignment["mediation_id"] is not None:
        row = await own(uow, "mediation", assignment["mediation_id"], assignment["organisation"])
        if row["state"] == "agreed":
            return
        await cancel_planned(row, "recalled", at, uow)
        await agreements.void_drafts(uow.db, row["mediation_id"])
        await change(
            uow.db,
            "mediation",
            "mediation_id",
            row["mediation_id"],
            {"state": "ended", "outcome": "recalled", "succeeded": False, "ended_at": at},
        )
    await end_turn(assignment, "recall", "recalled", None, at, uow)


async def change_lane(
    case_id: UUID, episode: int, to_lane: str, at: datetime, uow: UnitOfWork
) -> list[Row]:
    """Take a new lane over; answers the mediations whose drafts it may concern.

    What is agreed stays in the lane in which it was concluded.
    """
    await uow.db.execute(
        "UPDATE case_copy SET lane = $2, lane_since = $3 WHERE case_id = $1", case_id, to_lane, at
    )
    changed = []
    for row in await repository.mediations_of(uow.db, case_id, episode):
        if row["state"] == "open":
            changed.append(
                await change(
                    uow.db,
                    "mediation",
                    "mediation_id",
                    row["mediation_id"],
                    {
                        "lane": to_lane,
                        "lanes": [*row["lanes"], {"lane": to_lane, "since": at.isoformat()}],
                    },
                )
            )
    return changed


async def mediation(
    uow: UnitOfWork,
    mediation_id: UUID,
    organisation: str,
    *,
    version: int | None = None,
    even_when_over: bool = False,
) -> Row:
    """Lock a mediation's case and read it. Raises ``NotFound``, ``CaseClosedProblem``."""
    return await hold(
        uow,
        "mediation",
        mediation_id,
        organisation,
        version=version,
        even_when_over=even_when_over,
    )


async def read_hand_over(uow: UnitOfWork, mediation_id: UUID, organisation: str) -> dict[str, Any]:
    """The package, for the body that made it and the one that referred. Raises ``NotFound``."""
    row = await repository.hand_over(uow.db, mediation_id)
    if row is None or organisation not in (row["organisation"], row["source_organisation"]):
        raise NotFound()
    if not row["package_sealed"]:
        raise Gone("the package was erased")
    uow.audit("hand-over.read", case_id=row["case_id"], subject=str(mediation_id))
    return {
        "mediation_id": mediation_id,
        "case_id": row["case_id"],
        "sha256": row["sha256"],
        "built_at": row["recorded_at"],
        "package": json.loads(seal(uow, "hand-over").open(row["package_sealed"], mediation_id)),
    }
