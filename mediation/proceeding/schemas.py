"""Bodies and views of a mediation."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from mediation.mediator.schemas import RelationBody
from mediation.schemas import ActBody, Body, NextActView, PartyView, TermView
from services.events.envelope import Instant

Step = Literal[
    "mediate",
    "mediator",
    "open",
    "invite",
    "share",
    "record",
    "e_sign",
    "extend",
    "be_represented",
]
Channel = Literal["counter", "phone", "video", "message", "letter", "online", "session"]
Text = Annotated[str, Field(max_length=4000)]


class AppointmentBody(ActBody):
    """Appoint a mediator, or replace the one who has the case."""

    mediator_id: UUID
    mode: Literal["appointed", "chosen"] = "appointed"
    declared: Annotated[
        list[RelationBody],
        Field(max_length=50, description="Relations the mediator discloses (法释〔2021〕23号 13)"),
    ] = Field(default_factory=list)
    waived_by: Annotated[
        list[UUID],
        Field(max_length=200, description="Parties who waive them in writing; all are needed"),
    ] = Field(default_factory=list)
    reason: Annotated[str | None, Field(max_length=500)] = None


class ConsentBody(ActBody):
    """A party's word on one step. Refusing to mediate ends it at once."""

    party_id: UUID
    step: Step
    subject: Annotated[
        str,
        Field(
            max_length=100, description="Whom to invite, what to share", pattern=r"^[a-z0-9:_-]*$"
        ),
    ] = ""
    state: Literal["given", "refused"]
    channel: Channel
    remedies_told: bool = False


class WithdrawalBody(ActBody):
    """A party takes a consent back."""

    remedies_told: bool = False


class ReportBody(Body):
    """The written report of the court lanes (法释〔2021〕23号 21: L-22)."""

    basics: Text
    cause: Text
    conduct_raising_costs: Text = ""
    for_the_court: Text = ""
    address_form_filled: bool = False


class EndingBody(ActBody):
    """End the proceeding with a code of the lane's table."""

    outcome: Annotated[str, Field(max_length=64)]
    remedies_told: bool = False
    report: ReportBody | None = None


class ConsentView(BaseModel):
    """One line of the consent ledger."""

    consent_id: UUID
    mediation_id: UUID
    party_id: UUID
    step: str
    subject: str
    state: str
    channel: str
    mandate_id: UUID | None = None
    occurred_at: Instant
    recorded_at: Instant
    withdrawn_at: Instant | None
    withdrawn_mandate_id: UUID | None = None
    mediation_state: str | None = None
    remedies: list[str] = []
    next_act: NextActView | None = None


class AppointmentView(BaseModel):
    """One appointment."""

    mediator_id: UUID
    mode: str
    replaces: UUID | None
    mandate_id: UUID | None = None
    occurred_at: Instant


class SessionBrief(BaseModel):
    """A session in the mediation's list."""

    session_id: UUID
    form: str
    mode: str
    state: str
    starts_at: Instant
    ends_at: Instant
    mandate_id: UUID | None = None
    version: int


class AgreementBrief(BaseModel):
    """The agreement in the mediation's view."""

    agreement_id: UUID
    form: str
    state: str
    effective_at: Instant | None
    confirmable: bool
    confirm_by: Instant | None
    confirm_by_on: str | None
    version: int


class ObligationBrief(BaseModel):
    """An obligation in the mediation's view."""

    obligation_id: UUID
    ordinal: int
    kind: str
    state: str
    amount_fen: int | None
    paid_fen: int
    due_at: Instant | None
    due_on: str | None
    version: int


class MediationListed(BaseModel):
    """A mediation in a list."""

    mediation_id: UUID
    assignment_id: UUID
    case_id: UUID
    case_number: str | None
    episode: int
    organisation: str
    lane: str
    state: str
    mediator_id: UUID | None
    outcome: str | None
    succeeded: bool | None
    started_at: Instant
    ended_at: Instant | None
    term_due_at: Instant | None
    term_due_on: str | None
    term_missed: bool
    next_act: NextActView | None
    version: int


class MediationView(MediationListed):
    """A mediation with everything its desk works on; nothing that was said."""

    remedies: list[str]
    remedies_told: bool
    joint_sessions: bool
    parties: list[PartyView]
    terms: list[TermView]
    appointments: list[AppointmentView]
    consents: list[ConsentView]
    consents_missing: list[UUID]
    sessions: list[SessionBrief]
    agreement: AgreementBrief | None
    obligations: list[ObligationBrief]
    possible_end_codes: list[str]


class PartySheetView(BaseModel):
    """Names and contacts, as intake gave them; shown for a stated purpose and audited."""

    assignment_id: UUID
    case_id: UUID
    fetched_at: Instant
    purpose: str
    sheet: dict[str, Any]


class HandOverView(BaseModel):
    """What goes back to the referrer, built from an allow-list."""

    mediation_id: UUID
    case_id: UUID
    sha256: str
    built_at: Instant
    package: dict[str, Any]
