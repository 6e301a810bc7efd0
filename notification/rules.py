"""Who hears of an event, and which facts it replaces: pure decisions over events and the copy."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.events import intake, mediation, routing
from services.events.envelope import Event

# Events that a linked organisation hears only when they are about itself (contracts section 2);
# of an application for confirmation the court that was applied to.
OWN_ONLY_WHEN_LINKED: Final = (
    routing.ParticipantJoined,
    routing.ParticipantLeft,
    routing.LinkageRequested,
    routing.LinkageAnswered,
    routing.LinkageCancelled,
    mediation.ConfirmationApplied,
    mediation.ConfirmationDecided,
)


@dataclass(frozen=True)
class Part:
    """One organisation's part in a case, as long as it lasts."""

    organisation: str
    role: str


def _concerns(event: Event, organisation: str) -> bool:
    named = {getattr(event, name, None) for name in ("organisation", "asked", "asked_by", "court")}
    return organisation in named


def hearers(event: Event, parts: Iterable[Part]) -> dict[str, str]:
    """Organisations that hear the event, each with the role in which it hears it.

    ``parts`` are the participations that last at this moment. The event that begins a part is heard
    by who begins it, and the event that ends a part by who ends it: the caller passes the parts
    as they are between the two. An event for one connection alone has no organisation here; one for
    the ``organisation`` that it names needs no part: a matter has none.
    """
    audience = event.spec.audience
    heard: dict[str, str] = {}
    named = getattr(event, "organisation", None)
    if "organisation" in audience and isinstance(named, str):
        heard[named] = "organisation"
    for part in parts:
        if part.role not in audience:
            continue
        if (
            part.role == "linked"
            and isinstance(event, OWN_ONLY_WHEN_LINKED)
            and not _concerns(event, part.organisation)
        ):
            continue
        heard.setdefault(part.organisation, part.role)
    return heard


def connections_of(
    organisations: Iterable[str], speaks_for: Mapping[str, Iterable[str]]
) -> dict[str, list[str]]:
    """Connection -> the organisations for which it hears the event; each connection once.

    ``speaks_for`` is organisation -> its connections, from the directory.
    """
    answer: dict[str, list[str]] = {}
    for organisation in organisations:
        for connection in speaks_for.get(organisation, ()):
            answer.setdefault(connection, []).append(organisation)
    return answer


def _offer(event: Any) -> tuple[str, ...]:
    return (f"offer:{event.assignment_id}",)


def _turn(event: Any) -> tuple[str, ...]:
    return (f"offer:{event.assignment_id}", f"turn:{event.assignment_id}")


def _session(event: Any) -> tuple[str, ...]:
    return (f"session:{event.session_id}",)


def _obligation(event: Any) -> tuple[str, ...]:
    return (f"obligation:{event.obligation_id}",)


def _linkage(event: Any) -> tuple[str, ...]:
    return (f"linkage:{event.linkage_id}",)


def _clock(event: Any) -> tuple[str, ...]:
    return (f"clock:{event.deadline.clock_id}",)


def _alarm(event: Any) -> tuple[str, ...]:
    """A warning or a miss also rests on the act it is about: done, it need not be told."""
    deadline: routing.Deadline = event.deadline
    keys = _clock(event)
    if deadline.kind == "obligation" and deadline.subject_id:
        keys += (f"obligation:{deadline.subject_id}",)
    if deadline.kind == "acceptance" and deadline.subject_id:
        keys += (f"offer:{deadline.subject_id}",)
    return keys


_STANDING: Final[Mapping[type[Event], Callable[[Any], tuple[str, ...]]]] = {
    routing.AssignmentOffered: _offer,
    mediation.AssignmentObjected: _offer,
    mediation.AssignmentAccepted: _turn,
    mediation.AssignmentDeemedAccepted: _turn,
    mediation.AssignmentReturned: _turn,
    mediation.AssignmentEnded: _turn,
    routing.AssignmentRecalled: _turn,
    mediation.SessionScheduled: _session,
    mediation.SessionMoved: _session,
    mediation.SessionCancelled: _session,
    mediation.SessionHeld: _session,
    mediation.ObligationPerformed: _obligation,
    mediation.ObligationBreached: _obligation,
    mediation.ObligationsChanged: lambda e: tuple(
        f"obligation:{o.obligation_id}" for o in e.obligations
    ),
    mediation.ConfirmationApplied: lambda e: (f"confirmation:{e.confirmation_id}",),
    mediation.ConfirmationDecided: lambda e: (f"confirmation:{e.confirmation_id}",),
    mediation.MediationEnded: lambda e: ("mediation",),
    intake.ReferralWithdrawn: lambda e: (f"withdrawal:{e.withdrawal_id}",),
    intake.WithdrawalSettled: lambda e: (f"withdrawal:{e.withdrawal_id}",),
    intake.CaseClosed: lambda e: ("closing",),
    intake.CaseReopened: lambda e: ("closing",),
    routing.LinkageRequested: _linkage,
    routing.LinkageAnswered: _linkage,
    routing.LinkageCancelled: _linkage,
    routing.DeadlineStarted: _clock,
    routing.DeadlinePaused: _clock,
    routing.DeadlineResumed: _clock,
    routing.DeadlineChanged: _clock,
    routing.DeadlineApproaching: _alarm,
    routing.DeadlineMissed: _alarm,
    routing.DeadlineMissWithdrawn: _clock,
    routing.DeadlineStopped: _clock,
}


def standing_keys(event: Event) -> tuple[str, ...]:
    """The facts whose latest word this event is.

    A message stands as long as its event is still the latest word on every fact it rests on; a
    reminder of a payment dies with the payment, a session's notice with its move.
    """
    keys = _STANDING.get(type(event))
    return keys(event) if keys else ()


def structured(attributes: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, Any]:
    """An event in structured CloudEvents JSON from its binary headers and its data."""
    event: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.startswith("ce_"):
            event[name.removeprefix("ce_")] = value
    event["datacontenttype"] = "application/json"
    event["data"] = dict(data)
    return event


def binary(event: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """The headers of an event in binary CloudEvents mode, from its structured form."""
    headers = [("content-type", b"application/json; charset=utf-8")]
    for name, value in event.items():
        if name not in ("data", "datacontenttype"):
            headers.append((f"ce_{name}", str(value).encode()))
    return headers


def numbered(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a feed as REST and webhooks show it (contracts section 2)."""
    return {
        "feed_sequence": f"{entry['feed_sequence']:010d}",
        "reference": entry["reference"],
        "read_after": entry["read_after"],
        "event": entry["event"],
    }
