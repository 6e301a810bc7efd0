"""Values about who acts for whom. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

Capacity = Literal["full", "limited", "none"]
Authority = Literal["special", "general", "statutory", "elected"]
Scope = Literal["apply", "evidence", "choose", "admit", "waive", "sign", "receive"]
SCOPES: Final[tuple[Scope, ...]] = (
    "apply", "evidence", "choose", "admit", "waive", "sign", "receive",
)  # fmt: skip


@dataclass(frozen=True)
class Doubt:
    """A rule that a member of a party is doubtful under; ``number`` is the party's place."""

    member: str
    rule: str
    number: int = 0


@dataclass(frozen=True)
class Permission:
    """Whether a representative may do an act, and what has to be said when it does."""

    allowed: bool
    warning: str | None = None


@dataclass(frozen=True)
class Representation:
    """One person who acts for one party, from when to when, with which scopes."""

    representation_id: UUID
    party_id: UUID
    authority: str
    relation: str
    scopes: tuple[str, ...]
    representative_party_id: UUID | None
    valid_from: datetime
    valid_until: datetime | None
    revoked_at: datetime | None

    def acts_at(self, at: datetime) -> bool:
        """Whether it stands at that instant; an end is exclusive."""
        ends = [end for end in (self.valid_until, self.revoked_at) if end is not None]
        return self.valid_from <= at and all(at < end for end in ends)


def person_of(representative: dict[str, Any]) -> dict[str, Any]:
    """What of a representative is personal and goes sealed."""
    return {
        name: representative[name]
        for name in ("name", "id", "phone")
        if representative.get(name) is not None
    }
