"""Facts of routing: who takes part, offers, linkages, conferences, clocks."""

from typing import Literal
from uuid import UUID

from services.events.envelope import (
    Citation,
    Code,
    Event,
    Fen,
    Instant,
    Length,
    Part,
    Party,
    Slug,
    event,
)
from services.events.intake import DocumentRef

OWNER = "routing"
Role = Literal["source", "handler", "linked", "supervisor"]


@event(
    "liandiao.participant.joined.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="an organisation began to take part in a case",
    source="design.md 1 participation",
)
class ParticipantJoined(Event):
    """An organisation takes part from now on, in this role."""

    participation_id: UUID
    organisation: Code
    role: Role
    reference: str | None = None
    joined_at: Instant


@event(
    "liandiao.participant.left.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="an organisation's part in a case ended",
    source="design.md 1 participation",
)
class ParticipantLeft(Event):
    """An organisation's part has ended."""

    participation_id: UUID
    organisation: Code
    role: Role
    reason: Slug
    left_at: Instant


@event(
    "liandiao.assignment.offered.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a decision offered the case to an organisation",
    source="design.md 4; 法释〔2021〕23号 12",
)
class AssignmentOffered(Event):
    """An organisation's turn, with everything a desk needs without asking."""

    assignment_id: UUID
    decision_id: UUID
    organisation: Code
    source_organisation: Code
    ordinal: int
    returnable: bool = True
    refusal_kind: Literal["return", "objection"] = "return"
    on_silence: Literal["deemed_accepted", "reoffer", "return_to_source", "held_to_it", "escalate"]
    accept_by: Instant
    window: Length
    offered_at: Instant
    lane: Slug
    sector: Slug | None = None
    dispute_type: Slug
    dispute_subtype: str | None = None
    place: str
    claim_fen: Fen | None = None
    parties: tuple[Party, ...]
    documents: tuple[DocumentRef, ...] = ()
    joint_sessions: bool = True
    preferred_mode: str | None = None
    received_at: Instant
    registered_at: Instant
    rules: tuple[str, ...] = ()


@event(
    "liandiao.assignment.recalled.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="its source or an override asks for the turn back, before it is agreed",
    source="design.md 4",
)
class AssignmentRecalled(Event):
    """The turn is taken back; mediation ends it, unless the case is agreed by then."""

    assignment_id: UUID
    organisation: Code
    ground: Slug
    recalled_at: Instant


@event(
    "liandiao.assignment.acceptance-window-elapsed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the acceptance clock ended with neither acceptance nor return known to routing",
    source="design.md 3.3",
)
class AcceptanceWindowElapsed(Event):
    """Time is up; mediation says what that means."""

    assignment_id: UUID
    organisation: Code
    on_silence: Literal["deemed_accepted", "reoffer", "return_to_source", "held_to_it", "escalate"]
    accept_by: Instant
    elapsed_at: Instant


@event(
    "liandiao.assignment.objection-decided.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the sender checked an objection",
    source="信访工作条例 23",
)
class ObjectionDecided(Event):
    """The sender agreed with an objection, or not."""

    assignment_id: UUID
    organisation: Code
    upheld: bool
    decided_by: Code
    decided_at: Instant


@event(
    "liandiao.case.routing-undecided.v1",
    owner=OWNER,
    audience=("source", "supervisor"),
    emitted_when="no organisation is competent, or a second return has to be settled",
    source="design.md 3.2, 3.3",
)
class RoutingUndecided(Event):
    """Nobody has a turn; the first receiver holds the case until this is settled."""

    decision_id: UUID
    reason: Literal["nobody_competent", "second_return", "escalated", "returned_to_source"]
    holder: Code
    coordinator: Code | None = None
    settle_by: Instant | None = None
    undecided_at: Instant


@event(
    "liandiao.linkage.requested.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="one agency was asked to do one thing on a case by a date",
    source="design.md 1 linkage",
)
class LinkageRequested(Event):
    """An agency is asked for one thing."""

    linkage_id: UUID
    kind: Slug
    asked_by: Code
    asked: Code
    items: tuple[Slug, ...]
    legal_basis: Citation
    answer_by: Instant
    requested_at: Instant


