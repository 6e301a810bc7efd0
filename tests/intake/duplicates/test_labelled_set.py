"""The set on which suggestions are measured: broad, told in other words, and taken by intake."""

import csv
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from bench.duplicates_set import ALSO_AT, OTHER_TYPE, ROOT, STORIES, labelled, true_pairs
from intake import types
from intake.validation import validate
from services.events import lanes
from tests.intake.world import directory

SAMPLES = ROOT / "samples" / "stories.csv"
RETOLD = STORIES.with_name("retold.csv")
SET = labelled(400, 7, date(2026, 11, 24))
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ALL = [*rows(SAMPLES), *rows(STORIES)]


def test_there_are_more_stories_than_the_rules_were_fitted_on() -> None:
    """Checklist 1.13: over every type of the tree, each subtype once."""
    tree = types.in_force(date(2026, 11, 24)) or {}

    assert len(rows(STORIES)) >= len(rows(SAMPLES))
    assert {row["dispute_type"] for row in ALL} == {each["code"] for each in tree["types"]}
    assert len({row["dispute_subtype"] for row in ALL}) == len(ALL)
    assert set(OTHER_TYPE) == {row["dispute_type"] for row in ALL}
    assert {row["story"] for row in rows(STORIES)} == {s for told in ALSO_AT.values() for s in told}


def _pairs(text: str) -> set[str]:
    return {text[at : at + 2] for at in range(len(text) - 1)}


@pytest.mark.parametrize("story", ALL, ids=lambda row: str(row["story"]))
def test_each_is_told_again_in_words_of_its_own(story: dict[str, str]) -> None:
    """Checklist 1.13: by two tellers at least, who do not copy each other or the file."""
    told = [row for row in rows(RETOLD) if row["story"] == story["story"]]

    assert len(told) >= 2
    texts = [_pairs(row["summary"]) for row in (story, *told)]
    for place, one in enumerate(texts):
        for other in texts[place + 1 :]:
            assert 2 * len(one & other) / (len(one) + len(other)) < 0.5


def test_the_set_has_pairs_in_every_lane_that_a_door_tells_and_most_types() -> None:
    """Checklist 1.13."""
    pairs = list(true_pairs(SET))
    told = Counter(SET[one].document["dispute_type"] for pair in pairs for one in pair)

    assert len(pairs) > 100
    assert len(told) >= 14
    assert {each.document["lane"] for each in SET} >= set(ALSO_AT)


def test_intake_takes_every_referral_of_the_set() -> None:
    """Checklist 1.13: what is measured is what could have been sent."""
    known = directory()
    faults = {
        (error.pointer, error.code)
        for each in SET
        for error in validate(each.document, known, lanes.may_send, NOW).errors
    }

    assert faults == set()
