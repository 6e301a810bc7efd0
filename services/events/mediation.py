"""Facts of the work: acceptance, mediators, consent, sessions, agreement, performance."""

from typing import Literal
from uuid import UUID

from services.events.envelope import Code, Event, Fen, Instant, Part, Slug, event

OWNER = "mediation"


@event(
    "liandiao.assignment.accepted.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the desk accepted the offer",
    source="design.md 3.3",
)
class AssignmentAccepted(Event):
    """The organisation holds the case from ``accepted_at``."""

    assignment_id: UUID
    mediation_id: UUID
    organisation: Code
    ordinal: int
    accepted_at: Instant


@event(
    "liandiao.assignment.deemed-accepted.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="silence counted as acceptance, or the right to object was lost",
    source="信访工作条例 23; design.md 3.3",
)
class AssignmentDeemedAccepted(Event):
    """The organisation holds the case though it said nothing."""

    assignment_id: UUID
    mediation_id: UUID
    organisation: Code
    ordinal: int
    basis: Literal["deemed_accepted", "held_to_it", "objection_refused"]
    accepted_at: Instant


@event(
    "liandiao.assignment.returned.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the desk refused the offer on a ground of the closed list",
    source="design.md 1 return",
)
class AssignmentReturned(Event):
    """The turn is over at once; never closes the case."""

    assignment_id: UUID
    organisation: Code
    ordinal: int
    ground: Slug
    returned_at: Instant


@event(
    "liandiao.assignment.objected.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the organisation objects; it is bound until the sender agrees",
    source="信访工作条例 23",
)
class AssignmentObjected(Event):
    """A return that takes effect only when the sender agrees."""

    assignment_id: UUID
    organisation: Code
    ordinal: int
    ground: Slug
    objected_at: Instant


@event(
    "liandiao.assignment.ended.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the turn ended after acceptance, by recall, or by silence that is no acceptance",
    source="design.md 4",
)
class AssignmentEnded(Event):
    """The organisation's turn is over; ``end`` says why."""

    assignment_id: UUID
    organisation: Code
    ordinal: int
    end: Literal[
        "completed", "failed", "recalled", "not_confirmed", "escalated", "objection_upheld"
    ]
    outcome: Slug | None = None
    ended_at: Instant


@event(
    "liandiao.mediator.appointed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a mediator was appointed or chosen, or replaced the former one",
    source="人民调解法 19",
)
class MediatorAppointed(Event):
    """A mediator (id, never a name) takes the case."""

    mediation_id: UUID
    assignment_id: UUID
    mediator_id: UUID
    mode: Literal["appointed", "chosen"]
    replaces: UUID | None = None
    appointed_at: Instant


@event(
    "liandiao.consent.given.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="a party consented to one step",
    source="人民调解法 23",
)
class ConsentGiven(Event):
    """A party's consent to one step."""

    consent_id: UUID
    mediation_id: UUID
    party_id: UUID
    step: Slug
    given_at: Instant
    mandate_id: UUID | None = None


@event(
    "liandiao.consent.withdrawn.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="a party withdrew or refused consent to one step",
    source="人民调解法 23",
)
class ConsentWithdrawn(Event):
    """A consent is gone, or was refused."""

    consent_id: UUID
    mediation_id: UUID
    party_id: UUID
    step: Slug
    state: Literal["withdrawn", "refused"]
    withdrawn_at: Instant
    mandate_id: UUID | None = None


@event(
    "liandiao.session.scheduled.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="a session was set",
    source="design.md 3.4",
)
class SessionScheduled(Event):
    """A session: when and how, not where."""

    session_id: UUID
    mediation_id: UUID
    mode: Literal["in_person", "online", "phone", "shuttle"]
    parties: tuple[UUID, ...]
    starts_at: Instant
    ends_at: Instant


