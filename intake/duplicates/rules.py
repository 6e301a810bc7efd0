"""How two files are compared: named features, weights and words as data. Pure.

The weights stand in ``data/duplicates.json``, fitted on one half of a labelled set and measured on
the other (docs/duplicates.md). A person decides; the figure only says whom to show to that person.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.duplicates.model import Judgement, Kind, Person, Traits

DATA: Final = Path(__file__).parents[1] / "data" / "duplicates.json"
SIMILAR: Final = 0.4
_VILLAGE, _TOWN, _COUNTY = 12, 9, 6


@dataclass(frozen=True)
class Feature:
    """One thing that speaks for or against; ``zh`` and ``en`` when staff are told of it."""

    weight: float
    zh: str | None
    en: str | None


@dataclass(frozen=True)
class Rules:
    """All that is data."""

    shown: int
    kept: int
    keep_at_most: int
    window_days: int
    bias: float
    features: Mapping[str, Feature]
    most: Mapping[Kind, int]
    kin_types: tuple[frozenset[str], ...]
    legal_forms: tuple[str, ...]
    half_names: tuple[str, ...]
    no_names: frozenset[str]
    double_families: frozenset[str]
    notice_from: int
    notice_not_in_lanes: frozenset[str]
    notice_zh: str
    notice_en: str


def _read(data: Mapping[str, Any]) -> Rules:
    notice = data["already_handled"]
    return Rules(
        data["shown"],
        data["kept"],
        data["keep_at_most"],
        data["window_days"],
        data["bias"],
        {
            name: Feature(each["weight"], each.get("zh"), each.get("en"))
            for name, each in data["features"].items()
        },
        {Kind[name.upper()]: most for name, most in data["candidates_per_key"].items()},
        tuple(frozenset(group) for group in data["kin_types"]),
        tuple(sorted(data["legal_forms"], key=len, reverse=True)),
        tuple(data["half_names"]),
        frozenset(data["no_names"]),
        frozenset(data["double_families"]),
        notice["from_score"],
        frozenset(notice["not_in_lanes"]),
        notice["zh"],
        notice["en"],
    )


RULES: Final = _read(json.loads(DATA.read_text("utf-8")))


# -- people ------------------------------------------------------------------------------------


def likeness(one: Person, other: Person) -> str | None:
    """What two parties have in common, by the strongest name for it; None: nothing."""
    if one.identity is not None and one.identity == other.identity:
        return "identity"
    contradicts = None not in (one.identity, other.identity)
    if one.phone is not None and one.phone == other.phone:
        return "phone"
    if one.name is not None and one.name == other.name:
        return "namesake" if contradicts else "name"
    if one.kind != other.kind:
        return None
    if one.half or other.half:
        fits = one.family is not None and one.family == other.family
        return "half_name" if fits and not contradicts else None
    if dice(one.grams, other.grams) >= SIMILAR:
        return "namesake" if contradicts else "similar_name"
    return None


def dice(one: frozenset[int], other: frozenset[int]) -> float:
    """Twice what is shared over what there is: 0 to 1."""
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0


_STRENGTH: Final = ("identity", "phone", "name", "similar_name", "half_name", "namesake")


def _people(one: Traits, other: Traits) -> tuple[Counter[str], int, bool]:
    """How many parties are alike in which way, each counted once; on how many sides strangers
    stand; and whether the same applicant, by a verified document, asks in both."""
    counts: Counter[str] = Counter()
    if not one.may_share_people(other):
        return counts, len(one.named_sides & other.named_sides), False
    found = sorted(
        (_STRENGTH.index(how), a, b)
        for a, left in enumerate(one.people)
        for b, right in enumerate(other.people)
        if (how := likeness(left, right)) is not None
    )
    if not found:
        return counts, len(one.named_sides & other.named_sides), False
    used_a: set[int] = set()
    used_b: set[int] = set()
    same_applicant = False
    for strength, a, b in found:
        if a in used_a or b in used_b:
            continue
        used_a.add(a)
        used_b.add(b)
        counts[_STRENGTH[strength]] += 1
        left, right = one.people[a], other.people[b]
        same_applicant |= (
            strength == 0
            and left.verified
            and right.verified
            and left.role == right.role == "applicant"
        )
    met = {one.people[n].role for n in used_a} | {other.people[n].role for n in used_b}
    return counts, len((one.named_sides & other.named_sides) - met), same_applicant


# -- the whole ---------------------------------------------------------------------------------


class Telling:
    """How telling each word is among these files: what all of them say says nothing."""

    def __init__(self, everybody: Iterable[Traits]) -> None:
        files = list(everybody)
        counts: Counter[int] = Counter()
        for each in files:
            counts.update(each.words)
        by_count = [0.0, *(math.log((len(files) + 1) / n) for n in range(1, len(files) + 1))]
        self._weight = {word: by_count[count] for word, count in counts.items()}

    def weight(self, words: Iterable[int]) -> float:
        """The sum over these words, all of them of the files."""
        return sum(map(self._weight.__getitem__, words))

    def likeness(self, one: Traits, other: Traits) -> float:
        """Cosine of the words of two texts, weighed: 0 to 1."""
        both = self.weight(one.words) * self.weight(other.words)
        return self.weight(one.words & other.words) / math.sqrt(both) if both else 0.0


def features(one: Traits, other: Traits) -> tuple[dict[str, float], bool]:
    """Every feature that holds but the text's, mostly as 1; and whether the same applicant asks
    in both."""
    counts, strangers, same_applicant = _people(one, other)
    found: dict[str, float] = {}
    for how, count in counts.items():
        for n in range(min(count, 2)):
            found[f"{how}_{n + 1}"] = 1.0
    for n in range(min(strangers, 2)):
        found[f"stranger_{n + 1}"] = 1.0
    if sum(count for how, count in counts.items() if how != "namesake") >= 2:
        found["both_sides"] = 1.0
    if any(key & 15 == Kind.NUMBER for key in one.keys & other.keys):
        found["number"] = 1.0
    found |= _matter(one, other)
    found |= _where_and_when(one, other)
    return found, same_applicant


def _matter(one: Traits, other: Traits) -> dict[str, float]:
    found = {}
    if one.dispute_type == other.dispute_type:
        found["type"] = 1.0
    elif any({one.dispute_type, other.dispute_type} <= group for group in RULES.kin_types):
        found["kin_type"] = 1.0
    if one.claim_fen and other.claim_fen:
        ratio = min(one.claim_fen, other.claim_fen) / max(one.claim_fen, other.claim_fen)
        found["amount" if ratio == 1 else "near_amount" if ratio > 0.8 else "other_amount"] = 1.0
    if shared := len(one.figures & other.figures):
        found["figures"] = min(shared, 3) / 3
    return found


def _where_and_when(one: Traits, other: Traits) -> dict[str, float]:
    found = {}
    shorter = min(len(one.place.rstrip("0")), len(other.place.rstrip("0")))
    if one.place[:_VILLAGE] == other.place[:_VILLAGE] and shorter > _TOWN:
        found["village"] = 1.0
    elif one.place[:_TOWN] == other.place[:_TOWN] and shorter > _COUNTY:
        found["town"] = 1.0
    elif one.place[:_COUNTY] != other.place[:_COUNTY]:
        found["other_county"] = 1.0
    elif shorter > _COUNTY:
        found["other_town"] = 1.0
    if one.occurred_on and other.occurred_on:
        days = abs((one.occurred_on - other.occurred_on).days)
        if days == 0:
            found["day"] = 1.0
        elif days <= 7:
            found["near_day"] = 1.0
        elif days > 60:
            found["other_day"] = 1.0
    apart = abs((one.received_at - other.received_at).total_seconds()) / 86400
    found["apart"] = min(apart / RULES.window_days, 2.0)
    return found


def weigh(found: Mapping[str, float]) -> float:
    """Log odds by the weights."""
    return RULES.bias + sum(RULES.features[name].weight * value for name, value in found.items())


def likely(log_odds: float) -> int:
    """0 to 100 (a logistic curve)."""
    return round(100 / (1 + math.exp(-max(-50.0, min(50.0, log_odds)))))


def judge(one: Traits, other: Traits, telling: Telling) -> Judgement | None:
    """How likely the two files are one dispute, and why; None: not worth keeping."""
    found, same_applicant = features(one, other)
    if likely(weigh(found) + RULES.features["text"].weight) < RULES.kept:
        return None
    found["text"] = telling.likeness(one, other)
    score = likely(weigh(found))
    if score < RULES.kept:
        return None
    speaks = sorted(
        ((RULES.features[name].weight * value, name) for name, value in found.items()),
        reverse=True,
    )
    reasons = [name for gain, name in speaks if gain >= 0.1 and RULES.features[name].zh]
    if one.organisation == other.organisation:
        reasons.insert(0, "repeat")
    return Judgement(score, tuple(reasons), same_applicant)


# What place, day, type, text and a similar amount say together at most, whoever the people are.
_MOST_BESIDE: Final = RULES.bias + sum(
    max(RULES.features[name].weight for name in group)
    for group in (
        ("type", "kin_type"),
        ("near_amount",),
        ("village", "town"),
        ("day", "near_day"),
        ("text",),
    )
)
_TELLING_KEYS_NEEDED: Final = likely(_MOST_BESIDE) < RULES.kept


def _may_be_kept(one: Traits, other: Traits) -> bool:
    """False only where ``judge`` would not keep the pair: nobody alike, no number, no sum and no
    figure in common. Most files of a town are such, and this is told from a few sets."""
    return (
        not _TELLING_KEYS_NEEDED
        or not one.figures.isdisjoint(other.figures)
        or (one.claim_fen is not None and one.claim_fen == other.claim_fen)
        or one.may_share_people(other)
        or any(key & 15 == Kind.NUMBER for key in one.keys & other.keys)
    )


def best(one: Traits, others: Mapping[Any, Traits]) -> list[tuple[Any, Judgement]]:
    """Those that are kept, most likely first."""
    near = [(key, other) for key, other in others.items() if _may_be_kept(one, other)]
    if not near:
        return []
    telling = Telling([one, *others.values()])
    judged = ((key, judge(one, other, telling)) for key, other in near)
    kept = [(key, found) for key, found in judged if found is not None]
    return sorted(kept, key=lambda each: -each[1].score)[: RULES.keep_at_most]


@lru_cache(1)
def words() -> Mapping[str, tuple[str, str]]:
    """What each reason says to staff, in Chinese and English."""
    return {name: (each.zh, each.en or "") for name, each in RULES.features.items() if each.zh}


def most_per_key(keys: Sequence[int]) -> list[int]:
    """How many of the newest files each key may bring."""
    return [RULES.most[Kind(key & 15)] for key in keys]
