"""What this service knows of a case: a copy folded from events, and the snapshot made from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from services.clock import wire
from services.events import intake, mediation, routing
from services.events.envelope import Event


@dataclass(frozen=True)
class CaseCopy:
    """The public facts of one case as heard so far; no name is among them.

    ``facts`` holds what later messages need: ``sessions`` and ``obligations`` by id, the current
    ``assignment``, and ``told``, the marks of messages that are sent once for several events.
    """

    case_id: UUID
    case_number: str | None = None
    episode: int = 1
    closed: bool = False
    state: str = "registered"
    lane: str | None = None
    dispute_type: str | None = None
    place: str | None = None
    first_receiver: str | None = None
    holder: str | None = None
    parties: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def party_ids(self) -> tuple[str, ...]:
        """All parties, also those who left: endings and remedies are told to everybody."""
        return tuple(p["party_id"] for p in self.parties)

    @property
    def present(self) -> tuple[str, ...]:
        """Parties who have not left."""
        return tuple(p["party_id"] for p in self.parties if not p.get("left"))


def _facts(copy: CaseCopy, **changes: Any) -> CaseCopy:
    return replace(copy, facts={**copy.facts, **changes})


def _parties(parties: tuple[Any, ...]) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {
            "party_id": str(p.party_id),
            "role": p.role,
            "kind": p.kind,
            **({"organisation": p.organisation} if p.organisation else {}),
        }
        for p in parties
    )


def _received(copy: CaseCopy, e: intake.ReferralReceived) -> CaseCopy:
    first = copy.first_receiver or e.organisation
    return replace(copy, first_receiver=first, holder=copy.holder or first)


def _registered(copy: CaseCopy, e: intake.CaseRegistered) -> CaseCopy:
    first = copy.first_receiver or e.organisation
    return replace(
        copy,
        lane=e.lane,
        dispute_type=e.dispute_type,
        place=e.place,
        parties=_parties(e.parties),
        first_receiver=first,
        holder=copy.holder or first,
    )


def _reopened(copy: CaseCopy, e: intake.CaseReopened) -> CaseCopy:
    return replace(
        copy,
        state="registered",
        closed=False,
        lane=e.lane,
        dispute_type=e.dispute_type,
        place=e.place,
        parties=_parties(e.parties),
        first_receiver=e.organisation,
        holder=e.organisation,
        facts={},
    )


def _corrected(copy: CaseCopy, e: intake.CaseCorrected) -> CaseCopy:
    return replace(
        copy,
        dispute_type=e.dispute_type or copy.dispute_type,
        place=e.place or copy.place,
    )


def _party_changed(copy: CaseCopy, e: intake.PartyChanged) -> CaseCopy:
    if e.added is None or str(e.party_id) in {p["party_id"] for p in copy.parties}:
        return copy
    return replace(copy, parties=(*copy.parties, *_parties((e.added,))))


def _party_left(copy: CaseCopy, e: intake.PartyLeft) -> CaseCopy:
    left = str(e.party_id)
    return replace(
        copy,
        parties=tuple(
            {**p, "left": wire(e.left_at)} if p["party_id"] == left else p for p in copy.parties
        ),
    )


def _offered(copy: CaseCopy, e: routing.AssignmentOffered) -> CaseCopy:
    assignment = {
        "assignment_id": str(e.assignment_id),
        "organisation": e.organisation,
        "ordinal": e.ordinal,
        "accept_by": wire(e.accept_by),
    }
    return _facts(replace(copy, state="offered"), assignment=assignment)


def _accepted(
    copy: CaseCopy, e: mediation.AssignmentAccepted | mediation.AssignmentDeemedAccepted
) -> CaseCopy:
    assignment = {
        "assignment_id": str(e.assignment_id),
        "organisation": e.organisation,
        "ordinal": e.ordinal,
        "accepted_at": wire(e.accepted_at),
    }
    return _facts(replace(copy, state="accepted", holder=e.organisation), assignment=assignment)


def _turn_over(copy: CaseCopy, e: Any) -> CaseCopy:
    """A turn that ended without completing gives the case back to its first receiver."""
    current = copy.facts.get("assignment") or {}
    if current.get("assignment_id") != str(e.assignment_id):
        return copy
    over = _facts(copy, assignment=None)
    if getattr(e, "end", None) in ("completed", "failed"):
        return over
    return replace(over, state="registered", holder=copy.first_receiver)


def _undecided(copy: CaseCopy, e: routing.RoutingUndecided) -> CaseCopy:
    return replace(copy, state="undecided", holder=e.holder)


def _session(copy: CaseCopy, e: mediation.SessionScheduled | mediation.SessionMoved) -> CaseCopy:
    sessions = dict(copy.facts.get("sessions", {}))
    known = sessions.get(str(e.session_id), {})
    sessions[str(e.session_id)] = {
        **known,
        "starts_at": wire(e.starts_at),
        **(
            {"mode": e.mode, "parties": [str(p) for p in e.parties]}
            if isinstance(e, mediation.SessionScheduled)
            else {}
        ),
    }
    state = "in_mediation" if copy.state == "accepted" else copy.state
    return _facts(replace(copy, state=state), sessions=sessions)


def _obligations(copy: CaseCopy, e: mediation.ObligationsChanged) -> CaseCopy:
    obligations = {
        str(o.obligation_id): {
            "ordinal": o.ordinal,
            "kind": o.kind,
            "debtor": str(o.debtor),
            "creditor": str(o.creditor),
            "amount_fen": o.amount_fen,
            "due_on": o.due_on,
            "state": o.state,
        }
        for o in e.obligations
    }
    return _facts(copy, obligations=obligations)


def _obligation_state(state: str) -> Callable[[CaseCopy, Any], CaseCopy]:
    def change(copy: CaseCopy, e: Any) -> CaseCopy:
        obligations = dict(copy.facts.get("obligations", {}))
        key = str(e.obligation_id)
        obligations[key] = {**obligations.get(key, {}), "state": state}
        return _facts(copy, obligations=obligations)

    return change


def _ended(copy: CaseCopy, e: mediation.MediationEnded) -> CaseCopy:
    return replace(copy, state="agreed" if e.succeeded else "failed")


_FOLDS: Final[Mapping[type[Event], Callable[[CaseCopy, Any], CaseCopy]]] = {
    intake.ReferralReceived: _received,
    intake.CaseRegistered: _registered,
    intake.CaseReopened: _reopened,
    intake.CaseCorrected: _corrected,
    intake.CaseLaneChanged: lambda copy, e: replace(copy, lane=e.to_lane),
    intake.PartyChanged: _party_changed,
    intake.PartyLeft: _party_left,
    intake.CaseClosed: lambda copy, e: replace(copy, state="closed", closed=True),
    routing.AssignmentOffered: _offered,
    routing.AssignmentRecalled: _turn_over,
    routing.RoutingUndecided: _undecided,
    mediation.AssignmentAccepted: _accepted,
    mediation.AssignmentDeemedAccepted: _accepted,
    mediation.AssignmentReturned: _turn_over,
    mediation.AssignmentEnded: _turn_over,
    mediation.SessionScheduled: _session,
    mediation.SessionMoved: _session,
    mediation.AgreementEffective: lambda copy, e: replace(copy, state="agreed"),
    mediation.ObligationsChanged: _obligations,
    mediation.ObligationPerformed: _obligation_state("performed"),
    mediation.ObligationBreached: _obligation_state("breached"),
    mediation.MediationEnded: _ended,
}


def is_current(copy: CaseCopy, event: Event, episode: int) -> bool:
    """Whether the event may change the copy: not of an older round, nor of a closed case."""
    if isinstance(event, intake.CaseReopened):
        return episode > copy.episode or copy.closed
    return episode >= copy.episode and not copy.closed


def fold(copy: CaseCopy, event: Event, episode: int) -> CaseCopy:
    """The copy after the event; an event of an older round or of a closed case changes nothing."""
    if not is_current(copy, event, episode):
        return copy
    known = replace(
        copy,
        episode=max(episode, copy.episode),
        case_number=copy.case_number or event.case_number,
    )
    change = _FOLDS.get(type(event))
    return change(known, event) if change else known


def snapshot(copy: CaseCopy, role: str) -> dict[str, Any]:
    """The data of ``case.snapshot``: the case as an organisation finds it when it joins."""
    assignment = copy.facts.get("assignment")
    answer: dict[str, Any] = {
        "case_id": str(copy.case_id),
        "case_number": copy.case_number,
        "episode": copy.episode,
        "role": role,
        "state": copy.state,
        "lane": copy.lane,
        "dispute_type": copy.dispute_type,
        "place": copy.place,
        "holder": copy.holder,
        "parties": [
            {k: p[k] for k in ("party_id", "role", "kind", "organisation", "left") if k in p}
            for p in copy.parties
        ],
    }
    if assignment and role in ("source", "handler"):
        answer["assignment"] = dict(assignment)
    return {k: v for k, v in answer.items() if v is not None}