@event(
    "liandiao.linkage.answered.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="the asked agency answered",
    source="design.md 1 linkage",
)
class LinkageAnswered(Event):
    """The asked agency's answer, papers by hash."""

    linkage_id: UUID
    kind: Slug
    asked: Code
    result: Literal["done", "partly", "cannot", "not_mine"]
    ground: Slug | None = None
    documents: tuple[DocumentRef, ...] = ()
    answered_at: Instant


@event(
    "liandiao.linkage.cancelled.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="the asking agency no longer needs it, or the case ended",
    source="design.md 1 linkage",
)
class LinkageCancelled(Event):
    """The request is off."""

    linkage_id: UUID
    kind: Slug
    asked: Code
    reason: Slug
    cancelled_at: Instant


@event(
    "liandiao.conference.convened.v1",
    owner=OWNER,
    audience=("source", "handler", "linked", "supervisor"),
    emitted_when="a contested or stuck case is to be settled",
    source="信访工作条例 24; design.md 3.3",
)
class ConferenceConvened(Event):
    """Agencies are called to settle who handles the case."""

    conference_id: UUID
    stage: Literal["agreement", "superior", "conference"]
    convened_by: Code
    members: tuple[Code, ...]
    decide_by: Instant | None = None
    convened_at: Instant


@event(
    "liandiao.conference.resolved.v1",
    owner=OWNER,
    audience=("source", "handler", "linked", "supervisor"),
    emitted_when="the settlement was recorded",
    source="信访工作条例 24; design.md 3.3",
)
class ConferenceResolved(Event):
    """Who leads; binds agencies, centres and committees, never a court or a party."""

    conference_id: UUID
    stage: Literal["agreement", "superior", "conference"]
    outcome: Literal["lead_named", "no_agreement"]
    lead: Code | None = None
    decided_by: Code
    resolved_at: Instant


class Deadline(Part):
    """The due instant of a clock as events tell it; ``due_at`` is exclusive."""

    clock_id: UUID
    kind: Literal[
        "acceptance", "term", "confirmation", "ruling", "obligation", "linkage", "settlement"
    ]
    rule: str
    citation: str
    subject_id: UUID | None = None
    due_at: Instant
    due_on: str
    original_due_at: Instant
    projected: bool = False


@event(
    "liandiao.deadline.started.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a clock began",
    source="design.md 7",
)
class DeadlineStarted(Event):
    """A legal or local clock runs."""

    deadline: Deadline
    started_at: Instant


@event(
    "liandiao.deadline.paused.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a ground of the rule's own list pauses the clock",
    source="design.md 7",
)
class DeadlinePaused(Event):
    """The clock stands still from ``paused_at``."""

    deadline: Deadline
    ground: Slug
    paused_at: Instant
    expected_until: Instant | None = None


@event(
    "liandiao.deadline.resumed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the pause ended",
    source="design.md 7",
)
class DeadlineResumed(Event):
    """The clock runs again; the deadline moved by the pause."""

    deadline: Deadline
    resumed_at: Instant


@event(
    "liandiao.deadline.changed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="an extension, a lane change, a later numbering or a calendar moved it",
    source="design.md 7",
)
class DeadlineChanged(Event):
    """The deadline moved; the original stays visible."""

    deadline: Deadline
    reason: Slug
    previous_due_at: Instant
    changed_at: Instant


@event(
    "liandiao.deadline.approaching.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="half or four fifths of the time is gone, or a rule's own reminder day has come",
    source="design.md 7",
)
class DeadlineApproaching(Event):
    """A warning, once per step."""

    deadline: Deadline
    step: Slug
    warned_at: Instant


@event(
    "liandiao.deadline.missed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the clock fired: due_at + 60 s and nothing heard that stops it",
    source="design.md 7",
)
class DeadlineMissed(Event):
    """Time is up; the owner of the fact says what that means."""

    deadline: Deadline
    on_expiry: Slug
    missed_at: Instant


@event(
    "liandiao.deadline.miss-withdrawn.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a late record of an act before the deadline took the alarm back",
    source="design.md 4",
)
class DeadlineMissWithdrawn(Event):
    """The act was in time after all."""

    deadline: Deadline
    act_at: Instant
    withdrawn_at: Instant


@event(
    "liandiao.deadline.stopped.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the act the clock waited for happened, or the case ended",
    source="design.md 7",
)
class DeadlineStopped(Event):
    """The clock is over."""

    deadline: Deadline
    reason: Slug
    stopped_at: Instant
