"""What routing's API takes and gives."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from services.clock import wire
from services.events.envelope import Citation, Code, Slug
from services.events.intake import DocumentRef
from services.events.sources import Cited

Wire = Annotated[datetime, PlainSerializer(wire, return_type=str, when_used="json")]
Ground = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="A ground, as a code")
]
Unit = Literal["hour", "day", "workday", "month", "year"]


class Body(BaseModel):
    """A request: unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(from_attributes=True)


# -- tokens and directory -------------------------------------------------------------------------


class TokenView(View):
    """An access token (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (RFC 6749 5.1: the kind of token)
    expires_in: int
    scope: str


class KeysView(View):
    """The public keys that verify access tokens (RFC 7517)."""

    keys: list[dict[str, Any]]


class OrganisationView(View):
    """An organisation of the directory."""

    model_config = ConfigDict(extra="allow")
    code: str
    uscc: str | None = None
    name_zh: str
    name_en: str | None = None
    kind: str
    roles: list[str] = []
    parent: str | None = None
    place: str
    dispute_types: list[str] = []
    lanes: list[str] = []
    established_by: str | None = None
    capacity: int | None = None
    mediators: int = 0
    connections: list[str] = []
    version: int | None = None


class PlaceView(View):
    """A node of the division tree; both days of validity count."""

    code: str
    parent: str | None = None
    name: str
    level: str
    valid_from: str | None = None
    valid_to: str | None = None
    successor: str | None = None
    version: int | None = None


class HolidayView(View):
    """One rest day."""

    day: date
    name: str
    name_en: str | None = None


class CalendarView(View):
    """Rest days and make-up working days of a year."""

    year: int
    status: Literal["official", "projected"]
    source: str
    holidays: list[HolidayView]
    workdays: list[date]
    version: int | None = None


class ConnectionView(View):
    """One technical system that speaks for organisations."""

    name: str
    organisations: list[str]
    kafka: bool
    scopes: list[str]
    active: bool
    version: int | None = None


class OrganisationIn(Body):
    """An organisation to import."""

    model_config = ConfigDict(extra="allow")
    code: Code
    uscc: str | None = Field(None, pattern=r"^[0-9A-Z]{18}$")
    name_zh: str = Field(min_length=1, max_length=200)
    name_en: str | None = None
    kind: Literal[
        "court",
        "police",
        "procuratorate",
        "judicial_bureau",
        "petition_office",
        "hotline",
        "department",
        "government",
        "centre",
        "committee",
        "commercial_mediator",
        "partner",
    ]
    roles: list[str] = []
    parent: Code | None = None
    place: str = Field(pattern=r"^[0-9]{12}([0-9]{3})?$")
    dispute_types: list[Slug] = []
    lanes: list[Slug] = []
    established_by: Code | None = None
    capacity: int | None = Field(None, ge=0)


class PlaceIn(Body):
    """A place to import."""

    code: str = Field(pattern=r"^[0-9]{12}([0-9]{3})?$")
    parent: str | None = Field(None, pattern=r"^[0-9]{12}$")
    name: str = Field(min_length=1, max_length=100)
    level: Literal["country", "province", "city", "county", "town", "village", "grid"]
    valid_from: date | None = None
    valid_to: date | None = None
    successor: str | None = Field(None, pattern=r"^[0-9]{12}([0-9]{3})?$")


class HolidayIn(Body):
    """One rest day."""

    day: date
    name: str = Field(min_length=1, max_length=100)
    name_en: str | None = None


class CalendarIn(Body):
    """A year's calendar to import: the official notice, or a projection until it comes."""

    year: int = Field(ge=2000, le=2100)
    status: Literal["official", "projected"]
    source: str = Field(min_length=1, max_length=500)
    holidays: list[HolidayIn]
    workdays: list[date] = []


class ImportIn(Body):
    """What to import; what is the same already stays."""

    organisations: list[OrganisationIn] = Field(default=[], max_length=2000)
    places: list[PlaceIn] = Field(default=[], max_length=10000)
    calendars: list[CalendarIn] = Field(default=[], max_length=20)


class ImportView(View):
    """What changed, by kind."""

    organisations: list[str]
    places: list[str]
    calendars: list[str]


# -- decisions ------------------------------------------------------------------------------------


class Sentences(View):
    """The same in two languages."""

    zh: list[str]
    en: list[str]


class CandidateView(View):
    """One body that was looked at, and why it was not competent."""

    organisation: str
    competent: bool
    open_cases: int
    failed: list[str]
    explanation: Sentences


class DecisionView(View):
    """Why a case went where it went."""

    decision_id: UUID = Field(validation_alias=AliasChoices("decision_id", "id"))
    case_id: UUID
    episode: int
    ordinal: int
    kind: Literal["automatic", "override", "settlement"]
    rule_set: str
    chosen: str | None
    runners_up: list[str]
    undecided_reason: str | None
    holder: str
    coordinator: str | None
    ground: str | None
    decided_by: str | None
    overrides: UUID | None
    reasons: Sentences
    inputs: dict[str, Any]
    order_fired: list[str]
    candidates: list[CandidateView]
    decided_at: Wire


class OverrideIn(Body):
    """Send the case elsewhere, with a ground."""

    organisation: Code
    ground: Ground


