"""Bodies and views of the queue."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from mediation.next_act import of_assignment
from mediation.queue.rules import RETURN_GROUNDS
from mediation.repository import Row
from mediation.schemas import (
    ActBody,
    Body,
    LimitView,
    NextActView,
    TermView,
    next_act_view,
    term_views,
)
from services.events.envelope import Instant

State = Literal["offered", "objected", "accepted", "returned", "ended"]


class AcceptBody(ActBody):
    """Accept an offer."""


class RefusalBody(Body):
    """Return an offer, or object to it, on a ground of the closed list."""

    ground: Annotated[
        str,
        Field(
            max_length=64,
            description="One of: "
            + "; ".join(f"`{g.code}` {g.zh} ({g.source})" for g in RETURN_GROUNDS.values()),
        ),
    ]
    note: Annotated[
        str | None, Field(max_length=2000, description="Evidence; kept encrypted, never sent on")
    ] = None


class QueueItemView(BaseModel):
    """One turn of an organisation at a case."""

    assignment_id: UUID
    case_id: UUID
    case_number: str | None
    episode: int
    ordinal: int
    organisation: str
    source_organisation: str
    lane: str
    sector: str | None
    dispute_type: str
    dispute_subtype: str | None
    place: str
    claim_fen: int | None
    state: State
    basis: str | None
    returnable: bool
    refusal_kind: str
    on_silence: str
    preferred_mode: str | None
    documents: list[dict[str, Any]]
    rules: list[str]
    decision_id: UUID
    offered_at: Instant
    accept_by: Instant
    accepted_at: Instant | None
    ground: str | None
    end: str | None
    outcome: str | None
    ended_at: Instant | None
    mediation_id: UUID | None
    due_at: Instant
    terms: list[TermView]
    term_missed: bool
    next_act: NextActView | None
    term_starts: Annotated[
        LimitView | None, Field(description="The lane's term, told when it is accepted")
    ] = None
    version: int


class CountView(BaseModel):
    """How many items of one state and lane."""

    state: str
    lane: str
    items: int
    overdue: int
    oldest_due_at: Instant | None


class CountsView(BaseModel):
    """An organisation's open items, and the same again in total."""

    organisation: str
    total: int
    overdue: int
    counts: list[CountView]


def view(row: Row, **more: Any) -> dict[str, Any]:
    """A queue item as it is shown."""
    terms = term_views(row["terms"])
    return {
        **dict(row),
        "terms": terms,
        "term_missed": any(t.get("missed_at") and not t.get("stopped") for t in terms),
        "next_act": next_act_view(of_assignment(dict(row))),
        **more,
    }
