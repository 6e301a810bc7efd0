"""Facts and candidates from the directory copy and a case. Pure: takes plain values only."""

from collections.abc import Iterable, Mapping
from typing import Any

from routing.model import Candidate, CaseFacts, refuse_forbidden
from services.events import lanes

# Keys of legal_context a decision may look at; both say that the two sides chose together.
_BOTH_CHOSE = ("joint_application", "mediation_clause")


def facts_of(
    case: Mapping[str, Any],
    *,
    place_chain: Iterable[str],
    source_kind: str,
    returned_by: Iterable[str] = (),
) -> CaseFacts:
    """The facts of a case a decision may look at; raises ``ValueError`` on a forbidden one."""
    context = case.get("legal_context") or {}
    chose = case["lane"] == "commercial" and any(context.get(name) is True for name in _BOTH_CHOSE)
    facts = CaseFacts(
        lane=case["lane"],
        dispute_type=case["dispute_type"],
        place_chain=tuple(place_chain),
        source=case["source"],
        source_kind=source_kind,
        own_lane=lanes.lane(case["lane"]).own,
        sector=lanes.sector(case["dispute_type"]),
        party_organisations=frozenset(
            party["organisation"] for party in case["parties"] if party.get("organisation")
        ),
        returned_by=frozenset(returned_by),
        chose_commercial=chose,
        own_committee_chosen=context.get("own_committee_chosen"),
    )
    refuse_forbidden(facts.inputs())
    return facts


def candidate_of(value: Mapping[str, Any], open_cases: int = 0, *, today: str = "") -> Candidate:
    """A candidate from an organisation's directory value (``mediators`` is its active count)."""
    in_force = (value.get("valid_from") or "") <= today <= (value.get("valid_to") or "9999")
    return Candidate(
        code=value["code"],
        kind=value["kind"],
        place=value["place"],
        name_zh=value.get("name_zh", ""),
        name_en=value.get("name_en", ""),
        dispute_types=frozenset(value.get("dispute_types") or ()),
        lanes=frozenset(value.get("lanes") or ()),
        capacity=value.get("capacity"),
        open_cases=open_cases,
        mediators=value.get("mediators", 0),
        active=value.get("active", True) and not value.get("successor") and (not today or in_force),
        parent=value.get("parent"),
        established_by=value.get("established_by"),
    )


def mediating_bodies(organisations: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Place -> the bodies there that mediate at all (they state a capacity)."""
    index: dict[str, list[dict[str, Any]]] = {}
    for value in organisations:
        if value.get("capacity") is not None:
            index.setdefault(value["place"], []).append(dict(value))
    return index


def coordinator_of(
    organisations: Iterable[Mapping[str, Any]], place_chain: Iterable[str]
) -> str | None:
    """The body that coordinates nearest to the place: a coordinator, else a convenor."""
    chain = list(place_chain)
    found = [
        (chain.index(value["place"]), role != "coordinator", value["code"])
        for value in organisations
        for role in value.get("roles") or ()
        if role in ("coordinator", "convenor") and value["place"] in chain
    ]
    return min(found)[2] if found else None


def common_superior(
    organisations: Mapping[str, Mapping[str, Any]], bodies: Iterable[str]
) -> str | None:
    """The nearest body above all of ``bodies`` by ``parent``, or ``None`` (信访工作条例 24)."""
    chains = [list(_above(organisations, body)) for body in bodies]
    if not chains:
        return None
    return next((code for code in chains[0] if all(code in chain for chain in chains[1:])), None)


def _above(organisations: Mapping[str, Mapping[str, Any]], code: str) -> Iterable[str]:
    seen: list[str] = []
    parent = (organisations.get(code) or {}).get("parent")
    while parent and parent not in seen:
        seen.append(parent)
        parent = (organisations.get(parent) or {}).get("parent")
    return seen
