"""Who works for an organisation, and what a mediator has declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

MEDIATOR_ROLES: Final = ("mediator", "lead_mediator")
STAFF_ROLES: Final = (
    "desk_clerk",
    "mediator",
    "lead_mediator",
    "liaison_officer",
    "supervisor",
    "judge",
    "police_officer",
    "prosecutor",
    "grid_worker",
    "interpreter",
    "stationed_lawyer",
    "expert",
)
RELATIONS: Final = ("near_relative", "interest", "earlier_role", "employer", "other")


@dataclass(frozen=True)
class Relation:
    """What links a mediator to a party: named by party or by the party's organisation code."""

    kind: str
    party_id: UUID | None = None
    organisation: str | None = None


@dataclass(frozen=True)
class Mediator:
    """The members of the roster that the conflict check needs."""

    id: str
    organisation: str
    role: str
    active: bool
    open_cases: int
    open_case_limit: int | None
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True)
class CaseParty:
    """A party as events tell it: no name."""

    party_id: UUID
    role: str
    kind: str
    organisation: str | None = None

    @classmethod
    def of(cls, value: Mapping[str, object]) -> CaseParty:
        """Read one stored ``parties[]`` member."""
        organisation = value.get("organisation")
        return cls(
            UUID(str(value["party_id"])),
            str(value["role"]),
            str(value["kind"]),
            str(organisation) if organisation else None,
        )


@dataclass(frozen=True)
class Conflict:
    """One declared relation that bars a mediator unless every party waives it."""

    kind: str
    party_id: UUID


@dataclass(frozen=True)
class Appointment:
    """A proposed appointment: what is declared and who waives it."""

    declared: tuple[Relation, ...] = ()
    waived_by: frozenset[UUID] = field(default_factory=frozenset)
