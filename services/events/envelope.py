"""One declaration per event: who emits it, when, and which participants may see it."""

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from services.clock import wire

Audience = Literal["source", "handler", "linked", "supervisor", "connection", "organisation"]
Instant = Annotated[AwareDatetime, PlainSerializer(wire, return_type=str, when_used="json")]
Code = Annotated[str, Field(pattern=r"^[0-9]{6}-[A-Z]{2}-[0-9]{4}$")]
CaseNumber = Annotated[str, Field(pattern=r"^LD[0-9]{4}-[0-9]{6}-[0-9]{7}-[0-9A-Z]$")]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
# A statute and its articles, e.g. 人民警察法 6 or 法释〔2021〕23号 12(3); nothing else fits in.
_ARTICLE = r"[0-9]{1,4}(\([0-9]{1,2}\))?"
Citation = Annotated[
    str,
    Field(
        pattern=r"^[\u4e00-\u9fff]{1,40}(法|条例|规定|规则|办法|解释|〔[0-9]{4}〕[0-9]{1,4}号)"
        rf"( {_ARTICLE}(, {_ARTICLE})*)?$"
    ),
]
Fen = Annotated[int, Field(ge=0, le=10**15)]


class Part(BaseModel):
    """A member of an event's payload; unknown members are ignored when read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Length(Part):
    """A legal length, e.g. 30 day or 3 workday."""

    n: int
    unit: Literal["hour", "day", "workday", "month", "year"]


class Party(Part):
    """A party without a name: id, role, kind, and its code when it is in the directory."""

    party_id: UUID
    role: Literal["applicant", "respondent", "third_party"]
    kind: Literal["person", "organisation"]
    organisation: str | None = None
    party_consent: Literal["given", "unknown", "refused"] = "unknown"


class Event(BaseModel):
    """Base of all case events. Holds no personal data, ever."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    spec: ClassVar["EventSpec"]

    case_id: UUID
    case_number: CaseNumber | None = None


@dataclass(frozen=True)
class EventSpec:
    """What the wire does not carry about an event class."""

    type: str
    owner: str
    audience: tuple[Audience, ...]
    emitted_when: str
    model: "builtins.type[Event]"
    source: str
    personal_data: str = "none"

    @property
    def name(self) -> str:
        """The class name, as documents and code say it."""
        return self.model.__name__


CATALOGUE: dict[str, EventSpec] = {}
E = TypeVar("E", bound=type[Event])


def event(
    type_: str, *, owner: str, audience: tuple[Audience, ...], emitted_when: str, source: str
) -> Callable[[E], E]:
    """Declare an event class; ``source`` names the design section or statute behind it."""

    def register(model: E) -> E:
        spec = EventSpec(type_, owner, audience, emitted_when, model, source)
        if type_ in CATALOGUE:
            raise ValueError(f"event type declared twice: {type_}")
        CATALOGUE[type_] = spec
        model.spec = spec
        return model

    return register


def payload(event_: Event) -> dict[str, Any]:
    """The JSON object that goes on the wire; members that are None are left out."""
    return event_.model_dump(mode="json", exclude_none=True)
