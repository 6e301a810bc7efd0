"""Bodies and views of obligations."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from mediation.schemas import ActBody, NextActView, Sha256
from services.events.envelope import Fen, Instant


class PerformanceBody(ActBody):
    """Something was done on an obligation; `amount_fen` less than owed is a part payment."""

    amount_fen: Fen | None = None
    proved_by: Literal["debtor", "creditor", "organisation"]
    proof_sha256: Sha256 | None = None
    waived: Annotated[bool, Field(description="The creditor asks no more")] = False


class BreachBody(ActBody):
    """An obligation was not kept, or the debtor has clearly refused to keep it."""

    declared: Annotated[
        bool, Field(description="The debtor has said that they will not perform (民法典 578)")
    ] = False


class PerformanceView(BaseModel):
    """One performance."""

    amount_fen: int | None
    waived: bool
    proved_by: str
    proof_sha256: str | None
    mandate_id: UUID | None = None
    occurred_at: Instant
    recorded_at: Instant


class ObligationListed(BaseModel):
    """An obligation: ids and amounts, no names."""

    obligation_id: UUID
    agreement_id: UUID
    mediation_id: UUID
    case_id: UUID
    ordinal: int
    kind: str
    debtor: UUID
    creditor: UUID
    amount_fen: int | None
    paid_fen: int
    due_at: Instant | None
    due_on: str | None
    state: str
    overdue: bool
    remedies: list[str]
    performed_at: Instant | None
    breached_at: Instant | None
    breached_mandate_id: UUID | None = None
    next_act: NextActView | None
    version: int


class ObligationView(ObligationListed):
    """An obligation with its performances."""

    performances: list[PerformanceView]
