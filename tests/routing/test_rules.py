"""Who is competent: every rule at its boundary, the order, and the sample cases."""

import csv
import json
import random
from dataclasses import fields, replace
from pathlib import Path

import pytest

from routing.candidates import (
    candidate_of,
    common_superior,
    coordinator_of,
    facts_of,
    mediating_bodies,
)
from routing.model import FORBIDDEN_INPUTS, Candidate, CaseFacts, Verdict, refuse_forbidden
from routing.rules import BY_CODE, ORDER, RULES, UNLIFTABLE, choose, explain, judge, rule_set

SAMPLES = Path(__file__).parents[2] / "samples"
VILLAGE, TOWN, COUNTY = "330681109290", "330681109000", "330681000000"


def a_case(**changes: object) -> CaseFacts:
    """A loan between neighbours, sent by a court."""
    facts = CaseFacts(
        lane="court_pre",
        dispute_type="contract",
        place_chain=(VILLAGE, TOWN, COUNTY),
        source="330681-CT-0001",
        source_kind="court",
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # test builder


def a_body(**changes: object) -> Candidate:
    """A competent town committee."""
    body = Candidate(
        code="330681-CM-0017",
        kind="committee",
        place=TOWN,
        dispute_types=frozenset({"contract", "other"}),
        lanes=frozenset({"court_pre", "pm"}),
        capacity=30,
        mediators=1,
    )
    return replace(body, **changes)  # type: ignore[arg-type]  # test builder


def test_a_competent_body_fails_no_rule() -> None:
    assert judge(a_case(), a_body()) == Verdict("330681-CM-0017")


@pytest.mark.parametrize(
    ("chosen", "party", "allowed"),
    [
        ("330681-CM-0017", "330681-PA-0001", True),
        (None, "330681-PA-0001", False),
        ("330681-CM-0018", "330681-PA-0001", False),
        ("330681-CM-0017", "330681-CM-0017", False),
    ],
)
@pytest.mark.parametrize("tie", ["established_by", "parent"])
def test_a_partys_own_committee_mediates_only_when_the_other_side_chose_it(
    chosen: str | None, party: str, allowed: bool, tie: str
) -> None:
    case = facts_of(
        {
            "lane": "court_pre",
            "dispute_type": "contract",
            "source": "330681-CT-0001",
            "parties": [{"organisation": party}, {"organisation": None}],
            "legal_context": {"own_committee_chosen": chosen} if chosen else {},
        },
        place_chain=(VILLAGE, TOWN, COUNTY),
        source_kind="court",
    )

    choice = choose(case, [a_body(**{tie: party})])

    assert (choice.chosen is not None) is allowed
    if not allowed:
        assert choice.verdicts[0].failed == ("no-party-conflict",)
        assert "对方当事人未选择该机构" in explain(choice.verdicts[0])[0]


@pytest.mark.parametrize(
    ("code", "case", "body"),
    [
        ("in-force", {}, {"active": False}),
        ("covers-place", {}, {"place": "330681001000"}),
        ("takes-lane", {"lane": "medical"}, {}),
        ("takes-type", {"dispute_type": "family"}, {}),
        ("has-a-mediator", {}, {"mediators": 0}),
        ("not-the-sender", {"source": "330681-CM-0017"}, {}),
        ("no-party-conflict", {"party_organisations": frozenset({"330681-CM-0017"})}, {}),
        ("no-party-conflict", {"party_organisations": frozenset({"x"})}, {"established_by": "x"}),
        ("no-party-conflict", {"party_organisations": frozenset({"x"})}, {"parent": "x"}),
        ("not-returned-before", {"returned_by": frozenset({"330681-CM-0017"})}, {}),
        ("commercial-by-both", {}, {"kind": "commercial_mediator"}),
        ("within-capacity", {}, {"open_cases": 30}),
        ("within-capacity", {}, {"capacity": None}),
    ],
)
def test_a_body_fails_exactly_the_rule_it_breaks(
    code: str, case: dict[str, object], body: dict[str, object]
) -> None:
    assert judge(a_case(**case), a_body(**body)).failed == (code,)


def test_a_body_one_below_its_capacity_is_still_within_it() -> None:
    assert judge(a_case(), a_body(open_cases=29)).competent


def test_commercial_mediation_excludes_family_even_when_both_chose_it() -> None:
    facts = a_case(dispute_type="family", chose_commercial=True)
    body = a_body(kind="commercial_mediator", dispute_types=frozenset({"family"}))

    assert judge(facts, body).failed == ("commercial-field",)


def test_a_sender_whose_lane_is_its_own_comes_last() -> None:
    facts = a_case(source="330681-CM-0001", own_lane=True)
    own = a_body(code="330681-CM-0001", place=VILLAGE)

    choice = choose(facts, [own, a_body()])

    assert choice.chosen == "330681-CM-0017"
    assert choice.runners_up == ("330681-CM-0001",)
    assert choose(facts, [own]).chosen == "330681-CM-0001"


def test_the_lowest_competent_level_comes_first() -> None:
    village = a_body(code="330681-CM-0030", place=VILLAGE)
    county = a_body(code="330681-CE-0001", kind="centre", place=COUNTY)

    choice = choose(a_case(), [county, a_body(), village])

    assert (choice.chosen, *choice.runners_up) == (
        "330681-CM-0030",
        "330681-CM-0017",
        "330681-CE-0001",
    )
    assert "lowest-level-first" in choice.order_fired


def test_a_sector_committee_comes_before_a_nearer_general_one() -> None:
    sector = a_body(
        code="330681-CM-0004", place=COUNTY, dispute_types=frozenset({"property", "contract"})
    )

    assert choose(a_case(), [sector, a_body()]).chosen == "330681-CM-0017"
    assert choose(a_case(sector="property"), [sector, a_body()]).chosen == "330681-CM-0004"


def test_the_less_loaded_of_two_equals_comes_first() -> None:
    other = a_body(code="330681-CM-0018", open_cases=2)

    assert choose(a_case(), [a_body(open_cases=3), other]).chosen == "330681-CM-0018"
    assert choose(a_case(), [a_body(open_cases=2), other]).chosen == "330681-CM-0017"


def test_nobody_left_is_an_answer_with_a_reason() -> None:
    choice = choose(a_case(), [a_body(mediators=0)])

    assert choice.chosen is None
    assert "coordinator" in choice.reasons_en[0]
    assert "协调机构" in choice.reasons_zh[0]


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    bodies = [a_body(code=f"330681-CM-{n:04}", open_cases=n % 3) for n in range(1, 9)]
    first = choose(a_case(), bodies)

    for seed in range(20):
        random.Random(seed).shuffle(bodies)
        assert choose(a_case(), bodies) == first


@pytest.mark.parametrize("item", [*RULES, *ORDER], ids=lambda item: item.code)
def test_every_rule_has_a_source_and_a_sentence(item: object) -> None:
    assert item.source  # type: ignore[attr-defined]
    assert item.statement.endswith(".")  # type: ignore[attr-defined]


def test_every_refusal_is_explained_in_both_languages() -> None:
    for code in BY_CODE:
        zh, en = explain(Verdict("330681-CM-0017", (code,)))
        assert BY_CODE[code].refusal_zh in zh
        assert BY_CODE[code].refusal_en in en
    assert set(BY_CODE) >= UNLIFTABLE
    assert [item["code"] for item in rule_set()["rules"]] == list(BY_CODE)


def test_forbidden_inputs_are_neither_facts_nor_accepted() -> None:
    assert not {item.name for item in fields(CaseFacts)} & FORBIDDEN_INPUTS
    assert not {item.name for item in fields(Candidate)} & FORBIDDEN_INPUTS
    with pytest.raises(ValueError, match="channel"):
        refuse_forbidden(["lane", "channel"])


# -- the sample county ---------------------------------------------------------------------------


def the_directory() -> tuple[dict[str, dict], dict[str, str]]:
    """Organisations with their mediators counted, and place -> parent."""
    raw = json.loads((SAMPLES / "directory.json").read_text(encoding="utf-8"))
    bodies = {item["code"]: {**item, "mediators": 0} for item in raw["organisations"]}
    for person in raw["staff"]:
        if person["role"] in ("mediator", "lead_mediator"):
            bodies[person["organisation"]]["mediators"] += 1
    with (SAMPLES / "places.csv").open(encoding="utf-8", newline="") as file:
        parents = {row["code"]: row["parent"] for row in csv.DictReader(file)}
    return bodies, parents


def route(name: str, returned_by: tuple[str, ...] = ()) -> tuple[CaseFacts, object]:
    """Decide a sample referral as the service does."""
    referral = json.loads((SAMPLES / "referrals" / name).read_text(encoding="utf-8"))
    bodies, parents = the_directory()
    chain, place = [], referral["place"]
    while place:
        chain.append(place)
        place = parents[place]
    by_uscc = {item["uscc"]: code for code, item in bodies.items() if item["uscc"]}
    case = {
        **{key: referral[key] for key in ("lane", "dispute_type", "legal_context")},
        "source": referral["source"]["organisation"],
        "parties": [
            {"organisation": by_uscc.get((party.get("id") or {}).get("number"))}
            for party in referral["parties"]
        ],
    }
    facts = facts_of(
        case,
        place_chain=chain,
        source_kind=bodies[case["source"]]["kind"],
        returned_by=returned_by,
    )
    index = mediating_bodies(bodies.values())
    return facts, choose(facts, [candidate_of(b) for p in chain for b in index.get(p, ())])


def test_the_loan_case_goes_to_the_subdistrict_committee_then_to_the_county_centre() -> None:
    first = route("court_pre-loan-between-friends.json")[1]
    second = route("court_pre-loan-between-friends.json", ("330681-CM-0007",))[1]

    assert first.chosen == "330681-CM-0007"
    assert second.chosen == "330681-CE-0001"


def test_the_boundary_wall_case_is_never_offered_to_its_sender() -> None:
    returned: tuple[str, ...] = ()
    while (choice := route("police-boundary-wall.json", returned)[1]).chosen:
        assert choice.chosen != "330681-PS-0002"
        returned += (choice.chosen,)
    assert returned[0] == "330681-CM-0017"


@pytest.mark.parametrize(
    "path", sorted((SAMPLES / "referrals").glob("*.json")), ids=lambda p: p.stem
)
def test_every_sample_referral_finds_a_body_or_says_why_not(path: Path) -> None:
    facts, choice = route(path.name)

    assert choice.reasons_zh
    assert choice.reasons_en
    assert choice.chosen != facts.source or facts.own_lane


def test_the_coordinator_is_the_nearest() -> None:
    bodies, _ = the_directory()

    assert coordinator_of(bodies.values(), (VILLAGE, TOWN, COUNTY)) == "330681-GO-0004"
    assert coordinator_of(bodies.values(), (COUNTY,)) == "330681-DP-0008"
    assert coordinator_of(bodies.values(), ()) is None


def test_the_common_superior_of_two_bodies() -> None:
    bodies, _ = the_directory()

    assert common_superior(bodies, ["330681-CM-0007", "330681-CM-0008"]) == "330681-JB-0001"
    assert common_superior(bodies, ["330681-CM-0007", "330681-CE-0001"]) is None
    assert common_superior(bodies, []) is None
