"""Capacity by age, authority and its scopes, groups: at the boundary and one step either side."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from intake.corrections import waived
from intake.parties import rules
from intake.parties.model import Representation
from intake.validation import validate
from services.events import lanes
from tests.intake.world import NOW, directory, referral

ON = date(2026, 11, 24)
AT = datetime(2026, 11, 24, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("born_on", "own_wages", "expected"),
    [
        (date(2018, 11, 25), False, "none"),
        (date(2018, 11, 24), False, "limited"),
        (date(2018, 11, 23), False, "limited"),
        (date(2010, 11, 25), True, "limited"),
        (date(2010, 11, 24), True, "full"),
        (date(2010, 11, 24), False, "limited"),
        (date(2008, 11, 25), False, "limited"),
        (date(2008, 11, 24), False, "full"),
        (None, False, None),
    ],
)
def test_capacity_changes_on_the_birthday(
    born_on: date | None, own_wages: bool, expected: str | None
) -> None:
    """checklist 1.10: below 8, 8 to 17, 18; from 16 on own wages (P-06, N-11)."""
    assert rules.capacity(born_on, ON, own_wages=own_wages) == expected


@pytest.mark.parametrize(("on", "years"), [(date(2025, 2, 28), 0), (date(2025, 3, 1), 1)])
def test_who_was_born_on_a_leap_day_is_older_on_the_first_of_march(on: date, years: int) -> None:
    assert rules.age(date(2024, 2, 29), on) == years


@pytest.mark.parametrize(
    ("declared", "expected"), [("none", "none"), ("limited", "limited"), ("full", "full")]
)
def test_a_court_may_have_declared_less_but_never_more(declared: str, expected: str) -> None:
    adult, child = date(1990, 1, 1), date(2020, 1, 1)

    assert rules.capacity_of({"capacity": declared}, adult, ON) == expected
    assert rules.capacity_of({"capacity": declared}, child, ON) == "none"


def standing(authority: str, *scopes: str, **more: Any) -> Representation:
    """A representation from yesterday on."""
    return Representation(
        uuid4(),
        uuid4(),
        authority,
        "other",
        scopes or rules.usual_scopes(authority),
        None,
        AT - timedelta(days=1),
        more.get("valid_until"),
        more.get("revoked_at"),
    )


@pytest.mark.parametrize(
    ("authority", "act", "allowed", "warning"),
    [
        ("general", "evidence", True, None),
        ("general", "waive", False, None),
        ("general", "sign", False, None),
        ("special", "waive", True, None),
        ("statutory", "waive", True, "guardian_acts_for_ward_only_for_its_good"),
        ("statutory", "admit", True, "guardian_acts_for_ward_only_for_its_good"),
        ("statutory", "sign", True, "ward_must_be_heard"),
        ("statutory", "evidence", True, None),
        ("elected", "waive", False, None),
    ],
)
def test_an_act_needs_the_authority_for_it(
    authority: str, act: str, allowed: bool, warning: str | None
) -> None:
    """checklist 1.10: scopes (N-19); a guardian who waives warns (N-12)."""
    answer = rules.permission(standing(authority), act, AT, person=True)

    assert (answer.allowed, answer.warning) == (allowed, warning)


def test_the_manager_of_a_company_waives_without_a_warning() -> None:
    assert rules.permission(standing("statutory"), "waive", AT, person=False).warning is None


def test_who_was_elected_settles_only_with_each_ones_consent() -> None:
    found = standing("elected", "waive")

    assert rules.permission(found, "waive", AT, person=True).warning == "group_must_consent"


@pytest.mark.parametrize("end", ["valid_until", "revoked_at"])
def test_an_authority_ends_at_its_instant(end: str) -> None:
    """checklist 1.10: revocation takes effect at once."""
    found = replace(standing("special"), **{end: AT})

    assert not rules.permission(found, "sign", AT, person=True).allowed
    assert rules.permission(found, "sign", AT - timedelta(microseconds=1), person=True).allowed


def test_general_authority_cannot_be_widened_by_a_list() -> None:
    assert rules.scope_faults("general", ["evidence", "waive", "sign"]) == ["waive", "sign"]
    assert rules.scope_faults("special", ["waive"]) == []


def group(*elected: str | None, role: str = "applicant") -> list[dict[str, Any]]:
    """p1, p2 … of one side, each spoken for by the named one."""
    return [
        {"ref": f"p{n}", "role": role, **({"represented_by": by} if by else {})}
        for n, by in enumerate(elected, 1)
    ]


@pytest.mark.parametrize(("limit", "extra"), [(5, 0), (5, 1), (3, 0), (3, 1)])
def test_so_many_speak_for_one_side_and_no_more(limit: int, extra: int) -> None:
    """checklist 1.15: five; three in traffic (R-37, M-14)."""
    people = [*group(*[None] * (limit + extra))]
    people += [
        {"ref": f"p{100 + n}", "role": "applicant", "represented_by": f"p{n + 1}"}
        for n in range(limit + extra)
    ]

    found = [d.rule for d in rules.group_doubts(people, limit, "tort")]

    assert found == ["too_many_representatives"] * extra


def test_five_speak_but_three_in_a_traffic_case() -> None:
    """checklist 1.15 (M-14)."""
    assert rules.speakers("police", "neighbor") == 5
    assert rules.speakers("police", "traffic") == 3


@pytest.mark.parametrize(("people", "doubted"), [(9, True), (10, False)])
def test_in_labour_cases_ten_or_more_elect(people: int, doubted: bool) -> None:
    """checklist 1.15 (M-23)."""
    workers = group(None, *["p1"] * (people - 1))

    rules_ = {d.rule for d in rules.group_doubts(workers, 5, "wage")}

    assert ("group_below_ten_workers" in rules_) is doubted


def test_nobody_is_elected_by_the_other_side_or_by_who_is_spoken_for() -> None:
    people = [
        *group("p1", "p1", "p2"),
        {"ref": "p9", "role": "respondent", "represented_by": "p1"},
    ]

    found = [(d.number, d.rule) for d in rules.group_doubts(people, 5, "tort")]

    assert found == [
        (0, "represents_itself"),
        (1, "representative_is_represented"),
        (2, "representative_is_represented"),
        (3, "representative_of_other_side"),
    ]


@pytest.mark.parametrize(
    ("party", "rule"),
    [
        ({"kind": "person"}, "guardian_missing"),
        ({"kind": "person", "representative": {"authority": "special"}}, "guardian_missing"),
        ({"kind": "person", "representative": {"authority": "statutory"}}, None),
        ({"kind": "organisation"}, None),
    ],
)
def test_a_minor_without_a_guardian_is_doubted(party: dict[str, Any], rule: str | None) -> None:
    found = [d.rule for d in rules.doubts(party, date(2015, 1, 1), ON)]

    assert found == ([rule] if rule else [])


def test_who_needs_an_interpreter_says_for_which_language() -> None:
    party = {"kind": "person", "needs": ["interpreter"]}

    assert [d.rule for d in rules.doubts(party, None, ON)] == ["interpreter_language_missing"]
    assert not list(rules.doubts({**party, "languages": ["ug"]}, None, ON))


def test_every_number_of_the_rules_has_its_source() -> None:
    def objects(node: Any) -> list[dict[str, Any]]:
        if not isinstance(node, dict):
            return []
        return [node, *(inner for value in node.values() for inner in objects(value))]

    numbers = [o for o in objects(rules.data()) if {"years", "people", "scopes"} & set(o)]

    assert [o for o in numbers if o is not rules.data() and not o.get("source")] == []


@pytest.mark.parametrize(
    ("claim_fen", "authority", "warned"),
    [
        (4_199_999, "statutory", True),
        (None, "statutory", True),
        (4_200_000, "statutory", False),
        (1, "special", False),
    ],
)
def test_a_correction_that_lowers_a_wards_claim_warns(
    claim_fen: int | None, authority: str, warned: bool
) -> None:
    """checklist 1.10 (N-12)."""
    before = {**referral(), "claim_fen": 4_200_000}
    after = referral(claim_fen=claim_fen)
    after["parties"][0]["representative"] = {
        "name": "监护样",
        "relation": "guardian",
        "authority": authority,
    }
    facts = validate(after, directory(), lanes.may_send, NOW).referral
    assert facts is not None

    found = [warning.code for warning in waived(before, facts)]

    assert found == (["guardian_acts_for_ward_only_for_its_good"] if warned else [])
