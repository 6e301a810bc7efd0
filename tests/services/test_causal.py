"""The order of a topic that is filled again: nothing before what it followed from."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.ids import new_id
from services.messaging.causal import Said, in_order, read_heard

SOURCES = ("intake", "routing", "mediation")
CASE = str(new_id())


def a_life(chance: random.Random, length: int, key: str = CASE) -> list[Said]:
    """Events of a case in their true order; each service says what it has heard so far, or lags."""
    told: list[Said] = []
    heard: dict[str, dict[str, int]] = {source: {} for source in SOURCES}
    for _ in range(length):
        source = chance.choice(SOURCES)
        cause = None
        for other in SOURCES:
            there = sum(said.source == other for said in told)
            if other != source and there:
                heard[source][other] = max(heard[source].get(other, 0), chance.randint(0, there))
                if chance.random() < 0.3:
                    cause = [said for said in told if said.source == other][
                        max(heard[source][other], 1) - 1
                    ].event_id
        sequence = 1 + sum(said.source == source for said in told)
        told.append(Said(source, new_id(), key, sequence, cause, dict(heard[source])))
    return told


def faults(order: list[Said]) -> list[str]:
    """What comes before something it followed from."""
    place = {said.event_id: n for n, said in enumerate(order)}
    by_name = {(said.key, said.source, said.sequence): said.event_id for said in order}
    found = []
    for said in order:
        before = [
            by_name[said.key, source, n]
            for source, upto in said.needs().items()
            for n in range(1, upto + 1)
        ]
        if said.cause:
            before.append(said.cause)
        found += [
            f"{said.source} {said.sequence}" for b in before if place[b] > place[said.event_id]
        ]
    return found


@given(st.randoms(use_true_random=False), st.integers(1, 25), st.integers(0, 25))
def test_whatever_is_stamped_too_late_is_taken_forward(
    chance: random.Random, length: int, moved: int
) -> None:
    true = a_life(chance, length)
    stamped = list(true)
    for _ in range(moved):
        said = stamped.pop(chance.randrange(len(stamped)))
        stamped.insert(chance.randint(0, len(stamped)), said)
    cut = chance.randint(0, length)

    # Everything of the batch, and of what stands behind it only what the batch needs.
    first = in_order(stamped[:cut], stamped[cut:])
    rest = in_order([said for said in stamped[cut:] if said not in first], ())

    assert faults([*first, *rest]) == []
    assert sorted(s.event_id for s in (*first, *rest)) == sorted(s.event_id for s in true)


@given(st.randoms(use_true_random=False), st.integers(1, 25))
def test_what_is_stamped_right_stays_as_it_stood(chance: random.Random, length: int) -> None:
    mixed = a_life(chance, length)
    for said in a_life(chance, length, str(new_id())):
        mixed.append(said)
    assert in_order(mixed, ()) == mixed


def test_a_cause_of_another_case_moves_nothing() -> None:
    cause = Said("intake", new_id(), str(new_id()), 1)
    effect = Said("routing", new_id(), CASE, 1, cause.event_id)
    assert in_order([effect, cause], ()) == [effect, cause]


def test_two_that_claim_to_follow_each_other_are_both_there() -> None:
    one = Said("intake", new_id(), CASE, 1, None, {"routing": 1})
    two = Said("routing", new_id(), CASE, 1, None, {"intake": 1})
    assert {s.event_id for s in in_order([one, two], ())} == {one.event_id, two.event_id}


def test_a_fork_without_a_sequence_stays_where_it_was() -> None:
    one, two = (Said("intake", new_id(), CASE, n) for n in (1, 2))
    fork = replace(two, event_id=new_id(), sequence=None)
    assert in_order([one, fork, two], ()) == [one, fork, two]


def test_of_what_was_heard_twice_the_highest_counts() -> None:
    assert read_heard("intake=3,routing=5,intake=4") == {"intake": 4, "routing": 5}
    assert read_heard(None) == read_heard("") == {}