@event(
    "liandiao.session.moved.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="a session got another time",
    source="design.md 3.4",
)
class SessionMoved(Event):
    """The session is at another time."""

    session_id: UUID
    mediation_id: UUID
    starts_at: Instant
    ends_at: Instant
    moved_at: Instant


@event(
    "liandiao.session.cancelled.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="a session will not be held",
    source="design.md 4",
)
class SessionCancelled(Event):
    """The session is off."""

    session_id: UUID
    mediation_id: UUID
    reason: Slug
    cancelled_at: Instant


@event(
    "liandiao.session.held.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="a session took place; statements stay sealed",
    source="design.md 3.4",
)
class SessionHeld(Event):
    """The session was held, with who came."""

    session_id: UUID
    mediation_id: UUID
    attended: tuple[UUID, ...]
    absent: tuple[UUID, ...] = ()
    held_at: Instant


@event(
    "liandiao.agreement.effective.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the lane's effect rule was met",
    source="人民调解法 29, 30; 法释〔2016〕14号 19",
)
class AgreementEffective(Event):
    """The agreement binds from ``effective_at``."""

    agreement_id: UUID
    mediation_id: UUID
    assignment_id: UUID
    organisation: Code
    form: Literal["written", "oral"]
    effect_rule: Slug
    sha256: str
    confirmable: bool
    effective_at: Instant


class Obligation(Part):
    """One thing somebody must do by a time; no names."""

    obligation_id: UUID
    ordinal: int
    kind: Slug
    debtor: UUID
    creditor: UUID
    amount_fen: Fen | None = None
    due_at: Instant | None = None
    due_on: str | None = None
    state: Literal["open", "performed", "breached", "waived", "superseded"]


@event(
    "liandiao.obligation.changed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the obligations of an agreement were set or restated, whole",
    source="design.md 3.5",
)
class ObligationsChanged(Event):
    """All obligations of the agreement as they stand."""

    agreement_id: UUID
    obligations: tuple[Obligation, ...]
    changed_at: Instant


@event(
    "liandiao.obligation.performed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="an obligation was performed in full",
    source="人民调解法 31",
)
class ObligationPerformed(Event):
    """Done, when, as whom."""

    agreement_id: UUID
    obligation_id: UUID
    ordinal: int
    performed_at: Instant
    in_time: bool


@event(
    "liandiao.obligation.breached.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="mediation decided that an obligation was not kept",
    source="人民调解法 31, 32",
)
class ObligationBreached(Event):
    """Not kept; the remedies are open."""

    agreement_id: UUID
    obligation_id: UUID
    ordinal: int
    remedies: tuple[Slug, ...]
    breached_at: Instant


@event(
    "liandiao.confirmation.applied.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="the parties applied jointly for judicial confirmation",
    source="民事诉讼法 205",
)
class ConfirmationApplied(Event):
    """The parties applied to ``court``, in time."""

    confirmation_id: UUID
    agreement_id: UUID
    mediation_id: UUID
    court: Code
    applied_by: tuple[UUID, ...]
    applied_at: Instant


@event(
    "liandiao.confirmation.decided.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="the court decided on confirmation",
    source="民事诉讼法 206",
)
class ConfirmationDecided(Event):
    """The court's answer; ``ground`` says why not, ``remedies`` what is open now."""

    confirmation_id: UUID
    agreement_id: UUID
    mediation_id: UUID
    court: Code
    confirmed: bool
    ground: Slug | None = None
    remedies: tuple[Slug, ...] = ()
    decided_at: Instant


@event(
    "liandiao.mediation.ended.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the proceeding ended, at effect or on failure",
    source="人民调解法 26; design.md 4 Closing",
)
class MediationEnded(Event):
    """How the proceeding ended, and the ways that are open now."""

    mediation_id: UUID
    assignment_id: UUID
    organisation: Code
    outcome: Slug
    succeeded: bool
    remedies: tuple[Slug, ...] = ()
    remedies_told: bool = True
    handover_sha256: str | None = None
    ended_at: Instant
