"""Retention classes and what stands against an erasure: at the boundary and beside it."""

from datetime import UTC, datetime, timedelta

import pytest

from intake.rights import rules
from intake.rights.erasing import ERASED_NAME, without
from services.calendar import shipped
from tests.intake.world import referral

CLOSED = datetime(2026, 11, 24, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("type_", "class_", "years"),
    [("contract", "short", 10), ("land", "long", 30), ("demolition", "long", 30)],
)
def test_a_file_is_kept_by_its_class_from_closing_on(type_: str, class_: str, years: int) -> None:
    """checklist 1.30 (D-16)."""
    found = rules.keep(rules.class_of(type_), CLOSED, shipped())

    assert found.class_ == class_
    assert found.keep_until is not None
    late = found.keep_until - CLOSED.replace(year=CLOSED.year + years)
    assert timedelta(0) < late < timedelta(days=9)


def test_a_permanent_file_has_no_end() -> None:
    assert rules.keep("permanent", CLOSED, shipped()).keep_until is None


@pytest.mark.parametrize(
    ("ground", "held", "open_", "after", "bar"),
    [
        ("term_ended", False, False, timedelta(0), None),
        ("term_ended", False, False, timedelta(microseconds=-1), "must_be_kept"),
        ("term_ended", True, False, timedelta(days=1), "legal_hold"),
        ("consent_withdrawn", False, True, timedelta(days=1), "case_open"),
        ("consent_withdrawn", False, False, timedelta(days=-1), "must_be_kept"),
        ("unlawful", False, True, timedelta(days=-1), None),
        ("unlawful", True, True, timedelta(days=-1), "legal_hold"),
        ("wrong_person", False, True, timedelta(days=-1), None),
    ],
)
def test_what_stands_against_an_erasure(
    ground: str, held: bool, open_: bool, after: timedelta, bar: str | None
) -> None:
    """checklist 1.30: legal hold; kept as long as the class says (个人信息保护法 47)."""
    until = datetime(2036, 11, 25, tzinfo=UTC)

    found = rules.bar(ground, held=held, open_=open_, keep_until=until, now=until + after)

    assert found == bar


def test_a_permanent_file_is_never_erased_for_its_age() -> None:
    now = datetime(2999, 1, 1, tzinfo=UTC)

    assert rules.bar("term_ended", held=False, open_=False, keep_until=None, now=now) == (
        "must_be_kept"
    )


def test_every_length_and_ground_has_its_source() -> None:
    data = rules.data()
    groups = [*data["classes"].values(), *data["parts"].values(), *data["grounds"].values()]

    assert [item for item in groups if not item["source"] or not item["certainty"]] == []
    assert data["consents"]["longest"]["source"]


def test_a_party_is_left_in_its_role_without_a_name() -> None:
    document = referral()

    left = without(document, {"p1"})

    first, second = left["parties"][:2]
    assert set(first) == {"ref", "role", "kind", "consent", "name"}
    assert first["name"] == ERASED_NAME
    assert second == document["parties"][1]
