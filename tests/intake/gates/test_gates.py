"""Each legal gate at both sides of its condition; every gate with its citation (checklist 1.7)."""

import copy
import json
import re
from datetime import date
from typing import Any

import pytest

from intake.gates import model
from intake.gates.model import BEFORE, REFUSE, WARN, Facts, gates
from services.events import lanes
from tests.architecture.source import ROOT
from tests.intake.world import sample

KNOWN = re.findall(
    r"^\| ([A-Z]{1,3}-\d{1,2}) \|.*\| ([A-Z])",
    (ROOT / "docs/legal-sources.md").read_text("utf-8"),
    re.MULTILINE,
)
RECEIVED = date(2026, 11, 24)
# Gate -> sample, kind of the sender, what makes it hold, the step to the other side.
SIDES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "gate_n_01": (
        "pm-",
        "centre",
        {"legal_context/reserved_to": "arbitration"},
        {"legal_context/reserved_to": None},
    ),
    "gate_n_02": (
        "pm-",
        "centre",
        {"legal_context/accepted_by": "court"},
        {"legal_context/entrusted_by": "330681-CT-0001"},
    ),
    "gate_m_01_court": (
        "medical",
        "centre",
        {"legal_context/suit_filed": True},
        {"legal_context/suit_filed": False},
    ),
    "gate_m_01_health": (
        "medical",
        "centre",
        {"legal_context/health_authority_accepted": True},
        {"legal_context/health_authority_accepted": False},
    ),
    "gate_m_26_pending": (
        "consumer",
        "department",
        {"legal_context/other_body_handling": True},
        {"legal_context/other_body_handling": False},
    ),
    "gate_m_26_before": ("consumer", "department", {}, {"legal_context/regulator_accepted": True}),
    "gate_m_31": ("commercial", "centre", {"dispute_type": "family"}, {"dispute_type": "business"}),
    "gate_n_03": (
        "pm-",
        "centre",
        {"legal_context/status_question": "parentage"},
        {"legal_context/status_question": None},
    ),
    "gate_n_05": (
        "police-",
        "police",
        {"legal_context/classification": "suspected_crime"},
        {"legal_context/classification": "undetermined"},
    ),
    "gate_p_02_act": (
        "police-",
        "police",
        {"legal_context/act": "other"},
        {"legal_context/act": "trespass"},
    ),
    "gate_p_02_minor": (
        "police-",
        "police",
        {"legal_context/circumstances": "not_minor"},
        {"legal_context/circumstances": "minor"},
    ),
    "gate_p_02_ground": (
        "police-",
        "police",
        {"legal_context/folk_ground": "none"},
        {"legal_context/folk_ground": "neighbour"},
    ),
    "gate_p_03": (
        "police-",
        "police",
        {"legal_context/classification": "civil_only"},
        {"legal_context/classification": "minor_violation"},
    ),
    "gate_f_12": (
        "petition",
        "petition_office",
        {"legal_context/same_matter_due_on": "2026-11-24"},
        {"legal_context/same_matter_due_on": "2026-11-23"},
    ),
    **{
        f"gate_p_05_{name}": (
            "police-",
            "police",
            {"legal_context/excluded_grounds": [ground]},
            {"legal_context/excluded_grounds": []},
        )
        for name, ground in {
            "hired_harm": "hired_harm",
            "gang_fight": "gang_fight",
            "repeated": "repeated_violations",
            "refusal": "party_refuses",
            "new_violation": "new_violation",
            "flight": "ran_away",
            "unfit": "otherwise_unfit",
        }.items()
    },
    **{
        f"route_{name}": (
            "petition",
            "petition_office",
            {"legal_context/lawful_route": route},
            {"legal_context/mediation_chosen": True},
        )
        for name, route in {
            "judicial": "judicial",
            "arbitration": "arbitration",
            "party_appeal": "party_appeal",
            "administrative": "administrative_procedure",
            "enforcement": "enforcement_request",
        }.items()
    },
    "route_petition_opinion": (
        "petition",
        "petition_office",
        {"legal_context/lawful_route": "petition_opinion"},
        {"legal_context/lawful_route": "judicial"},
    ),
}


