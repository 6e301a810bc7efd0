"""What of a dispute is compared: keyed hashes alone, nothing that could be read. Pure."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from functools import cached_property
from typing import Any


class Kind(IntEnum):
    """What a key was made of; the lowest four bits of every key."""

    IDENTITY = 1
    PHONE = 2
    NAME = 3
    NAME_PART = 4
    NUMBER = 5
    AMOUNT = 6
    DAY = 7
    TOWN = 8
    COUNTY_TYPE = 9


@dataclass(frozen=True)
class Person:
    """One party by its hashes; ``half``: the name is known in part only (陈某, 王女士)."""

    role: str
    kind: str
    identity: int | None
    verified: bool
    phone: int | None
    name: int | None
    family: int | None
    half: bool
    grams: frozenset[int]

    def stored(self) -> list[Any]:
        """As it stands in the table."""
        return [
            self.role,
            self.kind,
            self.identity,
            self.verified,
            self.phone,
            self.name,
            self.family,
            self.half,
            sorted(self.grams),
        ]

    @classmethod
    def read(cls, stored: list[Any]) -> "Person":
        """As it was stored."""
        role, kind, identity, verified, phone, name, family, half, grams = stored
        return cls(role, kind, identity, verified, phone, name, family, half, frozenset(grams))


@dataclass(frozen=True)
class Traits:
    """One dispute as it is compared with others; ``guarded``: a party is protected, so nobody
    outside is told even that the file is there."""

    organisation: str
    dispute_type: str
    place: str
    claim_fen: int | None
    occurred_on: date | None
    received_at: datetime
    people: tuple[Person, ...]
    words: frozenset[int]
    figures: frozenset[int]
    keys: frozenset[int]
    guarded: bool

    @cached_property
    def signs(self) -> frozenset[int]:
        """By what people can be known again, each by its whole name or the parts of it."""
        known = (key for p in self.people for key in (p.identity, p.phone, p.name))
        grams = (gram for p in self.people for gram in p.grams)
        return frozenset(key for key in (*known, *grams) if key is not None)

    @cached_property
    def families(self) -> frozenset[int]:
        """The family names."""
        return frozenset(p.family for p in self.people if p.family is not None)

    @cached_property
    def half_families(self) -> frozenset[int]:
        """The family names of those of whom nothing more is known."""
        return frozenset(p.family for p in self.people if p.half and p.family is not None)

    def may_share_people(self, other: "Traits") -> bool:
        """False: nobody of one file can be anybody of the other, by no name for it."""
        return not (
            self.signs.isdisjoint(other.signs)
            and self.half_families.isdisjoint(other.families)
            and other.half_families.isdisjoint(self.families)
        )

    @cached_property
    def named_sides(self) -> frozenset[str]:
        """Applicant and respondent, each when everybody on the side is known by the whole name."""
        unknown = {person.role for person in self.people if person.name is None}
        return frozenset({p.role for p in self.people} - unknown - {"third_party"})


@dataclass(frozen=True)
class Judgement:
    """How likely two files are one dispute: 0 to 100, and what speaks for it, strongest first."""

    score: int
    reasons: tuple[str, ...]
    same_applicant: bool
