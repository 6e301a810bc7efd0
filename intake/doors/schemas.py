"""What a desk's doors take and show."""

from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.schemas import Body, Instant, SubmittedView

_LINE = r"^[^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*$"
_TEXT = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*$"
_CODE = r"^[0-9]{6}-[A-Z]{2}-[0-9]{4}$"
_STAFF = r"^[A-Za-z0-9-]{1,64}$"


class SomebodyBody(Body):
    """A party as far as it is known; the rest comes by correction."""

    name: str = Field(min_length=1, max_length=100, pattern=_LINE)
    kind: Literal["person", "organisation"] = "person"
    phone: str | None = Field(None, min_length=1, max_length=40, pattern=_LINE)
    address: str | None = Field(None, min_length=1, max_length=300, pattern=_LINE)
    id: dict[str, Any] | None = None
    consent: Literal["given", "unknown", "refused"] | None = Field(
        None, description="To mediation, as it said to the desk on the day of receipt"
    )


class LateBody(Body):
    """Why it is entered only now, and who else stands for it."""

    reason: str = Field(min_length=1, max_length=500, pattern=_TEXT)
    second_person: str = Field(pattern=_STAFF, description="Staff id, not that of who enters it")
    paper_number: str | None = Field(None, min_length=1, max_length=100, pattern=_LINE)


class LetterBody(Body):
    """A letter: posting in time is in time (T-07)."""

    posted_at: AwareDatetime
    arrived_at: AwareDatetime
    number: str = Field(min_length=1, max_length=100, pattern=_LINE)


class SuperiorBody(Body):
    """Who above assigned it, under which number, on which day."""

    organisation: str = Field(pattern=_CODE)
    number: str = Field(min_length=1, max_length=100, pattern=_LINE)
    on: date


class ScanBody(Body):
    """A scan by its hash; the bytes travel apart."""

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^/\\\u0000-\u001f\u007f]+$")
    media_type: str = Field(pattern=r"^[a-z]+/[a-z0-9.+-]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=1)


class MandateBody(Body):
    """Who files for a party (代办), since when, in which form."""

    party_ref: str = Field("p1", pattern=r"^p[1-9][0-9]{0,3}$")
    agent_name: str = Field(min_length=1, max_length=100, pattern=_LINE)
    agent_phone: str | None = Field(None, min_length=1, max_length=40, pattern=_LINE)
    form: Literal["written", "oral_recorded"]
    given_at: AwareDatetime | None = None


class ConcernBody(Body):
    """What must be known before people are put into one room, and who says so."""

    kind: Literal[
        "threat_of_violence",
        "domestic_violence",
        "protection_order",
        "minors_involved",
        "self_harm_risk",
        "threat_to_property",
        "group_escalation",
    ]
    reported_by: Literal["source", "party", "other"]


class CounterBody(Body):
    """The quick form: who, whom, what, where; everything else later, by correction."""

    kind: Literal[
        "dispute", "advice", "suggestion", "accusation", "hazard", "handler_complaint"
    ] = "dispute"
    who: SomebodyBody | None = None
    whom: SomebodyBody | None = None
    text: str = Field(min_length=1, max_length=5000, pattern=_TEXT)
    title: str | None = Field(None, min_length=1, max_length=200, pattern=_LINE)
    place: str | None = Field(None, pattern=r"^[0-9]{12}([0-9]{3})?$")
    address: str | None = Field(None, min_length=1, max_length=300, pattern=_LINE)
    channel: Literal["counter", "phone", "letter", "hotline", "grid", "visit"] = "counter"
    reference: str | None = Field(None, min_length=1, max_length=100, pattern=_LINE)
    lane: str | None = Field(None, pattern=r"^[a-z_]{1,32}$")
    dispute_type: str = Field("other", pattern=r"^[a-z_]{1,32}$")
    claims: list[str] = Field(default=[], max_length=50)
    claim_fen: int | None = Field(None, ge=0, le=10**15)
    occurred_at: AwareDatetime | None = Field(None, description="When it happened")
    received_at: AwareDatetime | None = Field(
        None, description="When the desk had it; earlier than today only with `late`"
    )
    request_made_at: AwareDatetime | None = None
    no_party_yet: Literal["hot_transfer", "finding", "anonymous"] | None = None
    proactive: bool = False
    late: LateBody | None = None
    letter: LetterBody | None = None
    assigned_from_above: SuperiorBody | None = None
    scans: list[ScanBody] = Field(default=[], max_length=50)
    on_behalf: MandateBody | None = None
    finding_id: UUID | None = None
    concerns: list[ConcernBody] = Field(default=[], max_length=50)
    legal_context: dict[str, Any] = Field(
        default={}, description="Facts of the lane, e.g. the officer's classification"
    )


class OverdueView(BaseModel):
    """A period that was over already when the matter was entered: it counts as late."""

    rule: str
    citation: str
    due_at: Instant
    due_on: str
    certainty: str = Field(description="`site`: no law gives the length")


class CounterView(BaseModel):
    """The registered matter, where it was put, and what is over already."""

    submitted: SubmittedView
    place: str
    county_desk: bool
    late: bool
    overdue: list[OverdueView]
    mandate_id: UUID | None


class CounterCounts(BaseModel):
    """Entries of a time; late and overdue ones beside them."""

    since: Instant
    until: Instant
    entries: int
    late: int
    overdue: int


class SupplementBody(Body):
    """What is added, or that somebody called again."""

    kind: Literal["supplement", "repeat_call"]
    text: str | None = Field(None, min_length=1, max_length=5000, pattern=_TEXT)
    reference: str | None = Field(None, min_length=1, max_length=100, pattern=_LINE)
    mandate_id: UUID | None = None
    received_at: AwareDatetime | None = None


class SupplementView(BaseModel):
    """Something attached to a case; ``text`` only for a purpose."""

    supplement_id: UUID
    case_id: UUID
    organisation: str
    kind: str
    reference: str | None
    mandate_id: UUID | None
    text: str | None = None
    received_at: Instant
    recorded_at: Instant


class MandateView(BaseModel):
    """A mandate; the agent's name is in the party's own view alone."""

    mandate_id: UUID
    case_id: UUID
    party_id: UUID
    organisation: str
    form: str
    agent: dict[str, Any] | None = None
    given_at: Instant
    revoked_at: Instant | None
    revoked_told_by: str | None
    recorded_at: Instant
