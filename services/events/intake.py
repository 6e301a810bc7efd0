"""Facts of the front door: referrals, cases, parties, closing."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from services.events.envelope import (
    CaseNumber,
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

OWNER = "intake"


class DocumentRef(Part):
    """A paper known by its hash; the bytes travel apart and its name stays in the vault."""

    sha256: str
    size: int
    media_type: str


@event(
    "liandiao.referral.received.v1",
    owner=OWNER,
    audience=("source",),
    emitted_when="a referral was stored, in the transaction that stores it",
    source="design.md 3.1",
)
class ReferralReceived(Event):
    """A source's submission of a dispute was recorded under its own number."""

    referral_id: UUID
    organisation: Code
    connection: str | None = None
    reference: str
    channel: Slug
    received_at: Instant
    request_made_at: Instant | None = None


@event(
    "liandiao.case.registered.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a referral opened a case",
    source="design.md 3.1",
)
class CaseRegistered(Event):
    """A case exists: everything routing needs to decide, and no name."""

    referral_id: UUID
    organisation: Code
    lane: Slug
    dispute_type: Slug
    dispute_subtype: str | None = None
    place: str
    claim_fen: Fen | None = None
    parties: tuple[Party, ...]
    legal_context: dict[str, Any] = Field(default_factory=dict)
    documents: tuple[DocumentRef, ...] = ()
    joint_sessions: bool = True
    requested_within: Length | None = None
    preferred_mode: str | None = None
    channel: Slug
    occurred_at: Instant | None = None
    request_made_at: Instant | None = None
    received_at: Instant
    registered_at: Instant


@event(
    "liandiao.case.corrected.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the sender corrected facts of its referral",
    source="design.md 4",
)
class CaseCorrected(Event):
    """Facts of the case were corrected; what is set here is the new value."""

    referral_id: UUID
    changed: tuple[str, ...]
    dispute_type: Slug | None = None
    dispute_subtype: str | None = None
    place: str | None = None
    claim_fen: Fen | None = None
    corrected_at: Instant


@event(
    "liandiao.case.lane-changed.v1",
    owner=OWNER,
    audience=("source", "handler", "linked"),
    emitted_when="the case moved to another legal channel (转道)",
    source="design.md 1",
)
class CaseLaneChanged(Event):
    """The case runs in another lane; clocks are restated from their own original start."""

    from_lane: Slug
    to_lane: Slug
    ground: Slug
    decided_by: Code
    changed_at: Instant


@event(
    "liandiao.referral.withdrawn.v1",
    owner=OWNER,
    audience=("source", "handler", "linked", "supervisor"),
    emitted_when="a source took its referral back",
    source="人民调解法 23; design.md 4",
)
class ReferralWithdrawn(Event):
    """The source no longer refers the dispute. The case goes on where others sent it too
    (``goes_on``), else only if a party asks before ``ask_by``; until then everything stands.
    """

    withdrawal_id: UUID
    referral_id: UUID
    organisation: Code
    reason: Slug
    goes_on: bool
    ask_by: Instant | None = None
    withdrawn_at: Instant


@event(
    "liandiao.withdrawal.settled.v1",
    owner=OWNER,
    audience=("source", "handler", "linked", "supervisor"),
    emitted_when="a party asked that the case goes on, or the time to ask elapsed",
    source="人民调解法 17, 23; design.md 4",
)
class WithdrawalSettled(Event):
    """Whether the case goes on after its referral was taken back.

    ``ends``: an open turn is taken back, unless an agreement binds by then, and the case closes.
    """

    withdrawal_id: UUID
    result: Literal["goes_on", "ends"]
    asked_by_party: UUID | None = None
    settled_at: Instant


@event(
    "liandiao.party.changed.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="the vault's record of a party changed; the party sheet must be refreshed",
    source="design.md 4",
)
class PartyChanged(Event):
    """A party's data in the vault changed (what, never to what); ``added``: it is a new one."""

    party_id: UUID
    changed: tuple[str, ...]
    added: Party | None = None
    changed_at: Instant


@event(
    "liandiao.supplement.received.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="something was added to a case by its source or handler, or somebody called again",
    source="12345 order rules of the site; design.md 10",
)
class SupplementReceived(Event):
    """A supplement or a repeat call was attached; it changes neither order nor state."""

    supplement_id: UUID
    kind: Literal["supplement", "repeat_call"]
    organisation: Code
    received_at: Instant


