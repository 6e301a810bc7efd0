"""What has to happen next on a case, who has to do it and until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class NextAct:
    """One act that somebody owes the case; ``due_at`` is exclusive."""

    act: str
    owner: str
    due_at: datetime | None = None
    due_on: str | None = None
    overdue: bool = False


def of_assignment(
    assignment: Mapping[str, Any], mediation: Mapping[str, Any] | None = None
) -> NextAct | None:
    """Tell the next act of a turn; None when nothing is owed here any more."""
    state, organisation = assignment["state"], assignment["organisation"]
    if state == "offered":
        return NextAct("accept_or_refuse", organisation, assignment["accept_by"])
    if state == "objected":
        return NextAct("decide_objection", assignment["source_organisation"])
    if state != "accepted":
        return None
    due = term(assignment["terms"])
    if mediation is None:
        return NextAct("mediate", organisation, due.due_at, due.due_on, due.missed)
    act, due_at = _of_mediation(mediation)
    if act is None:
        return None
    if act == "decide_confirmation":
        return NextAct(act, mediation["court"], due_at)
    if due_at is not None or mediation["state"] != "open":
        return NextAct(act, organisation, due_at)
    return NextAct(act, organisation, due.due_at, due.due_on, due.missed)


def _of_mediation(mediation: Mapping[str, Any]) -> tuple[str | None, datetime | None]:
    if mediation["state"] == "ended":
        return None, None
    if mediation["state"] == "agreed":
        obligations = mediation.get("obligations", ())
        owed = [o for o in obligations if o["state"] == "open"]
        if owed:
            dues = [o["due_at"] for o in owed if o["due_at"] is not None]
            return "perform_obligation", min(dues, default=None)
        if any(o["state"] == "breached" for o in obligations):
            return "use_remedies", None
        if mediation.get("court"):
            return "decide_confirmation", None
        if mediation.get("to_be_confirmed"):
            return "apply_for_confirmation", mediation["confirm_by"]
        return "close", None
    if mediation["mediator_id"] is None:
        return "appoint_mediator", None
    if mediation.get("drafts"):
        return "sign_agreement", None
    planned = [s["starts_at"] for s in mediation.get("sessions", ()) if s["state"] == "scheduled"]
    if planned:
        return "hold_session", min(planned)
    if mediation.get("consents_missing"):
        return "ask_consent", None
    return "schedule_session", None


@dataclass(frozen=True)
class TermDue:
    """The earliest running deadline of the mediation's terms."""

    due_at: datetime | None = None
    due_on: str | None = None
    missed: bool = False
    paused: bool = False


def term(terms: Mapping[str, Mapping[str, Any]]) -> TermDue:
    """Fold the term clocks of a turn into the one that ends first (where two apply, both run)."""
    running = [t for t in terms.values() if not t.get("stopped")]
    if not running:
        return TermDue()
    first = min(running, key=lambda t: str(t["due_at"]))
    due_at = first["due_at"]
    return TermDue(
        due_at if isinstance(due_at, datetime) else datetime.fromisoformat(str(due_at)),
        first["due_on"],
        any(t.get("missed_at") for t in running),
        bool(first.get("paused")),
    )


def consents_missing(
    parties: Iterable[Mapping[str, Any]],
    consents: Iterable[Mapping[str, Any]],
    departed: Iterable[object] = (),
) -> list[str]:
    """List the parties of both sides who have not said whether they mediate; silence is no consent.

    Nobody waits for a party that has left, or that has said no while its side goes on.
    """
    gone = {str(party_id) for party_id in departed}
    answered = {str(c["party_id"]) for c in consents if c["step"] == "mediate"}
    return [
        str(p["party_id"])
        for p in parties
        if p["role"] != "third_party" and str(p["party_id"]) not in answered | gone
    ]
