"""Every file of ``samples/bad`` gives exactly what its ``expected.csv`` says, without a server."""

import csv
from typing import Any

import pytest

from intake.strict_json import StrictJsonError, parse
from intake.validation import validate
from services.events import lanes
from tests.intake.world import NOW, SAMPLES, directory

with (SAMPLES / "bad" / "expected.csv").open(encoding="utf-8", newline="") as file:
    EXPECTED = list(csv.DictReader(file))
# What only the database can say.
STATEFUL = {"reference_in_use", "idempotent_repeat"}


def look(name: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Errors and warnings of a file, as (pointer, rule)."""
    try:
        document: Any = parse((SAMPLES / "bad" / name).read_bytes())
    except StrictJsonError as error:
        return [(error.pointer, error.rule)], []
    verdict = validate(document, directory(), lanes.may_send, NOW)
    assert (verdict.referral is None) == bool(verdict.errors)
    return (
        [(error.pointer, error.code) for error in verdict.errors],
        [(warning.pointer, warning.code) for warning in verdict.warnings],
    )


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: row["file"])
def test_a_faulty_referral_is_told_its_one_fault_and_its_place(row: dict[str, str]) -> None:
    errors, warnings = look(row["file"])

    place = (row["json_pointer"], row["rule"])
    if row["outcome"] == "refused" and row["rule"] not in STATEFUL:
        assert errors == [place]
    else:
        assert errors == []
    if row["outcome"] == "accepted_with_warning" or row["rule"] == "unknown_field":
        assert place in warnings


@pytest.mark.parametrize(
    "path", sorted((SAMPLES / "referrals").glob("*.json")), ids=lambda path: path.stem
)
def test_a_canonical_referral_passes_without_a_doubt(path: Any) -> None:
    verdict = validate(parse(path.read_bytes()), directory(), lanes.may_send, NOW)

    assert verdict.errors == ()
    # Eight workers may be spoken for by one; that they elect him the regulation says of ten (M-23).
    assert {warning.code for warning in verdict.warnings} <= {"group_below_ten_workers"}
    assert verdict.referral is not None


def test_every_file_of_the_folder_is_expected() -> None:
    found = {path.name for path in (SAMPLES / "bad").glob("*.json")}

    assert found == {row["file"] for row in EXPECTED}