class RuleSetView(View):
    """A rule set: rules in the order of explanation, then the order of preference."""

    version: str
    rules: list[dict[str, Any]]
    order: list[dict[str, Any]]


class RuleSetsView(View):
    """The rule sets there are."""

    items: list[RuleSetView]


# -- turns ----------------------------------------------------------------------------------------


class AssignmentView(View):
    """One organisation's turn at a case."""

    assignment_id: UUID = Field(validation_alias=AliasChoices("assignment_id", "id"))
    case_id: UUID
    episode: int
    decision_id: UUID
    mediation_id: UUID | None
    organisation: str
    source: str
    ordinal: int
    state: Literal["offered", "accepted", "objected", "recalling", "returned", "ended"]
    returnable: bool
    refusal_kind: Literal["return", "objection"]
    on_silence: str
    accept_by: Wire
    offered_at: Wire
    answered_at: Wire | None
    ended_at: Wire | None
    ended_as: str | None
    ground: str | None
    version: int


class RecallIn(Body):
    """Take a referral back."""

    ground: Ground = "source-withdrew"


class ObjectionDecisionIn(Body):
    """Whether the objection is right: the case goes back, or the body is bound."""

    upheld: bool


class ConferenceIn(Body):
    """One stage of settling who handles a case: agreement, then superior, then conference."""

    case_id: UUID
    stage: Literal["agreement", "superior", "conference"]
    outcome: Literal["lead_named", "no_agreement"]
    lead: Code | None = None
    members: list[Code] = Field(default=[], max_length=50)
    dissent: list[Code] = Field(default=[], max_length=50)
    ground: Ground | None = None


class ConferenceView(View):
    """A recorded stage of a settlement."""

    conference_id: UUID = Field(validation_alias=AliasChoices("conference_id", "id"))
    case_id: UUID
    episode: int
    stage: Literal["agreement", "superior", "conference"]
    outcome: Literal["lead_named", "no_agreement"]
    convened_by: str
    members: list[str]
    dissent: list[str]
    lead: str | None
    binding: bool
    ground: str | None
    decision_id: UUID | None
    recorded_at: Wire


# -- linkages -------------------------------------------------------------------------------------


class LinkageIn(Body):
    """Ask an agency for one thing on a case by a date."""

    case_id: UUID
    kind: Literal["evidence"] = "evidence"
    asked: Code
    items: list[Slug] = Field(
        min_length=1, max_length=20, description="What is asked for, as codes"
    )
    legal_basis: Citation = Field(description="The statute it rests on, as 人民警察法 6")
    answer_by: AwareDatetime | None = None


class LinkageAnswerIn(Body):
    """The answer; papers by their hash."""

    result: Literal["done", "partly", "cannot", "not_mine"]
    ground: Ground | None = None
    documents: list[DocumentRef] = Field(default=[], max_length=50)


class LinkageCancelIn(Body):
    """It is no longer needed."""

    reason: Ground = "not-needed"


class LinkageView(View):
    """One request for help."""

    linkage_id: UUID = Field(validation_alias=AliasChoices("linkage_id", "id"))
    case_id: UUID
    episode: int
    kind: str
    asked_by: str
    asked: str
    items: list[str]
    legal_basis: str
    answer_by: Wire
    state: Literal["requested", "answered", "cancelled"]
    result: str | None
    ground: str | None
    documents: list[DocumentRef]
    requested_at: Wire
    answered_at: Wire | None
    version: int


# -- clocks ---------------------------------------------------------------------------------------


class PauseView(View):
    """When a clock stood still, half-open."""

    ground: str
    paused_at: Wire
    resumed_at: Wire | None
    expected_until: Wire | None


class ClockView(View, Cited):
    """One deadline; in time means before ``due_at``."""

    clock_id: UUID = Field(validation_alias=AliasChoices("clock_id", "id"))
    case_id: UUID
    episode: int
    kind: Literal[
        "acceptance", "term", "confirmation", "ruling", "obligation", "linkage", "settlement"
    ]
    rule_id: str
    subject_id: UUID | None
    n: int | None
    unit: str
    extend_by: str
    exclude: list[str]
    extensions: list[dict[str, Any]]
    on_expiry: str
    started_at: Wire
    original_due_at: Wire
    due_at: Wire
    due_on: date
    projected: bool
    state: Literal["running", "paused", "fired", "stopped"]
    fired_at: Wire | None
    stopped_at: Wire | None
    stop_reason: str | None
    version: int
    pauses: list[PauseView] = []


class PauseIn(Body):
    """Let the clock stand still on a ground that its rule lists."""

    ground: Ground
    paused_at: AwareDatetime | None = None
    expected_until: AwareDatetime | None = None


class ResumeIn(Body):
    """Let the clock run again."""

    resumed_at: AwareDatetime | None = None


class ExtendIn(Body):
    """Make the clock longer; ``agreed_by`` is who agreed, as the rule names them."""

    n: int = Field(ge=1, le=400)
    unit: Unit
    agreed_by: str = Field(min_length=1, max_length=100)


class AdvanceIn(Body):
    """How far to move the clock of a test installation."""

    seconds: int = Field(ge=1, le=10 * 366 * 24 * 3600)


class OffsetView(View):
    """How far the clock of the test installation is ahead."""

    offset_seconds: int
