"""Capacity by age, what an authority allows, groups and who speaks for them. Pure.

The numbers and citations are ``data/parties.json``; attendance limits are those of the lanes.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.parties.model import Capacity, Doubt, Permission, Representation
from services.events import lanes

DATA_FILE: Final = Path(__file__).parents[1] / "data" / "parties.json"


@lru_cache(1)
def data() -> dict[str, Any]:
    """The rules as data, each with its source."""
    found: dict[str, Any] = json.loads(DATA_FILE.read_text("utf-8"))
    return found


def age(born_on: date, on: date) -> int:
    """Full years on that day; somebody born on 29 February is a year older on 1 March."""
    return on.year - born_on.year - ((on.month, on.day) < (born_on.month, born_on.day))


def capacity(born_on: date | None, on: date, *, own_wages: bool = False) -> Capacity | None:
    """What the law lets a person of that age do alone; ``None`` without a birth date.

    民法典 17-20: none below 8, limited below 18; from 16 on full for who lives on own wages.
    """
    if born_on is None:
        return None
    years, rules = age(born_on, on), data()["capacity"]
    if years < rules["none_below"]["years"]:
        return "none"
    earns = own_wages and years >= rules["own_wages_from"]["years"]
    return "full" if earns or years >= rules["limited_below"]["years"] else "limited"


def capacity_of(party: Mapping[str, Any], born_on: date | None, on: date) -> Capacity | None:
    """By age, or less when the sender says what a court has declared (民法典 24)."""
    found = capacity(born_on, on, own_wages=party.get("own_wages") is True)
    declared = party.get("capacity")
    order: dict[Any, int] = {"none": 0, "limited": 1, "full": 2}
    if declared in ("none", "limited") and order[declared] < order.get(found, 3):
        return "none" if declared == "none" else "limited"
    return found


def doubts(party: Mapping[str, Any], born_on: date | None, on: date) -> Iterator[Doubt]:
    """What should be asked about a party: a guardian, an interpreter's language."""
    if party.get("kind") != "person":
        return
    representative = party.get("representative")
    authority = representative.get("authority") if isinstance(representative, Mapping) else None
    if capacity_of(party, born_on, on) in ("none", "limited") and authority != "statutory":
        yield Doubt("representative", "guardian_missing")
    needs, languages = party.get("needs"), party.get("languages")
    if isinstance(needs, list) and "interpreter" in needs and not languages:
        yield Doubt("languages", "interpreter_language_missing")


# -- what a representative may do ----------------------------------------------------------------


def usual_scopes(authority: str) -> tuple[str, ...]:
    """The scopes of an authority when the paper lists none (民诉法 62: N-19)."""
    return tuple(data()["authorities"][authority]["scopes"])


def scope_faults(authority: str, scopes: Sequence[str]) -> list[str]:
    """Scopes that this authority cannot give: to admit, waive and sign needs more than general."""
    known = data()["authorities"][authority]
    return [scope for scope in scopes if scope not in {*known["scopes"], *known["more"]}]


def permission(found: Representation, act: str, at: datetime, *, person: bool) -> Permission:
    """Whether the representative may do the act at that instant; ``person``: acts for a person.

    A person has a statutory representative only as a ward. A guardian who waives or admits does so
    only for the ward's good (民法典 35: N-12); who has limited capacity signs as well (民法典 19).
    """
    if act not in found.scopes or not found.acts_at(at):
        return Permission(False)
    if found.authority == "statutory" and person:
        if act in data()["ward_acts"]["scopes"]:
            return Permission(True, "guardian_acts_for_ward_only_for_its_good")
        if act in data()["own_consent"]["scopes"]:
            return Permission(True, "ward_must_be_heard")
    if found.authority == "elected" and act in data()["authorities"]["elected"]["more"]:
        return Permission(True, "group_must_consent")
    return Permission(True)


# -- groups --------------------------------------------------------------------------------------


def speakers(lane: str, dispute_type: str) -> int:
    """How many may speak for one side: five, three in a traffic case (R-37, M-14)."""
    return lanes.attendance_limit(lanes.sector(dispute_type) or lane)


def group_doubts(
    parties: Sequence[Mapping[str, Any]], limit: int, dispute_type: str
) -> Iterator[Doubt]:
    """Whether those who were elected may speak for those who elected them."""
    by_ref = {str(party.get("ref")): party for party in parties}
    spoken_for: dict[Any, list[int]] = defaultdict(list)
    chosen: dict[Any, list[str]] = defaultdict(list)
    for number, party in enumerate(parties):
        ref = party.get("represented_by")
        speaker = by_ref.get(ref) if isinstance(ref, str) else None
        if speaker is None:
            continue
        if ref == party.get("ref"):
            yield Doubt("represented_by", "represents_itself", number)
        elif speaker.get("role") != party.get("role"):
            yield Doubt("represented_by", "representative_of_other_side", number)
        elif speaker.get("represented_by"):
            yield Doubt("represented_by", "representative_is_represented", number)
        else:
            side = str(party.get("role"))
            spoken_for[side].append(number)
            if str(ref) not in chosen[side]:
                chosen[side].append(str(ref))
            if len(chosen[side]) > limit:
                yield Doubt("represented_by", "too_many_representatives", number)
    labour = data()["groups"]["labour_from"]
    if dispute_type in labour["dispute_types"]:
        for side, numbers in spoken_for.items():
            if len(numbers) + len(chosen[side]) < labour["people"]:
                yield Doubt("represented_by", "group_below_ten_workers", numbers[0])
