"""A client's requests take their turns, so that nobody waits for one who sends much at once."""

import pytest

from services.http import wait_for_turn
from services.ids import new_id


def somebody() -> tuple[str, str]:
    return ("intake", str(new_id()))


def waits(who: tuple[str, str], share: int, at: list[float]) -> list[float]:
    return [round(wait_for_turn(who, now, share), 6) for now in at]


def test_a_twentieth_of_the_share_goes_at_once_and_the_rest_evenly() -> None:
    assert waits(somebody(), 200, [1.0] * 12) == [0.0] * 10 + [0.005, 0.01]


def test_the_smallest_share_is_one_at_a_time() -> None:
    assert waits(somebody(), 10, [1.0] * 3) == [0.0, 0.1, 0.2]


def test_who_keeps_to_its_share_never_waits() -> None:
    assert waits(somebody(), 10, [1.0, 1.1, 1.2, 5.0]) == [0.0] * 4


@pytest.mark.parametrize("share", [1, 7, 200])
def test_the_last_of_a_second_is_through_within_a_second(share: int) -> None:
    assert max(waits(somebody(), share, [1.0] * share)) < 1


def test_one_client_waits_for_itself_alone() -> None:
    waits(somebody(), 10, [1.0] * 9)

    assert waits(somebody(), 10, [1.0]) == [0.0]