@event(
    "liandiao.party.left.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a party left; it cannot be refused",
    source="人民调解法 23; design.md 4",
)
class PartyLeft(Event):
    """A party left the mediation at ``left_at``; an agreement effective by then stands."""

    party_id: UUID
    role: Literal["applicant", "respondent", "third_party"]
    left_at: Instant
    told_by: Literal["party", "organisation"]
    mandate_id: UUID | None = None


@event(
    "liandiao.mandate.given.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="source or handler recorded who files for a party (代办)",
    source="民法典 161, 165; design.md 4",
)
class MandateGiven(Event):
    """Somebody files for a party; ``organisation`` recorded it and acts under it, nobody else.

    Who files is not said. The party may still act alone, and ends it by one call.
    """

    mandate_id: UUID
    party_id: UUID
    organisation: Code
    given_at: Instant


@event(
    "liandiao.mandate.revoked.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a party ended a mandate, itself or through a desk; it cannot be refused",
    source="民法典 173; design.md 4",
)
class MandateRevoked(Event):
    """Nothing is done under the mandate any more; what stands stands, with its mark."""

    mandate_id: UUID
    party_id: UUID
    organisation: Code
    revoked_at: Instant
    told_by: Literal["party", "organisation"]


@event(
    "liandiao.case.handling-constraints-changed.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="the consequence of the safety screen changed",
    source="design.md 5",
)
class HandlingConstraintsChanged(Event):
    """Whether people may be put into one room, and whether only civil loss may be mediated; never
    why.

    ``shielded``: where a party can be found stays with intake; ``neutral_messages``: what is sent
    names neither matter nor place. Left out: as it was.
    """

    joint_sessions: bool
    civil_loss_only: bool | None = None
    shielded: bool | None = None
    neutral_messages: bool | None = None
    changed_at: Instant


@event(
    "liandiao.alert.raised.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="somebody may come to harm: the police, or the organ named, are asked at once",
    source="人民调解法 25; design.md 1 linkage",
)
class AlertRaised(Event):
    """Routing asks the police of the place; what was said is read at intake, for a purpose.

    ``asks`` names another organ that is told besides the police, each by an alert of its own.
    """

    alert_id: UUID
    asks: Code | None = None
    raised_by: Code
    legal_basis: Citation
    raised_at: Instant


@event(
    "liandiao.alert.withdrawn.v1",
    owner=OWNER,
    audience=("handler",),
    emitted_when="two members of the staff found that there is nothing in an alert",
    source="反家庭暴力法 14; design.md 1 linkage",
)
class AlertWithdrawn(Event):
    """The police need not answer any more."""

    alert_id: UUID
    ground: Slug
    withdrawn_at: Instant


@event(
    "liandiao.case.closed.v1",
    owner=OWNER,
    audience=("source", "handler", "linked", "supervisor"),
    emitted_when="the assignment ended completed, or failed with its hand-over package built",
    source="design.md 4 Closing",
)
class CaseClosed(Event):
    """The episode is over, with its outcome."""

    outcome: Slug
    closed_at: Instant


@event(
    "liandiao.case.reopened.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a closed case was reopened: the next episode begins",
    source="design.md 4 Closing",
)
class CaseReopened(Event):
    """A new episode of a closed case; carries what routing needs to decide anew."""

    referral_id: UUID
    organisation: Code
    lane: Slug
    dispute_type: Slug
    dispute_subtype: str | None = None
    place: str
    claim_fen: Fen | None = None
    parties: tuple[Party, ...]
    legal_context: dict[str, Any] = Field(default_factory=dict)
    joint_sessions: bool = True
    ground: Slug
    received_at: Instant
    reopened_at: Instant


@event(
    "liandiao.case.erased.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a person's data, or a whole file's, were erased on a ground of the law",
    source="个人信息保护法 47; design.md 8",
)
class CaseErased(Event):
    """Every service removes what it holds of these parties; of the whole file when ``whole``.

    What counts in figures stays: states, dates, places, types.
    """

    erasure_id: UUID
    parties: tuple[UUID, ...]
    whole: bool
    ground: Slug
    erased_at: Instant


@event(
    "liandiao.erasure.done.v1",
    owner="*",
    audience=("source",),
    emitted_when="a service has obeyed an erasure, in the transaction that removed its share",
    source="个人信息保护法 47; design.md 8",
)
class ErasureDone(Event):
    """How many rows a service emptied or removed; with the last service the erasure is certified.

    Emitted by routing, mediation and notification; intake writes its own share down at once.
    """

    erasure_id: UUID
    removed: int
    done_at: Instant


