"""What routing reasons about: a case without people, and the bodies that could take it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

# What may never weigh in a choice (design 10); checked when facts are built.
FORBIDDEN_INPUTS: Final = frozenset(
    [
        "channel",
        "petition_count",
        "call_count",
        "party_post",
        "residence",
        "past_outcomes",
        "media_tag",
        "leader_note",
        "first_time",
        "prior_rounds",
        "petitioners",
        "score",
        "colour",
        "label",
        "grade",
    ]
)


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """Everything a decision may look at; a rule sees nothing else."""

    lane: str
    dispute_type: str
    place_chain: tuple[str, ...]
    source: str
    source_kind: str
    own_lane: bool = False
    sector: str | None = None
    party_organisations: frozenset[str] = frozenset()
    returned_by: frozenset[str] = frozenset()
    chose_commercial: bool = False
    own_committee_chosen: str | None = None

    def inputs(self) -> dict[str, Any]:
        """The facts as they are stored with the decision."""
        return {
            item.name: sorted(value) if isinstance(value, frozenset) else value
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """A body that mediates somewhere along the place chain."""

    code: str
    kind: str
    place: str
    name_zh: str = ""
    name_en: str = ""
    dispute_types: frozenset[str] = frozenset()
    lanes: frozenset[str] = frozenset()
    capacity: int | None = None
    open_cases: int = 0
    mediators: int = 0
    active: bool = True
    parent: str | None = None
    established_by: str | None = None

    @property
    def is_sector_committee(self) -> bool:
        """A committee for some kinds of dispute only, not for every dispute of a place."""
        return self.kind == "committee" and "other" not in self.dispute_types


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one candidate: the codes of the rules it fails; none: competent."""

    organisation: str
    failed: tuple[str, ...] = ()
    open_cases: int = 0

    @property
    def competent(self) -> bool:
        """Whether every rule holds."""
        return not self.failed


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of a decision, with what explains it."""

    chosen: str | None
    runners_up: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    order_fired: tuple[str, ...]
    reasons_zh: tuple[str, ...] = field(default=())
    reasons_en: tuple[str, ...] = field(default=())


def refuse_forbidden(names: Iterable[str]) -> None:
    """Raise ``ValueError`` when a name among the inputs may never weigh in a choice."""
    found = FORBIDDEN_INPUTS.intersection(names)
    if found:
        raise ValueError(f"forbidden routing inputs: {', '.join(sorted(found))}")
