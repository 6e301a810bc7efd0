"""The whole topic twice, in permuted windows, with a gap and a fork: one effect each."""

import random

import pytest
from aiokafka import AIOKafkaProducer

from services.ids import new_id
from services.messaging import parking
from tests.crash.checks import Pair, each_once_in_order, size
from tests.fixtures.messaging import effects, emit, read_topic, until

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


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
    rows = await pair.hearer.pool.fetch("SELECT key, code FROM parked_case")
    return {row["key"]: row["code"] for row in rows} == wanted