def put(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The document with members set by path."""
    made = copy.deepcopy(document)
    for path, value in changes.items():
        *above, name = path.split("/")
        node = made
        for step in above:
            node = node[step]
        node[name] = value
    return made


def holding(document: dict[str, Any], kind: str) -> set[str]:
    """The codes of the gates that hold."""
    facts = Facts(document, kind, RECEIVED)
    return {gate.code for gate in gates() if gate.holds(facts)}


@pytest.mark.parametrize("code", [gate.code for gate in gates()])
def test_a_gate_holds_on_one_side_of_its_condition_and_not_on_the_other(code: str) -> None:
    """checklist 1.7, and 1.6 for the six lawful routes"""
    name, kind, inside, step = SIDES[code]
    within = put(sample(name), inside)

    assert code in holding(within, kind)
    assert code not in holding(put(within, step), kind)


@pytest.mark.parametrize(
    "name", ["court_pre", "medical", "petition", "police-", "police_civil", "commercial", "pm-"]
)
def test_an_ordinary_referral_meets_no_gate(name: str) -> None:
    document = sample(name)
    kinds = {"CT": "court", "DP": "department", "PO": "petition_office", "PS": "police"}
    kind = kinds.get(document["source"]["organisation"][7:9], "centre")

    assert holding(document, kind) == set()


@pytest.mark.parametrize(
    ("accepted_by", "kind"),
    [("court", "court"), ("police", "police"), ("administration", "government")],
)
def test_the_organ_that_accepted_a_matter_may_send_it_itself(accepted_by: str, kind: str) -> None:
    """checklist 1.7: N-02, unless that organ entrusts it"""
    document = put(sample("pm-"), {"legal_context/accepted_by": accepted_by})

    assert "gate_n_02" not in holding(document, kind)
    assert "gate_n_02" in holding(document, "hotline")


def test_every_gate_has_its_law_and_none_that_is_unverified_refuses() -> None:
    certainty = dict(KNOWN)

    assert [g.code for g in gates() if g.rule not in certainty] == []
    assert [g.code for g in gates() if g.effect == REFUSE and certainty[g.rule] == "M"] == []
    assert {g.certainty for g in gates() if g.certainty != certainty[g.rule]} == set()
    assert {g.effect for g in gates()} == {REFUSE, WARN, BEFORE}
    assert sorted(g.route for g in gates() if g.route) == [1, 2, 3, 4, 5, 6]


def test_every_member_a_gate_looks_at_is_in_the_schema() -> None:
    schema = json.loads((ROOT / "intake/data/referral.schema.json").read_text("utf-8"))
    known = {f"/{name}" for name in schema["properties"]}
    context = schema["properties"]["legal_context"]["properties"]
    known |= {f"/legal_context/{name}" for name in context}
    # Free keys of the lanes, as samples/README.md lists them.
    known |= {
        f"/legal_context/{name}"
        for name in (
            "suit_filed",
            "health_authority_accepted",
            "regulator_accepted",
            "other_body_handling",
            "excluded_grounds",
        )
    }
    text = model.FILE.read_text("utf-8")

    assert set(re.findall(r'"at": "(/[a-z_/]+)"', text)) - known == set()
    assert set(re.findall(r'"pointer": "(/[a-z_/]+)"', text)) - known == set()


@pytest.mark.parametrize("code", SIDES)
def test_a_gate_that_is_not_asked_in_a_lane_would_not_have_held_there(code: str) -> None:
    """checklist 1.7: asked by lane, the gates say what they say when all of them are asked"""
    name, kind, inside, step = SIDES[code]
    for lane in (*lanes.LANES, "not_listed"):
        for members in (inside, {**inside, **step}):
            document = put(sample(name), {**members, "lane": lane})
            facts = Facts(document, kind, RECEIVED)
            held = [gate for gate in gates() if gate.holds(facts)]

            barring = next((gate for gate in held if gate.effect == REFUSE), None)
            assert model.refusing(facts) == barring, lane
            told = [g.finding() for effect in (WARN, BEFORE) for g in held if g.effect == effect]
            assert model.doubts(facts, before=True) == told, lane


def test_a_condition_nobody_knows_stops_the_start() -> None:
    with pytest.raises(ValueError, match="no such test"):
        model.compiled({"at": "/lane", "resembles": "x"})
