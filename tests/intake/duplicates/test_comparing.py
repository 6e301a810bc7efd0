"""What is not compared in full would not have been kept; what was read lately is read as it is."""

from datetime import date

import pytest

from bench.duplicates_set import labelled
from intake.duplicates.repository import Lately
from intake.duplicates.rules import RULES, Telling, best, judge
from intake.duplicates.traits import Hasher, traits_of

FILES = [
    traits_of(each.document, Hasher(b"k" * 32)) for each in labelled(90, 3, date(2026, 11, 30))
]


@pytest.mark.parametrize("place", range(0, len(FILES), 7))
def test_what_is_passed_over_quickly_would_not_have_been_kept(place: int) -> None:
    """Checklist 1.13."""
    one = FILES[place]
    others = {n: other for n, other in enumerate(FILES) if n != place}
    telling = Telling(FILES)
    judged = {n: judge(one, other, telling) for n, other in others.items()}
    kept = {n: found for n, found in judged.items() if found is not None}

    found = best(one, others)

    assert [each.score for _, each in found] == sorted(
        (each.score for each in kept.values()), reverse=True
    )[: RULES.keep_at_most]
    assert all(kept[n] == each for n, each in found)


def test_the_set_has_pairs_that_are_kept_and_files_without_any() -> None:
    counts = [len(best(one, dict(enumerate(FILES[:n])))) for n, one in enumerate(FILES)]

    assert 0 in counts
    assert max(counts) > 0


def test_a_file_that_was_written_again_is_read_again() -> None:
    lately = Lately()
    lately.put({"case_id": 1, "version": 7}, FILES[0])

    assert lately.get({"case_id": 1, "version": 7}) is FILES[0]
    assert lately.get({"case_id": 1, "version": 8}) is None
    assert lately.get({"case_id": 2, "version": 7}) is None


def test_the_file_that_nobody_asked_for_longest_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lately, "MOST", 2)
    lately = Lately()
    rows = [{"case_id": n, "version": 1} for n in range(3)]
    for row in rows[:2]:
        lately.put(row, FILES[0])
    lately.get(rows[0])

    lately.put(rows[2], FILES[1])

    assert [lately.get(row) is not None for row in rows] == [True, False, True]
