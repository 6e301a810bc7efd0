"""What matters look like on REST."""

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.gates.schemas import GoTo, Until
from intake.notices.schemas import NoticeView
from intake.schemas import Body, Instant, SubmittedView

MatterKind = Literal["advice", "suggestion", "accusation", "hazard", "handler_complaint"]
_TEXT = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*$"


class PersonBody(Body):
    """Who brings it; left out, it is anonymous and nobody is owed a notice."""

    name: str = Field(min_length=1, max_length=100, pattern=_TEXT)
    phone: str | None = Field(None, max_length=40, pattern=_TEXT)
    address: str | None = Field(None, max_length=300, pattern=_TEXT)


class AboutBody(Body):
    """Whom it is about: a code of the directory, and words for whatever has none."""

    organisation: str | None = Field(None, pattern=r"^[0-9]{6}-[A-Z]{2}-[0-9]{4}$")
    words: str | None = Field(None, min_length=1, max_length=300, pattern=_TEXT)


class MatterBody(Body):
    """A matter as a desk takes it; a place code, or an address in words."""

    kind: MatterKind
    place: str | None = Field(None, pattern=r"^[0-9]{12}$")
    address: str | None = Field(None, min_length=1, max_length=300, pattern=_TEXT)
    channel: Literal["counter", "phone", "letter", "hotline", "grid", "visit", "api"] = "counter"
    title: str = Field(min_length=1, max_length=200, pattern=_TEXT)
    text: str = Field(min_length=1, max_length=5000, pattern=_TEXT)
    person: PersonBody | None = None
    about: AboutBody | None = None
    reference: str | None = Field(None, min_length=1, max_length=100, pattern=_TEXT)
    request_made_at: AwareDatetime | None = None
    received_at: AwareDatetime | None = None


class MatterTaken(BaseModel):
    """The receipt of a matter: number, secret, where it went, until when it is answered."""

    matter_id: UUID
    number: str
    secret: str
    kind: str
    place: str
    request_made_at: Instant
    received_at: Instant
    go_to: GoTo
    citation: str
    until: Until


class StepView(BaseModel):
    """What was done with the matter."""

    step: str
    organisation: str
    to_organisation: str | None
    ground: str | None
    citation: str | None
    text: str | None = None
    occurred_at: Instant
    recorded_at: Instant


class MatterItem(BaseModel):
    """A matter in a list; nothing of what is said in it."""

    matter_id: UUID
    number: str
    kind: str
    organisation: str
    reference: str | None
    place: str
    channel: str
    holder: str | None
    state: str
    adoption: str | None
    case_id: UUID | None
    overdue: bool = Field(description="Not answered, and the last day is over")
    late: bool = Field(description="Answered after the last day")
    request_made_at: Instant
    received_at: Instant
    due_at: Instant
    due_on: str
    due_source: str = Field(description="The article that gives the length, or `site`")
    answered_at: Instant | None
    recorded_at: Instant
    version: int


class MatterView(MatterItem):
    """A matter; ``sent``: whether party and receiver both have a notice, or a task for one."""

    sent: bool | None
    content: dict[str, Any] | None = None
    steps: list[StepView] = []
    notices: list[NoticeView] = []


class KindCount(BaseModel):
    """Matters of one kind, and the length in which they are to be answered."""

    kind: str
    n: int
    unit: str
    source: str
    taken: int
    open: int
    overdue: int
    answered: int
    converted: int
    late: int


class MatterCounts(BaseModel):
    """Matters of a time: overdue ones and late answers beside the others."""

    since: Instant
    until: Instant
    taken: int
    overdue: int
    late: int
    by_kind: list[KindCount]


class TransferBody(Body):
    """To whom, why, on which law."""

    to: str = Field(pattern=r"^[0-9]{6}-[A-Z]{2}-[0-9]{4}$")
    ground: Literal["competent_there", "asked_by_superior", "conflict", "place", "other"]
    citation: str | None = Field(None, max_length=100, pattern=_TEXT)
    occurred_at: AwareDatetime | None = None


class AnswerBody(Body):
    """The answer; of a suggestion also whether it is adopted."""

    text: str = Field(min_length=1, max_length=5000, pattern=_TEXT)
    adoption: Literal["adopted", "partly_adopted", "not_adopted", "under_study"] | None = None
    occurred_at: AwareDatetime | None = None


class ConversionBody(Body):
    """The referral it becomes; its ``request_made_at`` is that of the matter."""

    referral: dict[str, Any]


class ConvertedView(BaseModel):
    """The matter and the case it has become."""

    matter_id: UUID
    number: str
    submitted: SubmittedView


class ReadingStep(BaseModel):
    """A step as the person sees it."""

    what: str
    organisation: str | None
    name_zh: str | None
    occurred_at: Instant
    answer: str | None = None


class ReadingErasure(BaseModel):
    """What became of a request that it be erased."""

    record_erasure_id: UUID
    ground: str
    state: str
    refusal: str | None
    occurred_at: Instant
    decided_at: Instant | None


class ReadingView(BaseModel):
    """What the holder of a receipt that is no case's may see."""

    number: str
    kind: str
    state: str
    adoption: str | None = None
    case_number: str | None = None
    ground: str | None = None
    citation: str
    go_to: GoTo
    until: Until
    request_made_at: Instant | None
    received_at: Instant
    steps: list[ReadingStep] = []
    erasures: list[ReadingErasure] = []
