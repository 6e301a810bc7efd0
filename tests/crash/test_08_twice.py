"""The whole topic twice, in permuted windows, with a gap and a fork: one effect each.

Over a real broker into the small service, and into the real subscriptions of the four services.
"""

import random
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import count, groupby
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from services.ids import new_id
from services.messaging import parking
from services.messaging.kafka import Incoming
from services.service import NAMES
from tests.crash.checks import Pair, each_once_in_order, size
from tests.crash.contents import Contents, assert_same, contents
from tests.crash.lives import again
from tests.crash.mortals import a_mortal, lives, two_undisturbed
from tests.fixtures.messaging import effects, emit, read_topic, until
from tests.fixtures.servers import PostgresServer

CASES_AT_ONCE = 4
# What a run must differ in: it read more records, and one case waits for a person.
OTHERWISE = {"position", "parked_case", "parked_event"}


@pytest.mark.postgres
@pytest.mark.kafka
async def test_copies_permutations_a_gap_and_a_fork_have_no_second_effect(pair: Pair) -> None:
    dice = random.Random(8)
    cases = [new_id() for _ in range(size(10, 200))]
    forked, torn = cases[0], cases[1]
    for _ in range(6):
        for case_id in cases:
            await emit(pair.sender, case_id)
    await pair.publish()
    records = await read_topic(pair.kafka, pair.topic)
    kept = [r for r in records if not (r.key == str(torn).encode() and sequence(r) == 3)]
    (missing,) = (r for r in records if r not in kept)
    windows = [kept[start : start + 20] for start in range(0, len(kept), 20)]
    for window in windows:
        dice.shuffle(window)
    fork = next(r for r in records if r.key == str(forked).encode() and sequence(r) == 6)
    other_id = [(n, str(new_id()).encode() if n == "ce_id" else v) for n, v in fork.headers]
    fresh = pair.kafka.fresh_topic(4)
    producer = AIOKafkaProducer(**pair.kafka.client())
    await producer.start()

    async def send(record: object, headers: object = None) -> None:
        await producer.send_and_wait(
            fresh,
            record.value,  # type: ignore[attr-defined]
            key=record.key,  # type: ignore[attr-defined]
            headers=headers or list(record.headers),  # type: ignore[attr-defined]
        )

    pair.topic = fresh
    pair.hearer.settings = pair.hearer.settings.model_copy(update={"cases_topic": fresh})
    for record in [*(r for window in windows for r in window), *records[:30]]:
        if record is not missing and record != missing:
            await send(record)
    async with pair.consumer():
        await pair.level()
        while await parking.mend_gaps(pair.hearer):
            pass
        assert await effects(pair.hearer, torn) == [1, 2]
        await send(missing)
        await send(fork, other_id)
        await pair.level()
        await until(lambda: codes_are(pair, {str(forked): "fork"}))
        for record in records:
            if record.key != str(forked).encode():
                await send(record)
        await pair.level()
    await producer.stop()

    await each_once_in_order(pair.hearer, dict.fromkeys(cases, 6))
    assert await codes_are(pair, {str(forked): "fork"})


def sequence(record: object) -> int:
    return int(dict(record.headers)["ce_sequence"])  # type: ignore[attr-defined]


async def codes_are(pair: Pair, wanted: dict[str, str]) -> bool:
    await parking.mend_gaps(pair.hearer)
    return await codes(pair.hearer) == wanted


# -- the four services ----------------------------------------------------------------------------


def source(record: Incoming) -> str:
    return record.envelope().source


def permuted(window: list[Incoming], dice: random.Random) -> Iterator[Incoming]:
    """The window in another order: cases mixed at will, a case's turns of one source shuffled.

    What another source says of a case stays behind what it follows from, as in a real topic.
    """
    slots = [record.key for record in window]
    dice.shuffle(slots)
    queues: dict[str, deque[Incoming]] = defaultdict(deque)
    for record in _runs_shuffled(window, dice):
        queues[record.key].append(record)
    for key in slots:
        yield queues[key].popleft()


def _runs_shuffled(window: list[Incoming], dice: random.Random) -> Iterator[Incoming]:
    for _, run in groupby(window, key=lambda record: (record.key, source(record))):
        turns = list(run)
        dice.shuffle(turns)
        yield from turns


def under_another_id(record: Incoming, offset: int) -> Incoming:
    """What a sender restored to an earlier day says under the same sequence."""
    copy = again(record, offset)
    copy.headers[:] = [[n, str(new_id()) if n == "ce_id" else v] for n, v in copy.headers]
    return copy


def a_gap(streams: list[list[Incoming]]) -> tuple[Incoming, Incoming]:
    """The event that will be missing, and the last of its case, which follows it."""
    for records in streams:
        last = records[-1].envelope()
        for record in records[:-1]:
            if (source(record), record.envelope().sequence) == (last.source, last.sequence - 1):
                return record, records[-1]
    raise AssertionError("no case with two events of one source at its end")


@pytest.mark.postgres
@pytest.mark.parametrize("name", NAMES)
async def test_what_a_service_hears_twice_permuted_with_a_gap_and_a_fork_has_one_effect(
    postgres_server: PostgresServer, folder: Path, known: dict[str, list[Contents]], name: str
) -> None:
    once, twin = await two_undisturbed(known, postgres_server, name, folder)
    streams = [records for records, _ in lives(name)]
    missing, torn = a_gap(streams)
    forked = streams[0][-1] if torn is not streams[0][-1] else streams[1][-1]
    dice, offsets = random.Random(8), count()

    def sent(records: Iterable[Incoming]) -> list[Incoming]:
        return [again(record, next(offsets)) for record in records]

    async with a_mortal(postgres_server, name, folder) as (mortal, database):
        runtime = mortal.consumer.runtime
        for first in range(0, len(streams), CASES_AT_ONCE):
            window = [r for records in streams[first : first + CASES_AT_ONCE] for r in records]
            there = [record for record in permuted(window, dice) if record is not missing]
            await mortal.take(sent([*there, *there[:5]]))
        assert await codes(runtime) == {torn.key: "gap"}
        await mortal.take(sent([missing]))
        await mortal.take([under_another_id(forked, next(offsets))])
        assert await codes(runtime) == {forked.key: "fork"}
        for _ in range(size(1, 10)):
            everything = [record for records in streams for record in records]
            dice.shuffle(everything)
            await mortal.take(sent(everything))

        assert await codes(runtime) == {forked.key: "fork"}
        found = await contents(database.superuser_url)
        same = {table: columns for table, columns in once.items() if table not in OTHERWISE}
        assert_same(found, same, twin)


async def codes(runtime: Any) -> dict[str, str]:
    """Why each parked case is parked."""
    rows = await runtime.pool.fetch("SELECT key, code FROM parked_case")
    return {row["key"]: row["code"] for row in rows}
