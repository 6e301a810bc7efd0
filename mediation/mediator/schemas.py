"""Bodies and views of the roster."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from mediation.repository import Row
from mediation.schemas import Body, StaffId

RelationKind = Literal["near_relative", "interest", "earlier_role", "employer", "other"]


class RelationBody(Body):
    """A relation to a party of a case, or to an organisation of the directory."""

    kind: RelationKind
    party_id: UUID | None = None
    organisation: Annotated[str | None, Field(pattern=r"^[0-9]{6}-[A-Z]{2}-[0-9]{4}$")] = None

    @model_validator(mode="after")
    def _names_one(self) -> "RelationBody":
        if (self.party_id is None) == (self.organisation is None):
            raise ValueError("name a party or an organisation")
        return self


class MediatorBody(Body):
    """A mediator for the organisation's roster."""

    staff_id: StaffId
    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Literal["mediator", "lead_mediator"] = "mediator"
    employment: Literal["full_time", "part_time", "volunteer", "retired", "seconded"] = "full_time"
    languages: list[Annotated[str, Field(max_length=35)]] = Field(["zh"], max_length=20)
    specialities: list[Annotated[str, Field(max_length=64)]] = Field([], max_length=30)
    open_case_limit: Annotated[int | None, Field(ge=0, le=1000)] = None
    relations: list[RelationBody] = Field([], max_length=100)


class MediatorView(BaseModel):
    """A mediator as the organisation's own people see them."""

    mediator_id: UUID
    staff_id: str
    organisation: str
    name: str
    role: str
    employment: str
    languages: list[str]
    specialities: list[str]
    open_case_limit: int | None
    open_cases: int
    relations: list[dict[str, Any]]
    version: int


def view(row: Row) -> dict[str, Any]:
    """A mediator as they are shown."""
    return {**dict(row), "mediator_id": row["id"]}
