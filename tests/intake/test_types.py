"""The type tree: eighteen types, a schema each, and the version of the day of receipt."""

import csv
from datetime import date
from typing import Any

import jsonschema_rs
import pytest

from intake import types
from intake.validation import TYPES_FILE, validate
from services.events import lanes
from tests.intake.world import NOW, directory, referral

TREE: dict[str, Any] = types.in_force(date(2026, 11, 24)) or {}


def test_there_are_eighteen_types_each_with_a_schema_and_a_crosswalk() -> None:
    """checklist 1.26: the 18 types of section 11."""
    with TYPES_FILE.open(encoding="utf-8", newline="") as file:
        level_1 = [row["code"] for row in csv.DictReader(file) if not row["parent"]]

    assert [t["code"] for t in TREE["types"]] == level_1
    assert len(level_1) == 18
    for type_ in TREE["types"]:
        jsonschema_rs.validator_for(type_["schema"])
        assert type_["crosswalk"]["jiangsu_17"]
        assert type_["rules"]


@pytest.mark.parametrize(
    ("details", "found"),
    [
        ({"form": "oral", "signed_on": "2026-01-02"}, set()),
        ({"bride": True}, {("/type_details/bride", "type_detail_unknown")}),
        ({"form": "oral", "bride": {"a": 1}}, {("/type_details/bride", "type_detail_unknown")}),
    ],
)
def test_details_that_the_type_does_not_know_are_kept_with_a_doubt(
    details: dict[str, Any], found: set[tuple[str, str]]
) -> None:
    """checklist 1.26."""
    verdict = validate(referral(type_details=details), directory(), lanes.may_send, NOW)

    assert verdict.referral is not None
    assert {(w.pointer, w.code) for w in verdict.warnings} == found
    assert verdict.referral.document["type_details"] == details


@pytest.mark.parametrize(
    ("details", "at"),
    [
        ({"form": "by handshake"}, ["/type_details/form"]),
        ({"signed_on": "2026-02-30"}, ["/type_details/signed_on"]),
        ({"form": None, "signed_on": 3}, ["/type_details/form", "/type_details/signed_on"]),
        ({"form": "by handshake", "bride": True}, ["/type_details/form"]),
    ],
)
def test_a_detail_that_breaks_the_schema_of_its_type_is_refused_with_its_place(
    details: dict[str, Any], at: list[str]
) -> None:
    """Checklist 1.26: field and rule, never the value."""
    verdict = validate(referral(type_details=details), directory(), lanes.may_send, NOW)

    assert verdict.referral is None
    assert [error.pointer for error in verdict.errors] == at
    assert {error.code for error in verdict.errors} == {"type_detail_differs"}
    assert "handshake" not in str(verdict.errors)


def test_the_same_detail_fits_one_type_and_is_unknown_to_another() -> None:
    """Checklist 1.26: each type has its own schema; one of `other` knows of no form."""
    details = {"form": "by handshake"}
    other = referral(type_details=details, dispute_type="family", dispute_subtype=None)

    verdict = validate(other, directory(), lanes.may_send, NOW)

    assert verdict.referral is not None
    assert "type_detail_unknown" in {w.code for w in verdict.warnings}


def test_a_running_referral_keeps_the_version_of_its_day() -> None:
    """checklist 1.26: a new version begins on its day and changes nothing before it."""
    old = {**TREE, "valid_to": "2026-12-31"}
    new = {**TREE, "version": 2, "valid_from": "2027-01-01"}

    def version(on: date) -> int | None:
        tree = types.in_force(on, [old, new])
        return tree["version"] if tree else None

    assert version(date(2026, 12, 31)) == 1
    assert version(date(2027, 1, 1)) == 2
    assert version(date(1990, 1, 1)) is None


def test_no_detail_takes_free_text() -> None:
    free = [
        (t["code"], name)
        for t in TREE["types"]
        for name, schema in t["schema"]["properties"].items()
        if schema.get("type") == "string" and "format" not in schema
    ]

    assert free == []
