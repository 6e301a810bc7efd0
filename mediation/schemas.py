"""Members that several bodies and views share."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from mediation.next_act import NextAct
from services.events.envelope import Instant
from services.events.sources import Cited

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
StaffId = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class Body(BaseModel):
    """A request body: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ActBody(Body):
    """An act with the time it happened, when that was not now (paper, night, offline)."""

    occurred_at: Annotated[
        Instant | None, Field(description="When it happened; now when left out")
    ] = None


class NextActView(BaseModel):
    """What has to happen next, who owes it, until when."""

    model_config = ConfigDict(from_attributes=True)

    act: str
    owner: str
    due_at: Instant | None = None
    due_on: str | None = None
    overdue: bool = False


def next_act_view(act: NextAct | None) -> dict[str, Any] | None:
    """A next act as a view's member."""
    return vars(act) if act is not None else None


class PartyView(BaseModel):
    """A party as the stream tells it: no name."""

    party_id: UUID
    role: str
    kind: str
    organisation: str | None = None
    left_at: Instant | None = None


class TermView(Cited):
    """One running deadline of the mediation."""

    clock_id: UUID
    rule: str
    due_at: Instant
    due_on: str
    original_due_at: Instant
    projected: bool = False
    paused: str | None = None
    missed_at: Instant | None = None
    stopped: bool = False


def term_views(terms: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The term clocks of a turn, by due instant."""
    views = [{"clock_id": clock, **facts} for clock, facts in terms.items()]
    return sorted(views, key=lambda view: str(view["due_at"]))


class LimitView(BaseModel):
    """A legal length, and when it would end."""

    rule: str
    n: int
    unit: str
    source: str
    certainty: str
    due_at: Instant | None = None
    due_on: str | None = None


class AccessEntry(BaseModel):
    """One opening of a party's data, or one act under its mandate, as the party sees it."""

    at: Instant
    what: str
    organisation: str | None
    purpose: str | None
    mandate_id: UUID | None = None
    chain_number: int | None
