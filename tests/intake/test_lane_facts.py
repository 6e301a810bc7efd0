"""Court, police, letter, superior: facts of a lane that must agree (checklist 1.8, 1.9, 1.20)."""

from typing import Any

import pytest

from intake.legal_context import travelling
from intake.validation import validate
from services.events import lanes
from tests.intake.world import NOW, directory, sample


def found(document: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The codes of errors and warnings."""
    verdict = validate(document, directory(), lanes.may_send, NOW)
    return {e.code for e in verdict.errors}, {w.code for w in verdict.warnings}


def with_context(name: str, **context: Any) -> dict[str, Any]:
    document = sample(name)
    document["legal_context"] |= context
    return document


@pytest.mark.parametrize(
    ("name", "mode", "fits"),
    [
        ("court_pre", "delegate_pre", True),
        ("court_pre", "commission_post", False),
        ("court_post", "commission_post", True),
        ("court_post", "delegate_pre", False),
        ("court_exec", "commission_exec", True),
    ],
)
def test_a_court_delegates_before_filing_and_commissions_after(
    name: str, mode: str, fits: bool
) -> None:
    """checklist 1.8: L-03"""
    errors, _ = found(with_context(name, mode=mode))

    assert ("mode_not_of_lane" in errors) is not fits


def test_consent_has_date_and_form_and_a_party_an_address_for_service() -> None:
    """checklist 1.8"""
    document = sample("court_pre")
    document["parties"][0]["consent"]["form"] = "online"
    document["parties"][0]["service_address"] = "诸暨市样例路1号"

    assert found(document) == (set(), set())
    document["parties"][0]["consent"]["form"] = "telepathy"
    assert found(document)[0] == {"not_in_list"}


@pytest.mark.parametrize(
    ("filed_on", "fault"), [("2026-11-03", False), ("2026-11-02", True), ("2026-11-04", False)]
)
def test_a_case_is_not_filed_before_it_is_accepted(filed_on: str, fault: bool) -> None:
    """checklist 1.9: acceptance and filing dates both"""
    document = with_context("police-", accepted_on="2026-11-03", case_filed_on=filed_on)

    assert ("filed_before_accepted" in found(document)[0]) is fault


def test_a_classification_says_who_decided_when_and_on_what_ground() -> None:
    """checklist 1.9"""
    whole = {
        "classification": "minor_violation",
        "classified_by": "officer-7",
        "classified_at": "2026-11-03T17:00:00+08:00",
        "classification_ground": "邻里琐事",
    }

    assert found(with_context("police-", **whole)) == (set(), set())
    for name in ("classified_by", "classified_at", "classification_ground"):
        partial = {k: v for k, v in whole.items() if k != name}
        assert found(with_context("police-", **partial))[0]


def test_undetermined_is_registered_with_a_warning_and_travels_only_as_its_consequence() -> None:
    """checklist 1.9"""
    context = {
        "classification": "undetermined",
        "classified_by": "officer-7",
        "classified_at": "2026-11-03T17:00:00+08:00",
        "classification_ground": "伤情待鉴定",
    }

    errors, warnings = found(with_context("police-", **context))

    assert errors == set()
    assert "classification_undetermined" in warnings
    assert travelling(context) == {"civil_loss_only": True}
    assert "civil_loss_only" not in travelling({**context, "classification": "civil_only"})


def test_an_appraisal_with_a_result_says_the_result() -> None:
    """checklist 1.9: injury appraisal"""
    missing = found(with_context("police-", injury_appraisal="result"))[1]
    there = found(with_context("police-", injury_appraisal="result", injury_result="轻微伤"))[1]

    assert "injury_result_missing" in missing
    assert "injury_result_missing" not in there


@pytest.mark.parametrize(
    ("posted", "arrived", "fault"),
    [
        ("2026-11-01T10:00:00+08:00", "2026-11-02T10:00:00+08:00", False),
        ("2026-11-02T10:00:00+08:00", "2026-11-02T10:00:00+08:00", False),
        ("2026-11-02T10:00:01+08:00", "2026-11-02T10:00:00+08:00", True),
        ("2026-11-01T10:00:00+08:00", "2026-11-30T10:00:00+08:00", True),
    ],
)
def test_a_letter_is_posted_then_arrives_then_is_entered(
    posted: str, arrived: str, fault: bool
) -> None:
    """checklist 1.20"""
    document = with_context("medical", posted_at=posted, arrived_at=arrived)

    assert ("letter_order" in found(document)[0]) is fault


def test_the_superior_who_assigned_it_is_in_the_directory_and_is_not_the_sender() -> None:
    number = {"assigned_number": "绍转1号", "assigned_on": "2026-11-01"}
    sender = sample("petition")["source"]["organisation"]

    fine = with_context("petition", assigned_by="330600-PO-0001", **number)
    nobody = with_context("petition", assigned_by="330681-PO-9999", **number)
    itself = with_context("petition", assigned_by=sender, **number)
    bare = with_context("petition", assigned_by="330600-PO-0001")

    assert found(fine) == (set(), set())
    assert found(nobody)[0] == {"organisation_unknown"}
    assert found(itself)[0] == {"superior_same"}
    assert found(bare)[0]


def test_parties_may_be_missing_only_where_it_is_said_why_and_never_from_a_court() -> None:
    """checklist 1.22, 1.28"""
    hotline = {**with_context("admin", no_party_yet="hot_transfer"), "parties": []}
    silent = {**sample("admin"), "parties": []}
    court = {**with_context("court_pre", no_party_yet="anonymous"), "parties": []}

    assert found(hotline)[0] == set()
    assert "party_role_missing" in found(silent)[0]
    assert "party_role_missing" in found(court)[0]