@event(
    "liandiao.case.joined.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a person decided that two files are one dispute; once on the stream of each",
    source="design.md 4",
)
class CasesJoined(Event):
    """Two files are handled as one: the surviving one goes on, the joined one rests.

    Nothing is moved: each keeps its number, receipts, parties, consents and history.
    """

    join_id: UUID
    side: Literal["surviving", "joined"]
    other_case_id: UUID
    other_case_number: CaseNumber
    holder: Code
    ground: Literal["same_dispute", "repeat"]
    decided_by: Code
    joined_at: Instant


@event(
    "liandiao.case.separated.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a join was undone; once on the stream of each",
    source="design.md 4",
)
class CasesSeparated(Event):
    """Two files that were joined are two again; the joined one begins its next round."""

    join_id: UUID
    side: Literal["surviving", "joined"]
    other_case_id: UUID
    other_case_number: CaseNumber
    reason: Slug
    decided_by: Code
    separated_at: Instant


@event(
    "liandiao.case.surviving-closed.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="the case that this one is joined to was closed",
    source="design.md 4",
)
class SurvivingCaseClosed(Event):
    """How the dispute ended in the file it was handled in, told to the agencies of this one."""

    join_id: UUID
    surviving_case_id: UUID
    surviving_case_number: CaseNumber
    outcome: Slug
    closed_at: Instant


@event(
    "liandiao.case.linked.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="two cases were linked that go on apart; once on the stream of each",
    source="design.md 4",
)
class CaseLinked(Event):
    """This case belongs to another one: a counterclaim, a linked matter.

    Which one is not said: who takes part in both hears the same link twice, or asks intake.
    """

    link_id: UUID
    linked_at: Instant


@event(
    "liandiao.case.unlinked.v1",
    owner=OWNER,
    audience=("source", "handler"),
    emitted_when="a link between two cases was ended; once on the stream of each",
    source="design.md 4",
)
class CaseUnlinked(Event):
    """The link is over; both cases go on as before."""

    link_id: UUID
    unlinked_at: Instant


class AnswerError(Part):
    """One fault of a command: where, which rule, in words."""

    pointer: str
    code: str
    message: str


class AnswerRefusal(Part):
    """A refusal on record, as a command's answer tells it; its secret is fetched by REST."""

    refusal_id: UUID | None = None
    matter_id: UUID | None = None
    number: Annotated[str, Field(pattern=r"^L[MR][0-9]{4}-[0-9]{6}-[0-9]{7}-[0-9A-Z]$")]
    ground: Slug
    citation: str
    go_to: Code | None = None
    until_on: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None


class AnswerProblem(Part):
    """A problem (RFC 9457) as it stands inside a command's answer."""

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    code: str
    trace_id: str | None = None
    errors: tuple[AnswerError, ...] = ()
    retryable: bool = False
    refusal: AnswerRefusal | None = None


@event(
    "liandiao.matter.answer-missed.v1",
    owner=OWNER,
    audience=("organisation",),
    emitted_when="the last day for a matter's answer is over and there is none: once per matter",
    source="design.md 1 submission; 信访工作条例 22, 23",
)
class MatterAnswerMissed(Event):
    """A matter is overdue at the organisation that must answer it; nobody else hears of it.

    A matter is no case: ``case_id`` of the base is its own id. Its kind is not said, since some are
    sealed. An act recorded late may show that the answer was in time after all.
    """

    matter_id: UUID
    organisation: Code
    due_at: Instant
    missed_at: Instant


@event(
    "liandiao.command.answered.v1",
    owner="*",
    audience=("connection",),
    emitted_when="a command that came in by Kafka was accepted or refused: once per command",
    source="contracts.md 2",
)
class CommandAnswered(Event):
    """The one answer to a command, for the connection that sent it. ``case_id`` of the base is the
    stream's subject: the case when known, else the command's id."""

    connection: str
    command_id: str | None
    command_type: str | None = None
    outcome: Literal["accepted", "rejected"]
    referral_id: UUID | None = None
    answered_case_id: UUID | None = None
    problem: AnswerProblem | None = None
    warnings: tuple[AnswerError, ...] = ()
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    answered_at: Instant
