"""What refusals and checks look like on REST."""

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.notices.schemas import NoticeView
from intake.schemas import Body, Finding, Instant
from services.problem import MEDIA_TYPE, ProblemView


class GoTo(BaseModel):
    """The organ that has the matter, as the directory names it."""

    kind: str | None
    organisation: str | None
    name_zh: str | None
    name_en: str | None
    phone: str | None


class Until(BaseModel):
    """Until when: a day (Asia/Shanghai) and its source, or why there is none."""

    on: str | None
    source: str
    zh: str | None
    en: str | None


class RefusalTold(BaseModel):
    """What a refusal tells; ``matter_id`` when it was registered as a matter instead."""

    refusal_id: UUID | None
    matter_id: UUID | None
    number: str
    ground: str
    citation: str
    go_to: GoTo
    until: Until
    secret: str | None = None


class Route(BaseModel):
    """One of the six exits of 信访工作条例 31, with organ, basis and time limit."""

    number: int
    code: str
    zh: str
    en: str
    citation: str
    go_to: GoTo
    until: Until


class RefusalForeseen(BaseModel):
    """The refusal that sending it would bring; it has no number yet."""

    ground: str
    citation: str
    go_to: GoTo
    until: Until


class CheckedView(BaseModel):
    """What would happen to the referral; nothing was written."""

    accepted: bool
    errors: list[Finding]
    warnings: list[Finding]
    refusal: RefusalForeseen | None
    lawful_route: Route | None


class RefusalView(BaseModel):
    """A refusal on record."""

    refusal_id: UUID
    number: str
    organisation: str
    reference: str | None = Field(description="The sender's own number; for the sender alone")
    lane: str
    place: str
    ground: str
    citation: str
    go_to: GoTo
    until: Until
    state: str
    request_made_at: Instant | None
    received_at: Instant
    due_at: Instant = Field(description="By when the party is told in writing")
    due_source: str
    overdue: bool = Field(description="Nobody has shown that the party was told by then")
    until_over: bool = Field(description="The last day of `until` is over")
    recorded_at: Instant
    notices: list[NoticeView] = []


class RefusalReceipt(BaseModel):
    """What the party needs to follow it; hand it over and keep no copy."""

    number: str
    secret: str


class ReviewBody(Body):
    """What the other desk decides, and why."""

    outcome: Literal["upheld", "overturned"]
    reason: str = Field(min_length=1, max_length=1000)
    occurred_at: AwareDatetime | None = None


class GroundCount(BaseModel):
    """How often a ground was given, by how it stands."""

    ground: str
    state: str
    refusals: int
    overdue: int


class RefusalCounts(BaseModel):
    """Refusals of a time beside the referrals registered in it."""

    since: Instant
    until: Instant
    registered: int
    refusals: int
    overdue: int
    by_ground: list[GroundCount]


def refused_response() -> dict[int | str, dict[str, Any]]:
    """The 422 of an operation whose refusal may be on record, for ``responses=``."""
    ref = "#/components/schemas/{model}"
    problem = ProblemView.model_json_schema(ref_template=ref)
    problem.pop("$defs", None)
    member = RefusalTold.model_json_schema(ref_template=ref)
    parts = member.pop("$defs", {})
    member["properties"]["go_to"] = parts["GoTo"]
    member["properties"]["until"] = parts["Until"]
    problem["properties"]["refusal"] = member
    description = "invalid, idempotency-key-reused, refused"
    return {
        422: {"description": description, "content": {MEDIA_TYPE: {"schema": problem}}},
    }
